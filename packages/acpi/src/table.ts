import { checkSum, checksumField, complement, sum8 } from "./checksum.ts";
import { brokenRule, show, unreadable } from "./errors.ts";
import { fixedSize, readFields, text, uint, writeFields } from "./field.ts";
import type { Layout } from "./field.ts";
import type { Parsed, Place, Report } from "./problem.ts";
import { Cursor, Output } from "./stream.ts";

/** Who made a table, and which edition of its format it follows (ACPI 5.2.6). */
export interface TableHeader {
  readonly revision: number;
  /** Up to 6 characters. */
  readonly oemId: string;
  /** Up to 8 characters. */
  readonly oemTableId: string;
  readonly oemRevision: number;
  /** Up to 4 characters. */
  readonly creatorId: string;
  readonly creatorRevision: number;
}

/** The format of one table: what follows its header. */
export interface TableFormat<T extends { readonly header?: TableHeader }> {
  /** What it is called; its signature may be another word. */
  readonly name: string;
  /** Four characters. */
  readonly signature: string;
  /** Revision of a table described without a header. */
  readonly revision: number;
  readonly layout: Layout<Omit<T, "header">>;
}

/** What follows signature and length. */
const HEADER: Layout<TableHeader> = [
  ["revision", uint(1)],
  [null, checksumField],
  ["oemId", text(6)],
  ["oemTableId", text(8)],
  ["oemRevision", uint(4)],
  ["creatorId", text(4)],
  ["creatorRevision", uint(4)],
];

/** Bytes of the header that every table starts with (ACPI 5.2.6). */
export const HEADER_SIZE = 36;
const LENGTH_OFFSET = 4;
const CHECKSUM_OFFSET = 9;

/** The header of a table that is described without one. */
export const defaultHeader = (revision: number): TableHeader => ({
  revision,
  oemId: "VIOMMU",
  oemTableId: "VIOMMU",
  oemRevision: 1,
  creatorId: "VIOM",
  creatorRevision: 1,
});

/**
 * A description as bytes, with header and checksum. `check` looks for broken rules.
 * Throws ERR_VIOMMU_ACPI_VALUE and ERR_VIOMMU_ACPI_RULE.
 */
export function buildTable<T extends { readonly header?: TableHeader }>(
  format: TableFormat<T>,
  table: T,
  check?: (report: Report) => void,
): Uint8Array {
  const { name, signature, layout } = format;
  const out = new Output();
  text(4).write(out, signature, `${name}.signature`);
  const header = table.header ?? defaultHeader(format.revision);
  out.uint(4, 0); // length: known when all is written
  writeFields(HEADER, out, header, `${name}.header`);
  writeFields(layout, out, table, name);
  check?.((about, found, remedy) => {
    const place = out.places.get(about);
    const where = place === undefined ? name : `${name}, ${describe(place)}`;
    throw brokenRule(where, found, remedy);
  });
  out.uint(4, out.length, LENGTH_OFFSET);
  const bytes = out.toBytes();
  bytes[CHECKSUM_OFFSET] = complement(sum8(bytes));
  return bytes;
}

const describe = (place: Place): string => `${place.structure} at byte ${show(place.offset)}`;

/**
 * All that can be read of a table, with all that is wrong with it. Work and number of problems are
 * linear in the number of bytes. Throws ERR_VIOMMU_ACPI when the fixed part can't be read.
 */
export function parseTable<T extends { readonly header?: TableHeader }>(
  format: TableFormat<T>,
  bytes: Uint8Array,
  check?: (table: T, report: Report) => void,
): Parsed<T> {
  const { name, signature, layout } = format;
  const minimum = HEADER_SIZE + fixedSize(layout);
  if (bytes.length < minimum) {
    throw unreadable(
      name,
      bytes.length,
      `the table ends within the ${minimum} bytes of its fixed part`,
      "give the whole table",
    );
  }
  const cursor = new Cursor(bytes, name);
  const found = text(4).read(cursor, bytes.length);
  if (found !== signature) {
    throw unreadable(name, 0, `the signature is "${found}"`, `give a table with "${signature}"`);
  }
  const length = cursor.uint(4);
  if (length < minimum) {
    throw unreadable(
      name,
      LENGTH_OFFSET,
      `length ${length} is less than the ${minimum} bytes of its fixed part`,
      "give a table with its true length",
    );
  }
  checkExtent(cursor, bytes, length);
  const end = Math.min(length, bytes.length);
  const header = readFields(HEADER, cursor, end);
  const table = { header, ...readFields(layout, cursor, end) } as unknown as T;
  check?.(table, (about, problem) => {
    const place = cursor.places.get(about) ?? { offset: 0, structure: name };
    cursor.problems.push({ ...place, text: problem });
  });
  return { table, problems: cursor.problems.sort((a, b) => a.offset - b.offset) };
}

function checkExtent(cursor: Cursor, bytes: Uint8Array, length: number): void {
  if (length > bytes.length) {
    cursor.report(LENGTH_OFFSET, `length ${length}, but there are only ${bytes.length} bytes`);
    return;
  }
  if (length < bytes.length) {
    cursor.report(LENGTH_OFFSET, `${bytes.length - length} bytes after the table are left out`);
  }
  checkSum(cursor, bytes.subarray(0, length), CHECKSUM_OFFSET);
}
