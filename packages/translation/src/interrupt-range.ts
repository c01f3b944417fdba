/*
 * The interrupt address range FEEx_xxxxh (VT-d 3.15). Software must not map anything to it, and
 * requests without PASID to it are no DMA.
 */

/** `hi` of every address in the range. */
const INTERRUPT_HI = 3;
/** Bits 29:20 of every address in the range. */
const INTERRUPT_MIB = 0x3ee;

/** Whether an address lies in FEEx_xxxxh. */
export function isInterruptAddress(hi: number, lo: number): boolean {
  return hi === INTERRUPT_HI && lo >>> 20 === INTERRUPT_MIB;
}

/** Whether the naturally aligned range of 2^pageShift bytes around an address touches FEEx_xxxxh. */
export function touchesInterruptRange(hi: number, lo: number, pageShift: number): boolean {
  if (hi !== INTERRUPT_HI) return false;
  return pageShift < 21
    ? lo >>> 20 === INTERRUPT_MIB
    : lo >>> pageShift === (INTERRUPT_MIB << 20) >>> pageShift;
}
