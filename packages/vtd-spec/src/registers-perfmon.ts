/** Performance monitoring capability register (VT-d 11.4.13.2). */
export const PERFCAP = {
  name: "PERFCAP",
  chapter: "11.4.13.2",
  bits: 64,
  offset: 0x300,
  access: "ro",
  reset: "implementation",
  requires: "PMS",
  fields: [
    { name: "RSVD_63_60", high: 63, low: 60, kind: "reserved" },
    { name: "RSVD_59_55", high: 59, low: 55, kind: "reserved" },
    { name: "CS", high: 54, low: 52, doc: "counters are 2^(CS + 10) bytes apart" },
    { name: "PCCS", high: 51, low: 51, doc: "capabilities are given per counter" },
    { name: "IOS", high: 50, low: 50, doc: "interrupt on overflow" },
    { name: "GFS", high: 49, low: 49, doc: "global freeze on overflow" },
    { name: "CWE", high: 48, low: 48, doc: "counters are writable while enabled" },
    { name: "RSVD_47_37", high: 47, low: 37, kind: "reserved" },
    { name: "PTLFS", high: 36, low: 36, doc: "page table level filter" },
    { name: "ATFS", high: 35, low: 35, doc: "address type filter" },
    { name: "PASIDFS", high: 34, low: 34, doc: "PASID filter" },
    { name: "DIDFS", high: 33, low: 33, doc: "domain-id filter" },
    { name: "RIDFS", high: 32, low: 32, doc: "requester-id filter" },
    { name: "RSVD_31_29", high: 31, low: 29, kind: "reserved" },
    { name: "EGCNT", high: 28, low: 24, doc: "number of event groups" },
    { name: "RSVD_23", high: 23, low: 23, kind: "reserved" },
    { name: "CW", high: 22, low: 16, doc: "width of counters in bits" },
    { name: "NCNTR", high: 15, low: 0, doc: "number of counters" },
  ],
} as const;

/** Performance monitoring configuration offset register (VT-d 11.4.13.3). */
export const PERFCFGOFF = {
  name: "PERFCFGOFF",
  chapter: "11.4.13.3",
  bits: 32,
  offset: 0x310,
  access: "ro",
  reset: "implementation",
  requires: "PMS",
  fields: [
    {
      name: "CFGO",
      high: 31,
      low: 0,
      doc: "offset of the counters' configuration from the register base",
    },
  ],
} as const;

/** Performance monitoring freeze offset register (VT-d 11.4.13.4). */
export const PERFFRZOFF = {
  name: "PERFFRZOFF",
  chapter: "11.4.13.4",
  bits: 32,
  offset: 0x314,
  access: "ro",
  reset: "implementation",
  requires: "PMS",
  fields: [
    { name: "FZO", high: 31, low: 0, doc: "offset of the freeze status from the register base" },
  ],
} as const;

/** Performance monitoring overflow offset register (VT-d 11.4.13.5). */
export const PERFOVFOFF = {
  name: "PERFOVFOFF",
  chapter: "11.4.13.5",
  bits: 32,
  offset: 0x318,
  access: "ro",
  reset: "implementation",
  requires: "PMS",
  fields: [
    { name: "OFO", high: 31, low: 0, doc: "offset of the overflow status from the register base" },
  ],
} as const;

/** Performance monitoring counter offset register (VT-d 11.4.13.6). */
export const PERFCNTROFF = {
  name: "PERFCNTROFF",
  chapter: "11.4.13.6",
  bits: 32,
  offset: 0x31c,
  access: "ro",
  reset: "implementation",
  requires: "PMS",
  fields: [
    { name: "CNTO", high: 31, low: 0, doc: "offset of the counters from the register base" },
  ],
} as const;

/** Performance monitoring interrupt status register (VT-d 11.4.13.7). */
export const PERFINTRSTS = {
  name: "PERFINTRSTS",
  chapter: "11.4.13.7",
  bits: 32,
  offset: 0x324,
  access: "rw1c",
  requires: "PMS",
  fields: [
    { name: "RSVD_31_1", high: 31, low: 1, kind: "reserved" },
    { name: "PIS", high: 0, low: 0, doc: "a counter with interrupt on overflow overflowed" },
  ],
} as const;

/** Performance monitoring interrupt control register (VT-d 11.4.13.8). */
export const PERFINTRCTL = {
  name: "PERFINTRCTL",
  chapter: "11.4.13.8",
  bits: 32,
  offset: 0x328,
  access: "rw",
  reset: 0x8000_0000,
  requires: "PMS",
  fields: [
    { name: "IM", high: 31, low: 31, doc: "interrupt mask" },
    { name: "IP", high: 30, low: 30, access: "ro", doc: "interrupt pending" },
    { name: "RSVD_29_0", high: 29, low: 0, kind: "reserved", doc: "RsvdP" },
  ],
} as const;

/** Performance monitoring interrupt data register (VT-d 11.4.13.9). */
export const PERFINTRDATA = {
  name: "PERFINTRDATA",
  chapter: "11.4.13.9",
  bits: 32,
  offset: 0x32c,
  access: "rw",
  requires: "PMS",
  fields: [
    { name: "RSVD_31_16", high: 31, low: 16, kind: "reserved" },
    { name: "IMD", high: 15, low: 0, doc: "message data" },
  ],
} as const;

/** Performance monitoring interrupt address register (VT-d 11.4.13.10). */
export const PERFINTRADDR = {
  name: "PERFINTRADDR",
  chapter: "11.4.13.10",
  bits: 32,
  offset: 0x330,
  access: "rw",
  requires: "PMS",
  fields: [
    { name: "MA", high: 31, low: 2, address: "input", doc: "message address" },
    { name: "RSVD_1_0", high: 1, low: 0, kind: "reserved" },
  ],
} as const;

/** Performance monitoring interrupt upper address register (VT-d 11.4.13.11). */
export const PERFINTRUADDR = {
  name: "PERFINTRUADDR",
  chapter: "11.4.13.11",
  bits: 32,
  offset: 0x334,
  access: "rw",
  requires: "PMS",
  fields: [{ name: "MUA", high: 31, low: 0, doc: "message address bits 63:32" }],
} as const;

/** Performance monitoring event capability register of an event group (VT-d 11.4.13.14). */
export const PERFEVNTCAP = {
  name: "PERFEVNTCAP",
  chapter: "11.4.13.14",
  bits: 64,
  offset: 0x380,
  count: 16,
  stride: 8,
  access: "ro",
  reset: "implementation",
  requires: "PMS",
  fields: [
    { name: "RSVD_63_28", high: 63, low: 28, kind: "reserved" },
    {
      name: "ES",
      high: 27,
      low: 0,
      doc: "events of this group that are supported, a bit for each (VT-d 10.7)",
    },
  ],
} as const;
