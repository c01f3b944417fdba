/** Fault status register (VT-d 11.4.7.1). */
export const FSTS = {
  name: "FSTS",
  chapter: "11.4.7.1",
  bits: 32,
  offset: 0x34,
  access: "rw1c",
  sticky: true,
  fields: [
    { name: "RSVD_31_16", high: 31, low: 16, kind: "reserved" },
    { name: "FRI", high: 15, low: 8, access: "ro", doc: "index of the record that set PPF" },
    { name: "RSVD_7", high: 7, low: 7, kind: "reserved", doc: "PRO before 3.0" },
    { name: "ITE", high: 6, low: 6, requires: "DT", doc: "device-TLB invalidation timed out" },
    {
      name: "ICE",
      high: 5,
      low: 5,
      requires: "DT",
      doc: "unexpected device-TLB invalidation completion",
    },
    { name: "IQE", high: 4, low: 4, requires: "QI", doc: "invalidation queue error, see IQERCD" },
    { name: "RSVD_3_2", high: 3, low: 2, kind: "reserved" },
    { name: "PPF", high: 1, low: 1, access: "ro", doc: "some FRCD.F is 1" },
    { name: "PFO", high: 0, low: 0, doc: "a fault found its record still in use and was lost" },
  ],
} as const;

/** Fault event control register (VT-d 11.4.7.2). */
export const FECTL = {
  name: "FECTL",
  chapter: "11.4.7.2",
  bits: 32,
  offset: 0x38,
  access: "rw",
  reset: 0x8000_0000,
  fields: [
    { name: "IM", high: 31, low: 31, doc: "interrupt mask" },
    { name: "IP", high: 30, low: 30, access: "ro", doc: "interrupt pending" },
    { name: "RSVD_29_0", high: 29, low: 0, kind: "reserved", doc: "RsvdP" },
  ],
} as const;

/** Fault event data register (VT-d 11.4.7.3). */
export const FEDATA = {
  name: "FEDATA",
  chapter: "11.4.7.3",
  bits: 32,
  offset: 0x3c,
  access: "rw",
  fields: [
    { name: "RSVD_31_16", high: 31, low: 16, kind: "reserved" },
    { name: "IMD", high: 15, low: 0, doc: "message data" },
  ],
} as const;

/** Fault event address register (VT-d 11.4.7.4). */
export const FEADDR = {
  name: "FEADDR",
  chapter: "11.4.7.4",
  bits: 32,
  offset: 0x40,
  access: "rw",
  fields: [
    { name: "MA", high: 31, low: 2, address: "input", doc: "message address" },
    { name: "RSVD_1_0", high: 1, low: 0, kind: "reserved" },
  ],
} as const;

/** Fault event upper address register (VT-d 11.4.7.5). */
export const FEUADDR = {
  name: "FEUADDR",
  chapter: "11.4.7.5",
  bits: 32,
  offset: 0x44,
  access: "rw",
  fields: [{ name: "MUA", high: 31, low: 0, doc: "message address bits 63:32" }],
} as const;

/** Fault recording register, CAP.NFR + 1 of them from CAP.FRO * 16 on (VT-d 11.4.7.6). */
export const FRCD = {
  name: "FRCD",
  chapter: "11.4.7.6",
  bits: 128,
  offset: 0,
  base: "FRO",
  count: 256,
  stride: 16,
  access: "ro",
  sticky: true,
  fields: [
    { name: "F", high: 127, low: 127, access: "rw1c", doc: "a fault is recorded here" },
    { name: "T1", high: 126, low: 126, doc: "type, with T2: see FaultType" },
    { name: "AT", high: 125, low: 124, requires: "DT", doc: "see AddressType" },
    { name: "PV", high: 123, low: 104, requires: "PASID", doc: "PASID, if PP is 1" },
    { name: "FR", high: 103, low: 96, doc: "see FaultReason" },
    { name: "PP", high: 95, low: 95, requires: "PASID", doc: "the request had a PASID" },
    { name: "EXE", high: 94, low: 94, requires: "PASID", doc: "execute permission was requested" },
    {
      name: "PRIV",
      high: 93,
      low: 93,
      requires: "PASID",
      doc: "supervisor privilege was requested",
    },
    { name: "T2", high: 92, low: 92, doc: "type, with T1" },
    { name: "RSVD_91_80", high: 91, low: 80, kind: "reserved" },
    { name: "SID", high: 79, low: 64, doc: "source-id" },
    {
      name: "FI",
      high: 63,
      low: 12,
      address: "input",
      doc: "page address; of an interrupt request: its index in 63:48",
    },
    { name: "RSVD_11_0", high: 11, low: 0, kind: "reserved" },
  ],
} as const;

/** FRCD type as T1 * 2 + T2; for DMA requests only (VT-d 11.4.7.6). */
export const FaultType = { WRITE: 0, PAGE_REQUEST: 1, READ: 2, ATOMIC: 3 } as const;

/** FRCD.AT: address type of a request; 3 is reserved (VT-d 11.4.7.6). */
export const AddressType = { UNTRANSLATED: 0, TRANSLATION: 1, TRANSLATED: 2 } as const;
