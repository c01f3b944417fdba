/**
 * The address convention of all ports: two small ints, split at bit 30.
 * `lo` holds bits 29:0, `hi` the bits from 30 up (signed, so that the canonical upper half of a
 * first-stage address is negative). Both stay small integers in every JavaScript engine; `hi` is
 * also the number of the 1 GiB chunk of guest memory.
 *
 * An address that fits no 57-bit width, neither unsigned nor sign-extended, is marked: its `hi` is
 * `UNREACHABLE | bits 56:30`. Every width check and every canonical check fails on it.
 */
export const UNREACHABLE = 0x2000_0000;

const LO_MASK = 0x3fff_ffff;
const GIB = 2 ** 30;
const WIDEST = 2 ** 57;

/** `hi` of an address given as two 32-bit words (as registers and table entries hold it). */
export function hiFromWords(low: number, high: number): number {
  const top = high >> 24; // bits 63:56, sign-extended
  if (top === 0 || top === 1 || top === -1) return (high << 2) | (low >>> 30);
  return UNREACHABLE | ((high & 0x01ff_ffff) << 2) | (low >>> 30);
}

/** `lo` of an address given by its low 32-bit word. */
export function loFromWords(low: number): number {
  return low & LO_MASK;
}

/** Bits 31:0 of an address, as a signed 32-bit int. */
export function lowWord(hi: number, lo: number): number {
  return (hi << 30) | lo;
}

/** Bits 63:32 of an address, as a signed 32-bit int. */
export function highWord(hi: number): number {
  return hi >> 2;
}

/** `hi` of an address in bytes, 0 to 2^53 - 1; other numbers are out of reach of every width. */
export function hiFromNumber(address: number): number {
  return Number.isSafeInteger(address) && address >= 0 ? Math.floor(address / GIB) : UNREACHABLE;
}

/** `lo` of an address in bytes, 0 to 2^53 - 1. */
export function loFromNumber(address: number): number {
  return Number.isSafeInteger(address) && address >= 0 ? address % GIB : 0;
}

/** `hi` of a 64-bit address, unsigned or sign-extended. */
export function hiFromBigint(address: bigint): number {
  return hiFromWords(
    Number(address & 0xffff_ffffn) | 0,
    Number((address >> 32n) & 0xffff_ffffn) | 0,
  );
}

/** `lo` of a 64-bit address. */
export function loFromBigint(address: bigint): number {
  return Number(address & 0x3fff_ffffn);
}

/** The address in bytes as a number: exact below 2^53, which covers every physical address. */
export function toNumber(hi: number, lo: number): number {
  return (hi < 0 ? hi * GIB + 2 ** 64 : hi * GIB) + lo;
}

/** The 64-bit address, unsigned; a marked address shows its bits 56:0. */
export function toBigint(hi: number, lo: number): bigint {
  const upper = (hi & UNREACHABLE) !== 0 && hi > 0 ? hi & 0x07ff_ffff : hi;
  return ((BigInt(upper) << 30n) | BigInt(lo)) & 0xffff_ffff_ffff_ffffn;
}

/** Whether a byte address can be used by a host at all (0 to 2^57 - 1, whole). */
export function isAddress(address: number): boolean {
  return Number.isSafeInteger(address) && address >= 0 && address < WIDEST;
}
