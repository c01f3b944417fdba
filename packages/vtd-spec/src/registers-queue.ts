/** Invalidation queue head register; 0 while the queue is disabled (VT-d 11.4.9.1). */
export const IQH = {
  name: "IQH",
  chapter: "11.4.9.1",
  bits: 64,
  offset: 0x80,
  access: "ro",
  requires: "QI",
  fields: [
    { name: "RSVD_63_19", high: 63, low: 19, kind: "reserved" },
    { name: "QH", high: 18, low: 4, doc: "next descriptor to process, in units of 16 bytes" },
    { name: "RSVD_3_0", high: 3, low: 0, kind: "reserved" },
  ],
} as const;

/** Invalidation queue tail register (VT-d 11.4.9.2). */
export const IQT = {
  name: "IQT",
  chapter: "11.4.9.2",
  bits: 64,
  offset: 0x88,
  access: "rw",
  requires: "QI",
  fields: [
    { name: "RSVD_63_19", high: 63, low: 19, kind: "reserved" },
    {
      name: "QT",
      high: 18,
      low: 4,
      doc: "next descriptor software will write, in units of 16 bytes",
    },
    { name: "RSVD_3_0", high: 3, low: 0, kind: "reserved" },
  ],
} as const;

/** Invalidation queue address register (VT-d 11.4.9.3). */
export const IQA = {
  name: "IQA",
  chapter: "11.4.9.3",
  bits: 64,
  offset: 0x90,
  access: "rw",
  requires: "QI",
  fields: [
    { name: "IQA", high: 63, low: 12, address: "host", doc: "queue" },
    { name: "DW", high: 11, low: 11, doc: "descriptor width: 0 128 bits, 1 256 bits" },
    { name: "RSVD_10_3", high: 10, low: 3, kind: "reserved" },
    { name: "QS", high: 2, low: 0, doc: "the queue has 2^QS pages" },
  ],
} as const;

/** Invalidation completion status register (VT-d 11.4.9.4). */
export const ICS = {
  name: "ICS",
  chapter: "11.4.9.4",
  bits: 32,
  offset: 0x9c,
  access: "rw1c",
  sticky: true,
  requires: "QI",
  fields: [
    { name: "RSVD_31_1", high: 31, low: 1, kind: "reserved" },
    { name: "IWC", high: 0, low: 0, doc: "a wait descriptor with IF completed" },
  ],
} as const;

/** Invalidation event control register (VT-d 11.4.9.5). */
export const IECTL = {
  name: "IECTL",
  chapter: "11.4.9.5",
  bits: 32,
  offset: 0xa0,
  access: "rw",
  reset: 0x8000_0000,
  requires: "QI",
  fields: [
    { name: "IM", high: 31, low: 31, doc: "interrupt mask" },
    { name: "IP", high: 30, low: 30, access: "ro", doc: "interrupt pending" },
    { name: "RSVD_29_0", high: 29, low: 0, kind: "reserved", doc: "RsvdP" },
  ],
} as const;

/** Invalidation event data register (VT-d 11.4.9.6). */
export const IEDATA = {
  name: "IEDATA",
  chapter: "11.4.9.6",
  bits: 32,
  offset: 0xa4,
  access: "rw",
  requires: "QI",
  fields: [
    { name: "RSVD_31_16", high: 31, low: 16, kind: "reserved" },
    { name: "IMD", high: 15, low: 0, doc: "message data" },
  ],
} as const;

/** Invalidation event address register (VT-d 11.4.9.7). */
export const IEADDR = {
  name: "IEADDR",
  chapter: "11.4.9.7",
  bits: 32,
  offset: 0xa8,
  access: "rw",
  requires: "QI",
  fields: [
    { name: "MA", high: 31, low: 2, address: "input", doc: "message address" },
    { name: "RSVD_1_0", high: 1, low: 0, kind: "reserved" },
  ],
} as const;

/** Invalidation event upper address register (VT-d 11.4.9.8). */
export const IEUADDR = {
  name: "IEUADDR",
  chapter: "11.4.9.8",
  bits: 32,
  offset: 0xac,
  access: "rw",
  requires: "QI",
  fields: [{ name: "MUA", high: 31, low: 0, doc: "message address bits 63:32" }],
} as const;

/** Invalidation queue error record register (VT-d 11.4.9.9). */
export const IQERCD = {
  name: "IQERCD",
  chapter: "11.4.9.9",
  bits: 64,
  offset: 0xb0,
  access: "ro",
  sticky: true,
  requires: "QI",
  fields: [
    {
      name: "ICESID",
      high: 63,
      low: 48,
      doc: "source-id of the bad completion, while FSTS.ICE is 1",
    },
    { name: "ITESID", high: 47, low: 32, doc: "source-id that timed out, while FSTS.ITE is 1" },
    { name: "RSVD_31_4", high: 31, low: 4, kind: "reserved" },
    { name: "IQEI", high: 3, low: 0, doc: "see InvalidationQueueError, while FSTS.IQE is 1" },
  ],
} as const;

/** IQERCD.IQEI (VT-d 11.4.9.9). */
export const InvalidationQueueError = {
  INVALID_TAIL: 1,
  FETCH: 2,
  INVALID_TYPE: 3,
  RESERVED_FIELD: 4,
  /** IQA.DW doesn't suit the mode or the capabilities. */
  DESCRIPTOR_WIDTH: 5,
  /** IQA.DW is 1 and IQT bit 4 is set. */
  TAIL_NOT_ALIGNED: 6,
  INVALID_TTM: 7,
} as const;
