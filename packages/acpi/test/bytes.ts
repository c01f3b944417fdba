import { readFileSync } from "node:fs";

/** Bytes written as hexadecimal, spaced as one likes. */
export const fromHex = (hex: string): Uint8Array =>
  Uint8Array.from(hex.match(/[0-9a-f]{2}/gi) ?? [], (byte) => parseInt(byte, 16));

export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** A table of a real guest: test/fixtures/README.md. */
export const fixture = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`fixtures/${name}.bin`, import.meta.url)));

/** Writes bytes over a copy of a table, and makes its checksum right again. */
export function patched(table: Uint8Array, offset: number, ...bytes: number[]): Uint8Array {
  const copy = Uint8Array.from(table);
  copy.set(bytes, offset);
  return resealed(copy);
}

/** A table with a right length and checksum. */
export function resealed(table: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(table);
  new DataView(copy.buffer).setUint32(4, copy.length, true);
  copy[9] = 0;
  let sum = 0;
  for (const byte of copy) sum += byte;
  copy[9] = (256 - (sum % 256)) % 256;
  return copy;
}
