import { hiFromWords, loFromWords } from "@viommu/plugin";

/** Order of a range that covers every address: 2^52 pages of 4 KiB. */
export const EVERYTHING = 52;

/**
 * The 2^order pages of 4 KiB that an invalidation names. One object is used again and again. Its
 * address is aligned to its size, whatever the low bits of the request were.
 */
export class PageRange {
  hi = 0;
  lo = 0;
  /** 0 to {@link EVERYTHING}. */
  order = 0;

  /** An address and a mask AM (VT-d 6.5.2.3, table 22). */
  setMasked(low: number, high: number, mask: number): void {
    this.#set(hiFromWords(low, high), loFromWords(low), mask);
  }

  /** As `setMasked`, for an address whose bits from `width` (30 to 57) up are ignored. */
  setMaskedBelow(width: number, low: number, high: number, mask: number): void {
    const hi = ((high << 2) | (low >>> 30)) & ((1 << (width - 30)) - 1);
    this.#set(hi, loFromWords(low), mask);
  }

  /**
   * An address with a size bit S, as device-TLB invalidations have it (PCI Express ATS): the lowest
   * 0 among the address bits from 12 up says how many of them belong to the size.
   */
  setSized(low: number, high: number, sized: boolean): void {
    this.setMasked(low, high, sized ? lowestZero(low, high) - 11 : 0);
  }

  #set(hi: number, lo: number, order: number): void {
    this.order = Math.min(order, EVERYTHING);
    const shift = 12 + this.order;
    this.lo = shift < 30 ? lo & -(1 << shift) : 0;
    const hiShift = Math.max(0, shift - 30);
    this.hi = hiShift < 31 ? hi & -(1 << hiShift) : 0;
  }
}

/** Number of the lowest 0 bit from bit 12 up, or 64. */
function lowestZero(low: number, high: number): number {
  const zerosLow = ~(low | 0xfff);
  if (zerosLow !== 0) return 31 - Math.clz32(zerosLow & -zerosLow);
  const zerosHigh = ~high;
  return zerosHigh === 0 ? 64 : 63 - Math.clz32(zerosHigh & -zerosHigh);
}
