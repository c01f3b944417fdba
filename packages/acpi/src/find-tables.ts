import { sumFault } from "./checksum.ts";
import { unreadable } from "./errors.ts";
import type { Problem } from "./problem.ts";
import { FIRST_ROOT_POINTER_SIZE, parseRootPointer, ROOT_POINTER_SIZE } from "./root-pointer.ts";
import { RSDT, XSDT } from "./root-table.ts";
import { HEADER_SIZE, parseTable } from "./table.ts";

/** Bytes of guest memory; undefined where some of them are no memory. */
export type ReadMemory = (address: number, length: number) => Uint8Array | undefined;

/** A table of a guest. */
export interface FoundTable {
  readonly signature: string;
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** What is found from a root pointer on. */
export interface FoundTables {
  readonly tables: readonly FoundTable[];
  /** Offsets are addresses in memory here. */
  readonly problems: readonly Problem[];
}

// More than any firmware has; they bound the work on damaged tables.
const MAX_TABLES = 256;
const MAX_TABLE_BYTES = 0x10_0000;

/**
 * Follows a root pointer to the tables of a guest, through the XSDT if there is one, else the RSDT.
 * Throws ERR_VIOMMU_ACPI when pointer or root table can't be read at all.
 */
export function findTables(read: ReadMemory, rsdp: number): FoundTables {
  const pointerBytes = read(rsdp, ROOT_POINTER_SIZE) ?? read(rsdp, FIRST_ROOT_POINTER_SIZE);
  const pointer = parseRootPointer(pointerBytes ?? new Uint8Array(0));
  const { rsdt, xsdt } = pointer.table;
  const format = xsdt === 0 ? RSDT : XSDT;
  const address = xsdt === 0 ? rsdt : xsdt;
  const rootBytes = readWhole(read, address);
  if (rootBytes === undefined) {
    throw unreadable(format.signature, address, "no memory there", "give the guest's whole memory");
  }
  const root = parseTable(format, rootBytes);

  const problems = [
    ...pointer.problems.map((problem) => ({ ...problem, offset: rsdp + problem.offset })),
    ...root.problems.map((problem) => ({ ...problem, offset: address + problem.offset })),
  ];
  const { addresses } = root.table;
  if (addresses.length > MAX_TABLES) {
    const text = `${addresses.length} tables; only the first ${MAX_TABLES} are read`;
    problems.push({ offset: address, structure: format.signature, text });
  }
  const tables: FoundTable[] = [];
  for (const entry of addresses.slice(0, MAX_TABLES)) {
    const bytes = readWhole(read, entry);
    if (bytes === undefined) {
      problems.push({ offset: entry, structure: format.signature, text: "no memory there" });
      continue;
    }
    const signature = String.fromCharCode(...bytes.subarray(0, 4));
    const text = faultOf(bytes);
    if (text !== undefined) problems.push({ offset: entry, structure: signature, text });
    tables.push({ signature, address: entry, bytes });
  }
  return { tables, problems };
}

/** A table by the length in its header; only the header when that length is no good. */
function readWhole(read: ReadMemory, address: number): Uint8Array | undefined {
  const header = read(address, HEADER_SIZE);
  if (header === undefined || header.length < HEADER_SIZE) return undefined;
  const length = lengthOf(header);
  return length < HEADER_SIZE || length > MAX_TABLE_BYTES
    ? header
    : (read(address, length) ?? header);
}

function faultOf(bytes: Uint8Array): string | undefined {
  const length = lengthOf(bytes);
  if (length !== bytes.length) return `length ${length}, but ${bytes.length} bytes could be read`;
  return sumFault(bytes);
}

const lengthOf = (header: Uint8Array): number =>
  new DataView(header.buffer, header.byteOffset, header.byteLength).getUint32(4, true);
