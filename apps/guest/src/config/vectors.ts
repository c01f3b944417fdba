/**
 * Vectors that a guest gives to devices. Below are exceptions and legacy interrupts, above what the
 * kernel keeps for itself.
 */
export const FIRST_VECTOR = 0x30;
/** The last one of them. */
export const LAST_VECTOR = 0xee;

/** For each vCPU. One of them stays free, so that an interrupt can move to it. */
export const USABLE_VECTORS: number = LAST_VECTOR - FIRST_VECTOR;
