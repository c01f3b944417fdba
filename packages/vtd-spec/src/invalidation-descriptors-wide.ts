/*
 * Invalidation descriptors of 256 bits (VT-d 6.5.2): valid in a queue of 256-bit descriptors only
 * (IQA.DW 1), outside legacy mode. Domain-id bits beyond the width are ignored.
 */

/** PASID-based IOTLB invalidate descriptor (VT-d 6.5.2.4). */
export const P_IOTLB_INV_DSC = {
  name: "p_iotlb_inv_dsc",
  chapter: "6.5.2.4",
  bits: 256,
  type: 6,
  granularities: [2, 3],
  fields: [
    { name: "RSVD_255_128", high: 255, low: 128, kind: "reserved" },
    { name: "ADDR", high: 127, low: 76, address: "input", doc: "first-stage input address" },
    { name: "RSVD_75_71", high: 75, low: 71, kind: "reserved" },
    { name: "IH", high: 70, low: 70, doc: "invalidation hint: 1 only leaf entries were changed" },
    { name: "AM", high: 69, low: 64, doc: "2^AM pages of 4 KByte" },
    { name: "RSVD_63_52", high: 63, low: 52, kind: "reserved" },
    { name: "PASID", high: 51, low: 32, doc: "PASID" },
    { name: "DID", high: 31, low: 16, doc: "domain-id" },
    { name: "RSVD_15_12", high: 15, low: 12, kind: "reserved" },
    { name: "TYPE_HIGH", high: 11, low: 9, doc: "bits 6:4 of the descriptor type, 0" },
    { name: "RSVD_8_6", high: 8, low: 6, kind: "reserved" },
    { name: "G", high: 5, low: 4, doc: "see PasidIotlbGranularity" },
    { name: "TYPE", high: 3, low: 0, doc: "bits 3:0 of the descriptor type, 6" },
  ],
} as const;

/** P_IOTLB_INV_DSC.G; others are reserved (VT-d 6.5.2.4). */
export const PasidIotlbGranularity = { PASID: 2, PAGE: 3 } as const;

/** PASID-cache invalidate descriptor (VT-d 6.5.2.2). */
export const PC_INV_DSC = {
  name: "pc_inv_dsc",
  chapter: "6.5.2.2",
  bits: 256,
  type: 7,
  granularities: [0, 1, 3],
  fields: [
    { name: "RSVD_255_128", high: 255, low: 128, kind: "reserved" },
    { name: "RSVD_127_64", high: 127, low: 64, kind: "reserved" },
    { name: "RSVD_63_52", high: 63, low: 52, kind: "reserved" },
    { name: "PASID", high: 51, low: 32, doc: "PASID" },
    { name: "DID", high: 31, low: 16, doc: "domain-id" },
    { name: "RSVD_15_12", high: 15, low: 12, kind: "reserved" },
    { name: "TYPE_HIGH", high: 11, low: 9, doc: "bits 6:4 of the descriptor type, 0" },
    { name: "RSVD_8_6", high: 8, low: 6, kind: "reserved" },
    { name: "G", high: 5, low: 4, doc: "see PasidCacheGranularity" },
    { name: "TYPE", high: 3, low: 0, doc: "bits 3:0 of the descriptor type, 7" },
  ],
} as const;

/** PC_INV_DSC.G; 2 is reserved (VT-d 6.5.2.2). */
export const PasidCacheGranularity = { DOMAIN: 0, PASID: 1, GLOBAL: 3 } as const;

/** PASID-based device-TLB invalidate descriptor (VT-d 6.5.2.6). */
export const P_DEV_TLB_INV_DSC = {
  name: "p_dev_tlb_inv_dsc",
  chapter: "6.5.2.6",
  bits: 256,
  type: 8,
  requires: "DT",
  fields: [
    { name: "RSVD_255_128", high: 255, low: 128, kind: "reserved" },
    {
      name: "ADDR",
      high: 127,
      low: 76,
      address: "input",
      doc: "input address, its low bits give the size if S is 1",
    },
    { name: "S", high: 75, low: 75, doc: "more than one page" },
    { name: "RSVD_74_65", high: 74, low: 65, kind: "reserved" },
    { name: "GI", high: 64, low: 64, doc: "global invalidate: every PASID" },
    {
      name: "PFSID_HIGH",
      high: 63,
      low: 52,
      requires: "DIT",
      doc: "bits 15:4 of the source-id of the physical function",
    },
    { name: "PASID", high: 51, low: 32, doc: "PASID" },
    { name: "SID", high: 31, low: 16, doc: "source-id of the device" },
    {
      name: "PFSID",
      high: 15,
      low: 12,
      requires: "DIT",
      doc: "bits 3:0 of the source-id of the physical function",
    },
    { name: "TYPE_HIGH", high: 11, low: 9, doc: "bits 6:4 of the descriptor type, 0" },
    { name: "MIP", high: 8, low: 4, doc: "maximum invalidations pending, 0 means 32" },
    { name: "TYPE", high: 3, low: 0, doc: "bits 3:0 of the descriptor type, 8" },
  ],
} as const;

/** HPT cache invalidate descriptor (VT-d 6.5.2.7). */
export const HPT_INV_DSC = {
  name: "hpt_inv_dsc",
  chapter: "6.5.2.7",
  bits: 256,
  type: 0xa,
  requires: "HPTS",
  granularities: [1, 2, 3],
  fields: [
    { name: "RSVD_255_128", high: 255, low: 128, kind: "reserved" },
    {
      name: "ADDR",
      high: 127,
      low: 76,
      address: "input",
      doc: "host physical address; bits at and above the host address width ignored",
    },
    { name: "RSVD_75_72", high: 75, low: 72, kind: "reserved" },
    { name: "IH", high: 71, low: 70, doc: "levels: 0 L1, 1 L2 and L1, 2 L3 to L1, 3 all" },
    { name: "AM", high: 69, low: 64, doc: "2^AM pages of 4 KByte" },
    { name: "RSVD_63_32", high: 63, low: 32, kind: "reserved" },
    { name: "HPTDID", high: 31, low: 16, doc: "domain-id of the host permission table" },
    { name: "RSVD_15_12", high: 15, low: 12, kind: "reserved" },
    { name: "TYPE_HIGH", high: 11, low: 9, doc: "bits 6:4 of the descriptor type, 0" },
    { name: "RSVD_8_6", high: 8, low: 6, kind: "reserved" },
    { name: "G", high: 5, low: 4, doc: "see Granularity" },
    { name: "TYPE", high: 3, low: 0, doc: "bits 3:0 of the descriptor type, Ah" },
  ],
} as const;
