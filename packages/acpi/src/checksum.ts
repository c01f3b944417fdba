import { show } from "./errors.ts";
import type { Field } from "./field.ts";
import type { Cursor } from "./stream.ts";

/** Sum of all bytes modulo 256: 0 in a sound table. */
export const sum8 = (bytes: Uint8Array): number =>
  bytes.reduce((sum, byte) => (sum + byte) & 0xff, 0);

/** The byte which, added to bytes of this sum, makes it 0. */
export const complement = (sum: number): number => -sum & 0xff;

/** What is wrong with bytes that hold their checksum, if anything. */
export function sumFault(bytes: Uint8Array): string | undefined {
  const sum = sum8(bytes);
  return sum === 0 ? undefined : `the bytes sum up to ${show(sum)} instead of 0`;
}

/** Reports bytes whose sum is not 0; `offset` is that of their checksum. */
export function checkSum(cursor: Cursor, bytes: Uint8Array, offset: number): void {
  const fault = sumFault(bytes);
  if (fault !== undefined) cursor.report(offset, fault);
}

/** The byte of a checksum: filled in when all is written, looked at when all is read. */
export const checksumField: Field<void> = {
  size: 1,
  read(cursor) {
    cursor.offset++;
  },
  write(out) {
    out.uint(1, 0);
  },
};
