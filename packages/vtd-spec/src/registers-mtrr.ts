/** MTRR capability register; equals IA32_MTRRCAP of the processors (VT-d 11.4.12.1). */
export const MTRRCAP = {
  name: "MTRRCAP",
  chapter: "11.4.12.1",
  bits: 64,
  offset: 0x100,
  access: "ro",
  reset: "implementation",
  requires: "MTS",
  fields: [
    { name: "RSVD_63_11", high: 63, low: 11, kind: "reserved" },
    { name: "WC", high: 10, low: 10, doc: "write-combining is supported" },
    { name: "RSVD_9", high: 9, low: 9, kind: "reserved" },
    { name: "FIX", high: 8, low: 8, doc: "fixed-range MTRRs are supported" },
    { name: "VCNT", high: 7, low: 0, doc: "number of variable-range MTRRs" },
  ],
} as const;

/** MTRR default type register (VT-d 11.4.12.2). */
export const MTRRDEF = {
  name: "MTRRDEF",
  chapter: "11.4.12.2",
  bits: 64,
  offset: 0x108,
  access: "rw",
  requires: "MTS",
  fields: [
    { name: "RSVD_63_12", high: 63, low: 12, kind: "reserved" },
    { name: "E", high: 11, low: 11, doc: "enable; 0 makes all memory UC" },
    { name: "FE", high: 10, low: 10, doc: "fixed-range enable" },
    { name: "RSVD_9_8", high: 9, low: 8, kind: "reserved" },
    { name: "TYPE", high: 7, low: 0, doc: "default type, see MemoryType" },
  ],
} as const;

/** Fixed-range MTRR, a type for each of eight sub-ranges; eleven of them (VT-d 11.4.12.3). */
export const MTRR_FIX = {
  name: "MTRR_FIX",
  chapter: "11.4.12.3",
  bits: 64,
  offset: 0x120,
  count: 11,
  stride: 8,
  access: "rw",
  requires: "MTS",
  fields: [
    { name: "R7", high: 63, low: 56, doc: "type of sub-range 7" },
    { name: "R6", high: 55, low: 48, doc: "type of sub-range 6" },
    { name: "R5", high: 47, low: 40, doc: "type of sub-range 5" },
    { name: "R4", high: 39, low: 32, doc: "type of sub-range 4" },
    { name: "R3", high: 31, low: 24, doc: "type of sub-range 3" },
    { name: "R2", high: 23, low: 16, doc: "type of sub-range 2" },
    { name: "R1", high: 15, low: 8, doc: "type of sub-range 1" },
    { name: "R0", high: 7, low: 0, doc: "type of sub-range 0" },
  ],
} as const;

/** Variable-range MTRR base, ten of them (VT-d 11.4.12.4). */
export const MTRR_PHYSBASE = {
  name: "MTRR_PHYSBASE",
  chapter: "11.4.12.4",
  bits: 64,
  offset: 0x180,
  count: 10,
  stride: 16,
  access: "rw",
  requires: "MTS",
  fields: [
    { name: "PHYSBASE", high: 63, low: 12, address: "host", doc: "base" },
    { name: "RSVD_11_8", high: 11, low: 8, kind: "reserved" },
    { name: "TYPE", high: 7, low: 0, doc: "type, see MemoryType" },
  ],
} as const;

/** Variable-range MTRR mask, ten of them (VT-d 11.4.12.4). */
export const MTRR_PHYSMASK = {
  name: "MTRR_PHYSMASK",
  chapter: "11.4.12.4",
  bits: 64,
  offset: 0x188,
  count: 10,
  stride: 16,
  access: "rw",
  requires: "MTS",
  fields: [
    { name: "PHYSMASK", high: 63, low: 12, address: "host", doc: "mask" },
    { name: "V", high: 11, low: 11, doc: "valid" },
    { name: "RSVD_10_0", high: 10, low: 0, kind: "reserved" },
  ],
} as const;

/** Memory types of MTRRs, second-stage EMT and PASID_ENTRY.PAT; others are reserved (VT-d 9.8). */
export const MemoryType = {
  /** Uncacheable. */
  UC: 0,
  /** Write-combining. */
  WC: 1,
  /** Write-through. */
  WT: 4,
  /** Write-protected. */
  WP: 5,
  /** Write-back. */
  WB: 6,
} as const;
