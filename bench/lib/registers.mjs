/** Registers that drivers in the benchmarks write (VT-d 11.4), and commands in GCMD. */
export const GCMD = 0x18;
export const RTADDR = 0x20;
export const IQT = 0x88;
export const IQA = 0x90;

export const TE = 1 << 31;
export const SRTP = 1 << 30;
export const QIE = 1 << 26;
