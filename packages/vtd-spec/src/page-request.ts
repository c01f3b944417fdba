/** Page request descriptor, written to the page request queue (VT-d 7.4.1.1). */
export const PAGE_REQ_DSC = {
  name: "page_req_dsc",
  chapter: "7.4.1.1",
  bits: 256,
  type: 1,
  requires: "PRS",
  fields: [
    { name: "RSVD_255_128", high: 255, low: 128, kind: "reserved" },
    { name: "ADDR", high: 127, low: 76, address: "input", doc: "page address of the request" },
    { name: "PRGI", high: 75, low: 67, doc: "page request group index" },
    { name: "LPIG", high: 66, low: 66, doc: "last page in group: a response is owed" },
    { name: "WRR", high: 65, low: 65, doc: "write access requested" },
    { name: "RDR", high: 64, low: 64, doc: "read access requested" },
    { name: "RSVD_63_54", high: 63, low: 54, kind: "reserved" },
    { name: "PMR", high: 53, low: 53, doc: "supervisor privilege requested" },
    { name: "EXR", high: 52, low: 52, doc: "execute access requested" },
    { name: "PASID", high: 51, low: 32, doc: "PASID, if PP is 1" },
    { name: "RID", high: 31, low: 16, doc: "requester-id" },
    { name: "RSVD_15_9", high: 15, low: 9, kind: "reserved" },
    { name: "PP", high: 8, low: 8, doc: "PASID present" },
    { name: "TYPE", high: 7, low: 0, doc: "1" },
  ],
} as const;

/** Page group response descriptor, submitted through the invalidation queue (VT-d 7.6.1). */
export const PAGE_GRP_RESP_DSC = {
  name: "page_grp_resp_dsc",
  chapter: "7.6.1",
  bits: 256,
  type: 9,
  requires: "PRS",
  fields: [
    { name: "RSVD_255_128", high: 255, low: 128, kind: "reserved" },
    { name: "RSVD_127_76", high: 127, low: 76, kind: "reserved" },
    { name: "PRGI", high: 75, low: 67, doc: "page request group index" },
    { name: "IGN_66", high: 66, low: 66, kind: "ignored", doc: "LPIG before revision 5.10" },
    { name: "RSVD_65_64", high: 65, low: 64, kind: "reserved" },
    { name: "RSVD_63_52", high: 63, low: 52, kind: "reserved" },
    { name: "PASID", high: 51, low: 32, doc: "PASID, if PP is 1" },
    { name: "RID", high: 31, low: 16, doc: "requester-id" },
    { name: "RC", high: 15, low: 12, doc: "see ResponseCode" },
    { name: "TYPE_HIGH", high: 11, low: 9, doc: "bits 6:4 of the descriptor type, 0" },
    { name: "RSVD_8_5", high: 8, low: 5, kind: "reserved" },
    { name: "PP", high: 4, low: 4, doc: "PASID present" },
    { name: "TYPE", high: 3, low: 0, doc: "bits 3:0 of the descriptor type, 9" },
  ],
} as const;

/** PAGE_GRP_RESP_DSC.RC (VT-d 7.6.1, table 32). */
export const ResponseCode = {
  SUCCESS: 0,
  INVALID_REQUEST: 1,
  RESPONSE_FAILURE: 0xf,
} as const;
