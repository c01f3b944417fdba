/*
 * Register-based invalidation (VT-d 11.4.6): for legacy mode, up to major version 5. Granularities:
 * see Granularity; 0 in CAIG and IAIG says that the request was refused.
 */

/** Context command register; the write of its top byte with ICC set starts (VT-d 11.4.6.1). */
export const CCMD = {
  name: "CCMD",
  chapter: "11.4.6.1",
  bits: 64,
  offset: 0x28,
  access: "rw",
  fields: [
    {
      name: "ICC",
      high: 63,
      low: 63,
      access: "start",
      doc: "invalidate context-cache; hardware clears it when done",
    },
    { name: "CIRG", high: 62, low: 61, doc: "requested granularity" },
    { name: "CAIG", high: 60, low: 59, access: "ro", doc: "actual granularity" },
    { name: "RSVD_58_34", high: 58, low: 34, kind: "reserved" },
    {
      name: "FM",
      high: 33,
      low: 32,
      access: "wo",
      doc: "function mask: 0 none, 1 bit 2, 2 bits 2:1, 3 bits 2:0 of SID",
    },
    { name: "SID", high: 31, low: 16, access: "wo", doc: "source-id" },
    { name: "DID", high: 15, low: 0, doc: "domain-id; bits beyond the width are ignored" },
  ],
} as const;

/** Invalidate address register, at ECAP.IRO * 16 (VT-d 11.4.6.4). */
export const IVA = {
  name: "IVA",
  chapter: "11.4.6.4",
  bits: 64,
  offset: 0,
  base: "IRO",
  access: "wo",
  fields: [
    {
      name: "ADDR",
      high: 63,
      low: 12,
      address: "input",
      doc: "second-stage input address; bits at and above MGAW are ignored",
    },
    { name: "RSVD_11_7", high: 11, low: 7, kind: "reserved" },
    { name: "IH", high: 6, low: 6, doc: "invalidation hint: 1 only leaf entries were changed" },
    { name: "AM", high: 5, low: 0, doc: "2^AM pages of 4 KByte, AM up to CAP.MAMV" },
  ],
} as const;

/** IOTLB invalidate register, 8 after IVA; the write of its top byte with IVT starts (VT-d 11.4.6.3). */
export const IOTLB = {
  name: "IOTLB",
  chapter: "11.4.6.3",
  bits: 64,
  offset: 8,
  base: "IRO",
  access: "rw",
  fields: [
    {
      name: "IVT",
      high: 63,
      low: 63,
      access: "start",
      doc: "invalidate IOTLB; hardware clears it when done",
    },
    { name: "RSVD_62", high: 62, low: 62, kind: "reserved" },
    { name: "IIRG", high: 61, low: 60, doc: "requested granularity" },
    { name: "RSVD_59", high: 59, low: 59, kind: "reserved" },
    { name: "IAIG", high: 58, low: 57, access: "ro", doc: "actual granularity" },
    { name: "RSVD_56_50", high: 56, low: 50, kind: "reserved" },
    { name: "DR", high: 49, low: 49, doc: "drain reads; ignored if DRD is 0" },
    { name: "DW", high: 48, low: 48, doc: "drain writes; ignored if DWD is 0" },
    { name: "DID", high: 47, low: 32, doc: "domain-id; bits beyond the width are ignored" },
    { name: "RSVD_31_0", high: 31, low: 0, kind: "reserved", doc: "RsvdP" },
  ],
} as const;
