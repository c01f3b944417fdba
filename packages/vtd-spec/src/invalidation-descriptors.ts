/*
 * Invalidation descriptors of 128 bits (VT-d 6.5.2); in a queue of 256-bit descriptors
 * (IQA.DW 1) bits 255:128 follow and are 0. Domain-id bits beyond the width are ignored.
 */

/** Context-cache invalidate descriptor (VT-d 6.5.2.1). */
export const CC_INV_DSC = {
  name: "cc_inv_dsc",
  chapter: "6.5.2.1",
  bits: 128,
  type: 1,
  granularities: [1, 2, 3],
  fields: [
    { name: "RSVD_127_64", high: 127, low: 64, kind: "reserved" },
    { name: "RSVD_63_50", high: 63, low: 50, kind: "reserved" },
    {
      name: "FM",
      high: 49,
      low: 48,
      doc: "function mask: 0 none, 1 bit 2, 2 bits 2:1, 3 bits 2:0 of SID",
    },
    { name: "SID", high: 47, low: 32, doc: "source-id" },
    { name: "DID", high: 31, low: 16, doc: "domain-id" },
    { name: "RSVD_15_12", high: 15, low: 12, kind: "reserved" },
    { name: "TYPE_HIGH", high: 11, low: 9, doc: "bits 6:4 of the descriptor type, 0" },
    { name: "RSVD_8_6", high: 8, low: 6, kind: "reserved" },
    { name: "G", high: 5, low: 4, doc: "see Granularity" },
    { name: "TYPE", high: 3, low: 0, doc: "bits 3:0 of the descriptor type, 1" },
  ],
} as const;

/** IOTLB invalidate descriptor (VT-d 6.5.2.3). */
export const IOTLB_INV_DSC = {
  name: "iotlb_inv_dsc",
  chapter: "6.5.2.3",
  bits: 128,
  type: 2,
  granularities: [1, 2, 3],
  fields: [
    {
      name: "ADDR",
      high: 127,
      low: 76,
      address: "input",
      doc: "second-stage input address; bits at and above MGAW ignored",
    },
    { name: "RSVD_75_71", high: 75, low: 71, kind: "reserved" },
    { name: "IH", high: 70, low: 70, doc: "invalidation hint: 1 only leaf entries were changed" },
    { name: "AM", high: 69, low: 64, doc: "2^AM pages of 4 KByte" },
    { name: "RSVD_63_32", high: 63, low: 32, kind: "reserved" },
    { name: "DID", high: 31, low: 16, doc: "domain-id" },
    { name: "RSVD_15_12", high: 15, low: 12, kind: "reserved" },
    { name: "TYPE_HIGH", high: 11, low: 9, doc: "bits 6:4 of the descriptor type, 0" },
    { name: "RSVD_8", high: 8, low: 8, kind: "reserved" },
    { name: "DR", high: 7, low: 7, doc: "drain reads" },
    { name: "DW", high: 6, low: 6, doc: "drain writes" },
    { name: "G", high: 5, low: 4, doc: "see Granularity; page needs CAP.PSI" },
    { name: "TYPE", high: 3, low: 0, doc: "bits 3:0 of the descriptor type, 2" },
  ],
} as const;

/** Device-TLB invalidate descriptor (VT-d 6.5.2.5). */
export const DEV_TLB_INV_DSC = {
  name: "dev_tlb_inv_dsc",
  chapter: "6.5.2.5",
  bits: 128,
  type: 3,
  requires: "DT",
  fields: [
    {
      name: "ADDR",
      high: 127,
      low: 76,
      address: "input",
      doc: "input address, its low bits give the size if S is 1",
    },
    { name: "RSVD_75_65", high: 75, low: 65, kind: "reserved" },
    { name: "S", high: 64, low: 64, doc: "more than one page" },
    {
      name: "PFSID_HIGH",
      high: 63,
      low: 52,
      requires: "DIT",
      doc: "bits 15:4 of the source-id of the physical function",
    },
    { name: "RSVD_51_48", high: 51, low: 48, kind: "reserved" },
    { name: "SID", high: 47, low: 32, doc: "source-id of the device" },
    { name: "RSVD_31_21", high: 31, low: 21, kind: "reserved" },
    { name: "MIP", high: 20, low: 16, doc: "maximum invalidations pending, 0 means 32" },
    {
      name: "PFSID",
      high: 15,
      low: 12,
      requires: "DIT",
      doc: "bits 3:0 of the source-id of the physical function",
    },
    { name: "TYPE_HIGH", high: 11, low: 9, doc: "bits 6:4 of the descriptor type, 0" },
    { name: "RSVD_8_4", high: 8, low: 4, kind: "reserved" },
    { name: "TYPE", high: 3, low: 0, doc: "bits 3:0 of the descriptor type, 3" },
  ],
} as const;

/** Interrupt entry cache invalidate descriptor (VT-d 6.5.2.8). */
export const IEC_INV_DSC = {
  name: "iec_inv_dsc",
  chapter: "6.5.2.8",
  bits: 128,
  type: 4,
  fields: [
    { name: "RSVD_127_64", high: 127, low: 64, kind: "reserved" },
    { name: "RSVD_63_48", high: 63, low: 48, kind: "reserved" },
    { name: "IIDX", high: 47, low: 32, doc: "interrupt index" },
    { name: "IM", high: 31, low: 27, doc: "2^IM indexes" },
    { name: "RSVD_26_12", high: 26, low: 12, kind: "reserved" },
    { name: "TYPE_HIGH", high: 11, low: 9, doc: "bits 6:4 of the descriptor type, 0" },
    { name: "RSVD_8_5", high: 8, low: 5, kind: "reserved" },
    { name: "G", high: 4, low: 4, doc: "0 global, 1 index" },
    { name: "TYPE", high: 3, low: 0, doc: "bits 3:0 of the descriptor type, 4" },
  ],
} as const;

/** Invalidation wait descriptor (VT-d 6.5.2.9). */
export const INV_WAIT_DSC = {
  name: "inv_wait_dsc",
  chapter: "6.5.2.9",
  bits: 128,
  type: 5,
  fields: [
    {
      name: "SADDR",
      high: 127,
      low: 66,
      address: "input",
      doc: "status address; bits at and above the host address width ignored",
    },
    { name: "RSVD_65_64", high: 65, low: 64, kind: "reserved" },
    { name: "SDATA", high: 63, low: 32, doc: "status data" },
    { name: "RSVD_31_12", high: 31, low: 12, kind: "reserved" },
    { name: "TYPE_HIGH", high: 11, low: 9, doc: "bits 6:4 of the descriptor type, 0" },
    { name: "RSVD_8", high: 8, low: 8, kind: "reserved" },
    { name: "PD", high: 7, low: 7, requires: "PDS", doc: "page-request drain" },
    { name: "FN", high: 6, low: 6, doc: "fence: later descriptors wait for this one" },
    { name: "SW", high: 5, low: 5, doc: "status write: write status data to status address" },
    { name: "IF", high: 4, low: 4, doc: "interrupt: set ICS.IWC" },
    { name: "TYPE", high: 3, low: 0, doc: "bits 3:0 of the descriptor type, 5" },
  ],
} as const;

/** G of cc_inv_dsc and iotlb_inv_dsc, and CIRG, CAIG, IIRG, IAIG; 0 is reserved (VT-d 11.4.6). */
export const Granularity = {
  GLOBAL: 1,
  DOMAIN: 2,
  /** Of context-cache requests. */
  DEVICE: 3,
  /** Of IOTLB and HPT cache requests. */
  PAGE: 3,
} as const;
