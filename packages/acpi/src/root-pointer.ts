import { checksumField, checkSum, complement, sum8 } from "./checksum.ts";
import { unreadable } from "./errors.ts";
import { address, fixedSize, readFields, reserved, text, uint, writeFields } from "./field.ts";
import type { Layout } from "./field.ts";
import type { Parsed } from "./problem.ts";
import { Cursor, Output } from "./stream.ts";

/** The root pointer, by which everything is found (ACPI 5.2.5.3). */
export interface RootPointer {
  readonly oemId: string;
  /** 32-bit address; 0: there is no RSDT. */
  readonly rsdt: number;
  /** 0: there is no XSDT, or the pointer is of revision 0. */
  readonly xsdt: number;
}

interface FirstPart {
  readonly oemId: string;
  readonly revision: number;
  readonly rsdt: number;
}

interface SecondPart {
  readonly length: number;
  readonly xsdt: number;
}

const SIGNATURE = "RSD PTR ";
const REVISION = 2;

const FIRST: Layout<FirstPart> = [
  [null, checksumField],
  ["oemId", text(6)],
  ["revision", uint(1)],
  ["rsdt", uint(4)],
];

const SECOND: Layout<SecondPart> = [
  ["length", uint(4)],
  ["xsdt", address],
  [null, checksumField],
  [null, reserved(3)],
];

/** Bytes of a root pointer of revision 0, and of the first part of all later ones. */
export const FIRST_ROOT_POINTER_SIZE: number = SIGNATURE.length + fixedSize(FIRST);
/** Bytes of a root pointer of revision 2. */
export const ROOT_POINTER_SIZE: number = FIRST_ROOT_POINTER_SIZE + fixedSize(SECOND);
const CHECKSUM_OFFSET = 8;
const EXTENDED_CHECKSUM_OFFSET = 32;

/** A root pointer of revision 2, with both of its checksums. */
export function buildRootPointer(pointer: RootPointer): Uint8Array {
  const out = new Output();
  text(8).write(out, SIGNATURE, "RSDP");
  writeFields(FIRST, out, { ...pointer, revision: REVISION }, "RSDP");
  writeFields(SECOND, out, { ...pointer, length: ROOT_POINTER_SIZE }, "RSDP");
  const bytes = out.toBytes();
  bytes[CHECKSUM_OFFSET] = complement(sum8(bytes.subarray(0, FIRST_ROOT_POINTER_SIZE)));
  bytes[EXTENDED_CHECKSUM_OFFSET] = complement(sum8(bytes));
  return bytes;
}

/** Reads a root pointer of any revision; throws ERR_VIOMMU_ACPI when there is none. */
export function parseRootPointer(bytes: Uint8Array): Parsed<RootPointer> {
  const cursor = new Cursor(bytes, "RSDP");
  const missing = (offset: number, found: string): never => {
    throw unreadable("RSDP", offset, found, "give the address of a root pointer");
  };
  if (bytes.length < FIRST_ROOT_POINTER_SIZE)
    return missing(bytes.length, `only ${bytes.length} bytes`);
  const signature = text(8).read(cursor, bytes.length);
  if (signature !== SIGNATURE) return missing(0, `the signature is "${signature}"`);
  const { oemId, revision, rsdt } = readFields(FIRST, cursor, bytes.length);
  checkSum(cursor, bytes.subarray(0, FIRST_ROOT_POINTER_SIZE), CHECKSUM_OFFSET);
  let xsdt = 0;
  if (revision >= REVISION) {
    if (bytes.length < ROOT_POINTER_SIZE) {
      return missing(bytes.length, `revision ${revision} has ${ROOT_POINTER_SIZE} bytes`);
    }
    xsdt = readFields(SECOND, cursor, bytes.length).xsdt;
    checkSum(cursor, bytes.subarray(0, ROOT_POINTER_SIZE), EXTENDED_CHECKSUM_OFFSET);
  }
  return { table: { oemId, rsdt, xsdt }, problems: cursor.problems };
}
