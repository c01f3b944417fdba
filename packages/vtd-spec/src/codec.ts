import type { Capabilities, Field, FieldName, Layout } from "./layout.ts";

/** Where a field sits inside one 32-bit word: `value = (words[word] >>> shift) & mask`. */
export interface FieldBits {
  /** Index of the little-endian 32-bit word in the structure. */
  readonly word: number;
  readonly shift: number;
  /** As wide as the field, starting at bit 0. */
  readonly mask: number;
}

const WORD = 0xffff_ffffn;

function find(layout: Layout, name: string): Field {
  const field = layout.fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new RangeError(`${layout.name} has no field ${name}`);
  return field;
}

const width = (field: Field): bigint => BigInt(field.high - field.low + 1);

/** The bits of a field as ones, in place in the structure. */
const inPlace = (field: Field): bigint => ((1n << width(field)) - 1n) << BigInt(field.low);

function toWords(value: bigint, bits: number): Int32Array {
  const words = new Int32Array(bits / 32);
  for (let i = 0; i < words.length; i++) {
    words[i] = Number((value >> BigInt(32 * i)) & WORD) | 0;
  }
  return words;
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
    const unit = BigInt(field.address ?? 0);
    const value = BigInt(given) >> unit;
    if (value < 0n || value >> width(field) !== 0n || value << unit !== BigInt(given)) {
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
  const values: Record<string, bigint> = {};
  for (const field of layout.fields) {
    const value = (structure & inPlace(field)) >> BigInt(field.low);
    values[field.name] = value << BigInt(field.address ?? 0);
  }
  return values;
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
  const fieldWidth = field.high - field.low + 1;
  return { word, shift: field.low & 31, mask: fieldWidth === 32 ? -1 : (1 << fieldWidth) - 1 };
}

function isOffered(field: Field, capabilities: Capabilities): boolean {
  if (field.requires === undefined) return true;
  const names = typeof field.requires === "string" ? [field.requires] : field.requires;
  return names.every((name) =>
    field.requiresBit === undefined
      ? capabilities[name] !== 0
      : ((capabilities[name] >> field.requiresBit) & 1) !== 0,
  );
}

/** Number of low bits of the field that may be set, at most its width. */
function usableWidth(field: Field, capabilities: Capabilities, hostAddressWidth: number): number {
  if (field.kind === "ignored") return Infinity;
  if (field.kind === "reserved" || !isOffered(field, capabilities)) return 0;
  if (field.address !== undefined) return Math.max(0, hostAddressWidth - field.address);
  return field.domainId === true ? 4 + 2 * capabilities.ND : Infinity;
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
  let mask = 0n;
  for (const field of layout.fields) {
    const usable = Math.min(
      usableWidth(field, capabilities, hostAddressWidth),
      field.high - field.low + 1,
    );
    mask |= inPlace(field) & ~(((1n << BigInt(usable)) - 1n) << BigInt(field.low));
  }
  return toWords(mask, layout.bits);
}

/** Words to unsigned 64-bit little-endian quadwords; a last odd word gives its own. */
export function toQwords(words: ArrayLike<number>): bigint[] {
  return Array.from({ length: Math.ceil(words.length / 2) }, (_, i) => {
    const high = 2 * i + 1 < words.length ? BigInt(words[2 * i + 1]! >>> 0) : 0n;
    return (high << 32n) | BigInt(words[2 * i]! >>> 0);
  });
}

/** Quadwords to words, the inverse of `toQwords`. */
export function fromQwords(qwords: readonly bigint[]): Int32Array {
  return Int32Array.from(
    qwords.flatMap((qword) => [Number(qword & WORD) | 0, Number((qword >> 32n) & WORD) | 0]),
  );
}
