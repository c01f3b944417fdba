import { address, uint } from "./field.ts";
import type { Field } from "./field.ts";
import type { TableFormat, TableHeader } from "./table.ts";

/** The table of tables: where all others lie (ACPI 5.2.7, 5.2.8). */
export interface RootTable {
  readonly header?: TableHeader;
  readonly addresses: readonly number[];
}

/** As many values as fit into what is left of a table. */
const listOf = (field: Field<number>): Field<readonly number[]> => ({
  size: 0,
  read(cursor, end) {
    const list: number[] = [];
    while (end - cursor.offset >= field.size) list.push(field.read(cursor, end));
    if (cursor.offset < end) cursor.report(cursor.offset, "a part of an address");
    return list;
  },
  write(out, list, name) {
    list.forEach((value, i) => {
      field.write(out, value, `${name}[${i}]`);
    });
  },
});

export const RSDT: TableFormat<RootTable> = {
  name: "RSDT",
  signature: "RSDT",
  revision: 1,
  layout: [["addresses", listOf(uint(4))]],
};

export const XSDT: TableFormat<RootTable> = {
  name: "XSDT",
  signature: "XSDT",
  revision: 1,
  layout: [["addresses", listOf(address)]],
};
