import type { Capabilities, Field, FieldName, Layout } from "./layout.ts";
import { domainIdWidth } from "./widths.ts";

/** Where a field sits inside one 32-bit word: `value = (words[word] >>> shift) & mask`. */
export interface FieldBits {
  /** Index of the little-endian 32-bit word in the structure. */
  readonly word: number;
  readonly shift: number;
  /** As wide as the field, starting at bit 0; -1 for a field of 32 bits. */
  readonly mask: number;
}

const WORD = 0xffff_ffffn;

function find(layout: Layout, name: string): Field {
  const field = layout.fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new RangeError(`${layout.name} has no field ${name}`);
  return field;
}

const width = (field: Field): number => field.high - field.low + 1;

const ones = (count: number): bigint => (1n << BigInt(count)) - 1n;

/** Number of zero bits below the value of an address field. */
const addressLow = (field: Field): number =>
  field.address === undefined ? 0 : (field.addressLow ?? field.low % 64);

function toWords(value: bigint, bits: number): Int32Array {
  return Int32Array.from(
    { length: bits / 32 },
    (_, i) => Number((value >> BigInt(32 * i)) & WORD) | 0,
  );
}

function fromWords(words: ArrayLike<number>, offset: number, bits: number): bigint {
  let value = 0n;
  for (let i = bits / 32 - 1; i >= 0; i--) {
    value = (value << 32n) | BigInt(words[offset + i]! >>> 0);
  }
  return value;
}

/**
 * Builds a structure out of its fields; those not given are 0.
 * Values are what the field holds, but for address fields: byte addresses.
 * @throws RangeError on a value that does not fit its field.
 */
export function encode<const L extends Layout>(
  layout: L,
  values: Partial<Readonly<Record<FieldName<L>, number | bigint>>>,
): Int32Array {
  let structure = 0n;
  for (const [name, given] of Object.entries<number | bigint | undefined>(values)) {
    if (given === undefined) continue;
    const field = find(layout, name);
    const unit = BigInt(addressLow(field));
    const value = BigInt(given) >> unit;
    if (value < 0n || value > ones(width(field)) || value << unit !== BigInt(given)) {
      throw new RangeError(`${layout.name}.${name} can't hold ${String(given)}`);
    }
    structure |= value << BigInt(field.low);
  }
  return toWords(structure, layout.bits);
}

/** Takes a structure apart; address fields come as byte addresses. */
export function decode<const L extends Layout>(
  layout: L,
  words: ArrayLike<number>,
  wordOffset = 0,
): Record<FieldName<L>, bigint> {
  const structure = fromWords(words, wordOffset, layout.bits);
  return Object.fromEntries(
    layout.fields.map((field) => {
      const value = (structure >> BigInt(field.low)) & ones(width(field));
      return [field.name, value << BigInt(addressLow(field))];
    }),
  ) as Record<FieldName<L>, bigint>;
}

/**
 * Place of a field that lies inside one 32-bit word, for code that works on words.
 * @throws RangeError if there is no such field, or if it crosses a word.
 */
export function bits<const L extends Layout>(layout: L, name: FieldName<L>): FieldBits {
  const field = find(layout, name);
  const word = field.low >> 5;
  if (field.high >> 5 !== word) {
    throw new RangeError(`${layout.name}.${field.name} crosses a 32-bit word`);
  }
  return { word, shift: field.low & 31, mask: Number(ones(width(field))) | 0 };
}

/** The bits of all fields, without the lowest `skip(field)` bits of each, as words. */
export function fieldMask(layout: Layout, skip: (field: Field) => number): Int32Array {
  let mask = 0n;
  for (const field of layout.fields) {
    const skipped = Math.min(skip(field), width(field));
    mask |= ones(width(field) - skipped) << BigInt(field.low + skipped);
  }
  return toWords(mask, layout.bits);
}

function isOffered(field: Field, capabilities: Capabilities): boolean {
  const { requires = [], requiresBit } = field;
  const names = typeof requires === "string" ? [requires] : requires;
  return names.every((name) => {
    const value = capabilities[name];
    return requiresBit === undefined ? value !== 0 : ((value >> requiresBit) & 1) !== 0;
  });
}

/**
 * The bits which must be 0: reserved fields, fields whose capability is absent, address bits at
 * and above the host address width, domain-id bits at and above the domain-id width.
 * @param hostAddressWidth in bits (HAW)
 */
export function reservedMask(
  layout: Layout,
  capabilities: Capabilities,
  hostAddressWidth: number,
): Int32Array {
  return fieldMask(layout, (field) => {
    if (field.kind === "ignored") return Infinity;
    if (field.kind === "reserved" || !isOffered(field, capabilities)) return 0;
    if (field.address === "host") return Math.max(0, hostAddressWidth - addressLow(field));
    return field.domainId === true ? domainIdWidth(capabilities) : Infinity;
  });
}

/** Words to unsigned 64-bit little-endian quadwords; a last odd word gives its own. */
export function toQwords(words: ArrayLike<number>): bigint[] {
  return Array.from({ length: Math.ceil(words.length / 2) }, (_, i) =>
    fromWords(words, 2 * i, Math.min(64, 32 * (words.length - 2 * i))),
  );
}

/** Quadwords to words, the inverse of `toQwords`. */
export function fromQwords(qwords: readonly bigint[]): Int32Array {
  return Int32Array.from(qwords.flatMap((qword) => [...toWords(qword, 64)]));
}
