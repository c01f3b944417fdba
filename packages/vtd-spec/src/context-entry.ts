/** Context entry, legacy mode: one of 256, indexed by device and function (VT-d 9.3). */
export const CONTEXT_ENTRY = {
  name: "context-entry",
  chapter: "9.3",
  bits: 128,
  fields: [
    { name: "RSVD_127_88", high: 127, low: 88, kind: "reserved" },
    {
      name: "DID",
      high: 87,
      low: 72,
      domainId: true,
      doc: "domain-id; 0 is not to be used when CM is 1",
    },
    { name: "RSVD_71", high: 71, low: 71, kind: "reserved" },
    { name: "IGN_70_67", high: 70, low: 67, kind: "ignored" },
    { name: "AW", high: 66, low: 64, doc: "address width, see AddressWidth" },
    {
      name: "SSPTPTR",
      high: 63,
      low: 12,
      address: "host",
      doc: "second-stage root table; not used for pass-through",
    },
    { name: "RSVD_11_4", high: 11, low: 4, kind: "reserved" },
    { name: "TT", high: 3, low: 2, doc: "see TranslationType" },
    {
      name: "FPD",
      high: 1,
      low: 1,
      doc: "qualified faults are not recorded; looked at even when P is 0",
    },
    { name: "P", high: 0, low: 0, doc: "present" },
  ],
} as const;

/** CONTEXT_ENTRY.TT; 3 is reserved (VT-d 9.3). */
export const TranslationType = {
  /** Untranslated requests are translated, others are blocked. */
  UNTRANSLATED: 0,
  /** Untranslated, translation and translated requests; needs ECAP.DT. */
  DEVICE_TLB: 1,
  /** Untranslated requests pass through, others are blocked; needs ECAP.PT. */
  PASS_THROUGH: 2,
} as const;

/** AW of context and PASID table entries: width of second-stage input addresses (VT-d 9.3). */
export const AddressWidth = {
  /** 39 bits, 3 levels. */
  BITS_39: 1,
  /** 48 bits, 4 levels. */
  BITS_48: 2,
  /** 57 bits, 5 levels. */
  BITS_57: 3,
} as const;

/** Context entry, scalable mode: one of 128 in the half of the root entry (VT-d 9.4). */
export const SM_CONTEXT_ENTRY = {
  name: "scalable-mode-context-entry",
  chapter: "9.4",
  bits: 256,
  fields: [
    { name: "RSVD_255_85", high: 255, low: 85, kind: "reserved" },
    {
      name: "RID_PRIV",
      high: 84,
      low: 84,
      requires: "RPRIVS",
      doc: "requests without PASID ask for supervisor privilege",
    },
    {
      name: "RID_PASID",
      high: 83,
      low: 64,
      requires: "RPS",
      doc: "PASID of requests without PASID",
    },
    { name: "PASIDDIRPTR", high: 63, low: 12, address: "host", doc: "PASID directory" },
    { name: "PDTS", high: 11, low: 9, doc: "the directory has 2^(PDTS + 7) entries" },
    { name: "RSVD_8_7", high: 8, low: 7, kind: "reserved" },
    {
      name: "EPTR",
      high: 6,
      low: 6,
      requires: "PTRS",
      doc: "translated requests may carry a PASID",
    },
    {
      name: "HPTE",
      high: 5,
      low: 5,
      requires: "HPTS",
      doc: "translated requests go through the host permission table",
    },
    { name: "PRE", high: 4, low: 4, requires: "PRS", doc: "page requests are allowed" },
    { name: "PASIDE", high: 3, low: 3, requires: "PASID", doc: "requests with PASID are allowed" },
    {
      name: "DTE",
      high: 2,
      low: 2,
      requires: "DT",
      doc: "translation and translated requests are allowed",
    },
    {
      name: "FPD",
      high: 1,
      low: 1,
      doc: "qualified faults are not recorded; looked at even when P is 0",
    },
    { name: "P", high: 0, low: 0, doc: "present" },
  ],
} as const;
