import { sum8 } from "./checksum.ts";
import { badPlacement, show } from "./errors.ts";
import { buildRootPointer, ROOT_POINTER_SIZE } from "./root-pointer.ts";
import { RSDT, XSDT } from "./root-table.ts";
import { buildTable, defaultHeader, HEADER_SIZE } from "./table.ts";
import type { TableHeader } from "./table.ts";

/** Tables as they lie in guest memory. */
export interface TableImage {
  /** Where `bytes` belong. */
  readonly base: number;
  readonly bytes: Uint8Array;
  /** Address of the root pointer (RSDP): what the guest is told. */
  readonly rsdp: number;
}

const ALIGNMENT = 16;
const FOUR_GIB = 0x1_0000_0000;

/**
 * Puts tables one behind the other into memory from `base` on, with the root pointer, XSDT and
 * (below 4 GiB, for old guests) RSDT which lead to them. `base` is a multiple of 16; between E_0000h
 * and F_FFFFh, a BIOS guest finds the pointer by itself. Throws ERR_VIOMMU_ACPI_PLACEMENT.
 */
export function layoutTables(
  base: number,
  tables: readonly Uint8Array[],
  header: TableHeader = defaultHeader(XSDT.revision),
): TableImage {
  if (!Number.isSafeInteger(base) || base < 0 || base % ALIGNMENT !== 0) {
    throw badPlacement(`base ${show(base)} is no multiple of ${ALIGNMENT}`, "align it");
  }
  const parts: { readonly address: number; readonly bytes: Uint8Array }[] = [];
  let end = base + align(ROOT_POINTER_SIZE);
  const place = (bytes: Uint8Array): number => {
    const address = end;
    parts.push({ address, bytes });
    end += align(bytes.length);
    return address;
  };

  const addresses = tables.map((table, i) => {
    checkTable(table, i);
    return place(table);
  });
  const xsdt = place(buildTable(XSDT, { header, addresses }));
  const reachable = end + HEADER_SIZE + 4 * tables.length <= FOUR_GIB;
  const rsdt = reachable ? place(buildTable(RSDT, { header, addresses })) : 0;
  parts.push({ address: base, bytes: buildRootPointer({ oemId: header.oemId, rsdt, xsdt }) });

  const bytes = new Uint8Array(end - base);
  for (const part of parts) bytes.set(part.bytes, part.address - base);
  return { base, bytes, rsdp: base };
}

const align = (size: number): number => Math.ceil(size / ALIGNMENT) * ALIGNMENT;

function checkTable(table: Uint8Array, i: number): void {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const length = table.length < HEADER_SIZE ? 0 : view.getUint32(4, true);
  if (length !== table.length || sum8(table) !== 0) {
    throw badPlacement(
      `table ${i} has ${table.length} bytes, but length ${length} or its checksum is wrong`,
      "give whole tables as buildDmar and buildMadt make them",
    );
  }
}
