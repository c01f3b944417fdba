/** Page request queue head register (VT-d 11.4.11.1). */
export const PQH = {
  name: "PQH",
  chapter: "11.4.11.1",
  bits: 64,
  offset: 0xc0,
  access: "rw",
  requires: "PRS",
  fields: [
    { name: "RSVD_63_19", high: 63, low: 19, kind: "reserved" },
    {
      name: "PQH",
      high: 18,
      low: 5,
      doc: "next request software will handle, in units of 32 bytes",
    },
    { name: "RSVD_4_0", high: 4, low: 0, kind: "reserved" },
  ],
} as const;

/** Page request queue tail register (VT-d 11.4.11.2). */
export const PQT = {
  name: "PQT",
  chapter: "11.4.11.2",
  bits: 64,
  offset: 0xc8,
  access: "rw",
  requires: "PRS",
  fields: [
    { name: "RSVD_63_19", high: 63, low: 19, kind: "reserved" },
    { name: "PQT", high: 18, low: 5, doc: "next slot hardware will write, in units of 32 bytes" },
    { name: "RSVD_4_0", high: 4, low: 0, kind: "reserved" },
  ],
} as const;

/** Page request queue address register (VT-d 11.4.11.3). */
export const PQA = {
  name: "PQA",
  chapter: "11.4.11.3",
  bits: 64,
  offset: 0xd0,
  access: "rw",
  requires: "PRS",
  fields: [
    { name: "PQA", high: 63, low: 12, address: "host", doc: "queue" },
    { name: "RSVD_11_3", high: 11, low: 3, kind: "reserved" },
    { name: "PQS", high: 2, low: 0, doc: "the queue has 2^PQS pages, 2^(PQS + 7) slots" },
  ],
} as const;

/** Page request status register (VT-d 11.4.11.4). */
export const PRS = {
  name: "PRS",
  chapter: "11.4.11.4",
  bits: 32,
  offset: 0xdc,
  access: "rw1c",
  sticky: true,
  requires: "PRS",
  fields: [
    { name: "RSVD_31_2", high: 31, low: 2, kind: "reserved" },
    { name: "PRO", high: 1, low: 1, doc: "a request found the queue full" },
    { name: "PPR", high: 0, low: 0, doc: "a request was queued" },
  ],
} as const;

/** Page request event control register (VT-d 11.4.11.5). */
export const PECTL = {
  name: "PECTL",
  chapter: "11.4.11.5",
  bits: 32,
  offset: 0xe0,
  access: "rw",
  reset: 0x8000_0000,
  requires: "PRS",
  fields: [
    { name: "IM", high: 31, low: 31, doc: "interrupt mask" },
    { name: "IP", high: 30, low: 30, access: "ro", doc: "interrupt pending" },
    { name: "RSVD_29_0", high: 29, low: 0, kind: "reserved", doc: "RsvdP" },
  ],
} as const;

/** Page request event data register (VT-d 11.4.11.6). */
export const PEDATA = {
  name: "PEDATA",
  chapter: "11.4.11.6",
  bits: 32,
  offset: 0xe4,
  access: "rw",
  requires: "PRS",
  fields: [
    { name: "RSVD_31_16", high: 31, low: 16, kind: "reserved" },
    { name: "IMD", high: 15, low: 0, doc: "message data" },
  ],
} as const;

/** Page request event address register (VT-d 11.4.11.7). */
export const PEADDR = {
  name: "PEADDR",
  chapter: "11.4.11.7",
  bits: 32,
  offset: 0xe8,
  access: "rw",
  requires: "PRS",
  fields: [
    { name: "MA", high: 31, low: 2, address: "input", doc: "message address" },
    { name: "RSVD_1_0", high: 1, low: 0, kind: "reserved" },
  ],
} as const;

/** Page request event upper address register (VT-d 11.4.11.8). */
export const PEUADDR = {
  name: "PEUADDR",
  chapter: "11.4.11.8",
  bits: 32,
  offset: 0xec,
  access: "rw",
  requires: "PRS",
  fields: [{ name: "MUA", high: 31, low: 0, doc: "message address bits 63:32" }],
} as const;
