import { badValue, show } from "./errors.ts";
import type { Cursor, Output } from "./stream.ts";

/** How the bytes of one field and its value in a description become each other. */
export interface Field<V> {
  /** Bytes; 0 for a last field, which takes all that its structure has left. */
  readonly size: number;
  /** Takes the field; reports what is wrong with it. `end` is where its structure ends. */
  read(cursor: Cursor, end: number): V;
  /** Appends the field. Throws ERR_VIOMMU_ACPI_VALUE on a value it can't hold. */
  write(out: Output, value: V, name: string): void;
}

/** The fields of a structure in the order of their bytes; those without a name are reserved. */
export type Layout<T> = readonly (
  | { [K in keyof T & string]: readonly [name: K, field: Field<T[K]>] }[keyof T & string]
  | readonly [name: null, field: Field<void>]
)[];

/** Bytes of a structure, without a last field of variable size. */
export const fixedSize = <T>(layout: Layout<T>): number =>
  layout.reduce((sum, [, field]) => sum + field.size, 0);

/** Reads a structure field by field. All bytes of its fixed part must be there. */
export function readFields<T>(layout: Layout<T>, cursor: Cursor, end: number): T {
  const values: Record<string, unknown> = {};
  for (const [name, field] of layout as readonly (readonly [string | null, Field<unknown>])[]) {
    const value = field.read(cursor, end);
    if (name !== null) values[name] = value;
  }
  return values as T;
}

/** Writes a structure field by field; `structure` names it in errors. */
export function writeFields<T>(layout: Layout<T>, out: Output, values: T, structure: string): void {
  for (const [key, field] of layout as readonly (readonly [keyof T | null, Field<unknown>])[]) {
    const name = `${structure}.${String(key)}`;
    const value = key === null ? null : values[key];
    if (value === undefined) throw badValue(name, value, "a value");
    field.write(out, value, name);
  }
}

/** An unsigned number of 1, 2 or 4 bytes, possibly with fewer values than its bytes can hold. */
export const uint = (size: 1 | 2 | 4, max: number = 0x100 ** size - 1): Field<number> => ({
  size,
  read(cursor) {
    const offset = cursor.offset;
    const value = cursor.uint(size);
    if (value > max) cursor.report(offset, `value ${show(value)} is beyond ${show(max)}`);
    return value;
  },
  write(out, value, name) {
    if (!Number.isInteger(value) || value < 0 || value > max) {
      throw badValue(name, value, `an integer from 0 to ${show(max)}`);
    }
    out.uint(size, value);
  },
});

/** A guest-physical address in 8 bytes, below 2^53: no machine has wider ones. */
export const address: Field<number> = {
  size: 8,
  read(cursor) {
    const offset = cursor.offset;
    const low = cursor.uint(4);
    const value = cursor.uint(4) * 0x1_0000_0000 + low;
    if (value > Number.MAX_SAFE_INTEGER) {
      cursor.report(offset, `address ${show(value)} is wider than any physical address`);
    }
    return value;
  },
  write(out, value, name) {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw badValue(name, value, "an address below 2^53");
    }
    out.uint(8, value);
  },
};

/** Bits with names, from bit 0 up; a description lists those that are set. The rest is reserved. */
export const flags = <const N extends string>(
  size: 1 | 2 | 4,
  names: readonly N[],
): Field<readonly N[]> => ({
  size,
  read(cursor) {
    const offset = cursor.offset;
    const value = cursor.uint(size);
    const excess = Math.floor(value / 2 ** names.length) * 2 ** names.length;
    if (excess !== 0) cursor.report(offset, `reserved bits ${show(excess)} are set`);
    return names.filter((_, bit) => ((value >>> bit) & 1) !== 0);
  },
  write(out, value, name) {
    let word = 0;
    for (const flag of value) {
      const bit = names.indexOf(flag);
      if (bit < 0) throw badValue(name, flag, `flags out of ${names.join(", ")}`);
      word |= 1 << bit;
    }
    out.uint(size, word);
  },
});

/** Bytes that must be 0. */
export const reserved = (size: number): Field<void> => ({
  size,
  read(cursor) {
    const offset = cursor.offset;
    if (cursor.bytes(size).some((byte) => byte !== 0)) {
      cursor.report(offset, "reserved bytes are not 0");
    }
  },
  write(out) {
    out.bytes(new Uint8Array(size));
  },
});

/** A short ASCII text, padded with NUL. */
export const text = (size: number): Field<string> => ({
  size,
  read(cursor) {
    const offset = cursor.offset;
    const value = String.fromCharCode(...cursor.bytes(size)).replace(/\0+$/, "");
    if (!isPrintable(value)) cursor.report(offset, "the text holds other than printable ASCII");
    return value;
  },
  write(out, value, name) {
    if (typeof value !== "string" || value.length > size || !isPrintable(value)) {
      throw badValue(name, value, `at most ${size} printable ASCII characters`);
    }
    out.bytes(Uint8Array.from({ length: size }, (_, i) => value.charCodeAt(i) || 0));
  },
});

export const isPrintable = (value: string): boolean => /^[ -~]*$/.test(value);
