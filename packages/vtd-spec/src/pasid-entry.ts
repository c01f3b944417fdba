/** PASID directory entry, indexed by PASID bits 19:6 (VT-d 9.5). */
export const PASID_DIR_ENTRY = {
  name: "pasid-directory-entry",
  chapter: "9.5",
  bits: 64,
  fields: [
    { name: "SMPTBLPTR", high: 63, low: 12, address: "host", doc: "PASID table of 64 entries" },
    { name: "RSVD_11_2", high: 11, low: 2, kind: "reserved" },
    {
      name: "FPD",
      high: 1,
      low: 1,
      doc: "qualified faults are not recorded; looked at even when P is 0",
    },
    { name: "P", high: 0, low: 0, doc: "present" },
  ],
} as const;

/**
 * PASID table entry, indexed by PASID bits 5:0 (VT-d 9.6). "Not for FS, PT" in a comment: the field
 * is ignored for these translation types (PGTT), but is still checked where it is reserved.
 */
export const PASID_ENTRY = {
  name: "pasid-table-entry",
  chapter: "9.6",
  bits: 512,
  fields: [
    { name: "RSVD_511_336", high: 511, low: 336, kind: "reserved" },
    {
      name: "HPTDID",
      high: 335,
      low: 320,
      requires: "HPTS",
      domainId: true,
      doc: "domain-id of the host permission table",
    },
    {
      name: "HPTPTR",
      high: 319,
      low: 268,
      requires: "HPTS",
      address: "host",
      doc: "top table of the host permission table",
    },
    { name: "RSVD_267_259", high: 267, low: 259, kind: "reserved" },
    {
      name: "HPTPFD",
      high: 258,
      low: 258,
      requires: "HPTS",
      doc: "no prefetch of host permissions",
    },
    {
      name: "HPTSZ",
      high: 257,
      low: 256,
      requires: "HPTS",
      doc: "translated addresses are below 2^(49 + HPTSZ)",
    },
    { name: "RSVD_255_192", high: 255, low: 192, kind: "reserved" },
    {
      name: "FSPTPTR",
      high: 191,
      low: 140,
      requires: "FSTS",
      address: "host",
      doc: "first-stage root table, guest physical if nested; not for SS, PT",
    },
    { name: "RSVD_139_136", high: 139, low: 136, kind: "reserved" },
    {
      name: "EAFE",
      high: 135,
      low: 135,
      requires: "EAFS",
      doc: "extended-accessed flags are set; not for SS, PT",
    },
    { name: "IGN_134_133", high: 134, low: 133, kind: "ignored", doc: "NXE and SMEP before 4.1" },
    {
      name: "WPE",
      high: 132,
      low: 132,
      requires: "FSTS",
      doc: "supervisor writes respect R/W; not for SS, PT",
    },
    {
      name: "FSPM",
      high: 131,
      low: 130,
      requires: "FSTS",
      doc: "first-stage paging: 0 4-level, 1 5-level (needs FS5LP), others reserved",
    },
    { name: "RSVD_129", high: 129, low: 129, kind: "reserved" },
    { name: "SRE", high: 128, low: 128, requires: "SRS", doc: "supervisor requests are allowed" },
    {
      name: "PAT",
      high: 127,
      low: 96,
      requires: "MTS",
      doc: "page attribute table, eight entries of 4 bits",
    },
    { name: "RSVD_95_91", high: 95, low: 91, kind: "reserved" },
    {
      name: "EMTE",
      high: 90,
      low: 90,
      requires: "MTS",
      doc: "EMT and IPAT of second stage are used; not for FS, PT",
    },
    { name: "CD", high: 89, low: 89, requires: "MTS", doc: "cache disable" },
    { name: "PGSNP", high: 88, low: 88, requires: "SC", doc: "all requests snoop" },
    { name: "PWSNP", high: 87, low: 87, requires: "SMPWCS", doc: "page walks snoop" },
    { name: "RSVD_86_80", high: 86, low: 80, kind: "reserved" },
    {
      name: "DID",
      high: 79,
      low: 64,
      domainId: true,
      doc: "domain-id; 0 is not to be used when CM is 1",
    },
    {
      name: "SSPTPTR",
      high: 63,
      low: 12,
      requires: "SSTS",
      address: "host",
      doc: "second-stage root table; not for FS, PT",
    },
    { name: "RSVD_11_10", high: 11, low: 10, kind: "reserved" },
    {
      name: "SSADE",
      high: 9,
      low: 9,
      requires: ["SSTS", "SSADS"],
      doc: "second-stage A and D flags are set; not for FS, PT",
    },
    { name: "PGTT", high: 8, low: 6, doc: "see PasidTranslationType" },
    { name: "RSVD_5", high: 5, low: 5, kind: "reserved" },
    {
      name: "AW",
      high: 4,
      low: 2,
      requires: "SSTS",
      doc: "second-stage width, see AddressWidth; not for FS, PT",
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

/** PASID_ENTRY.PGTT; others are reserved (VT-d 9.6). */
export const PasidTranslationType = {
  /** FS; needs ECAP.FSTS. */
  FIRST_STAGE: 1,
  /** SS; needs ECAP.SSTS. */
  SECOND_STAGE: 2,
  /** Needs ECAP.NEST. */
  NESTED: 3,
  /** PT; needs ECAP.PT. */
  PASS_THROUGH: 4,
} as const;
