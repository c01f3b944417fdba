/*
 * Per-counter performance monitoring registers. They follow the offsets the unit reports; index of
 * the counter times 100h from the configuration offset on, PERFCAP.CS apart from the counter offset
 * on. "rwl" fields are read-only while the counter is enabled, see Access.
 */

/** Freeze status, a bit for each counter (VT-d 11.4.13.12). */
export const PERFFRZSTS = {
  name: "PERFFRZSTS",
  chapter: "11.4.13.12",
  bits: 64,
  offset: 0,
  base: "PERFFRZOFF",
  stride: 8,
  access: "ro",
  requires: "PMS",
  fields: [{ name: "FS", high: 63, low: 0, doc: "the counter is frozen" }],
} as const;

/** Overflow status, a bit for each counter (VT-d 11.4.13.13). */
export const PERFOVFSTS = {
  name: "PERFOVFSTS",
  chapter: "11.4.13.13",
  bits: 64,
  offset: 0,
  base: "PERFOVFOFF",
  stride: 8,
  access: "rw1c",
  requires: "PMS",
  fields: [{ name: "OS", high: 63, low: 0, doc: "the counter overflowed" }],
} as const;

/** Counter configuration (VT-d 11.4.13.15). */
export const PERFCNTRCFG = {
  name: "PERFCNTRCFG",
  chapter: "11.4.13.15",
  bits: 64,
  offset: 0,
  base: "PERFCFGOFF",
  stride: 0x100,
  access: "rwl",
  requires: "PMS",
  fields: [
    { name: "RSVD_63_60", high: 63, low: 60, kind: "reserved" },
    { name: "ES", high: 59, low: 32, doc: "events to count" },
    { name: "RSVD_31_12", high: 31, low: 12, kind: "reserved" },
    { name: "EGI", high: 11, low: 8, doc: "event group" },
    { name: "RSVD_7_3", high: 7, low: 3, kind: "reserved" },
    { name: "GFO", high: 2, low: 2, doc: "freeze all counters on overflow" },
    { name: "IO", high: 1, low: 1, doc: "interrupt on overflow" },
    { name: "EN", high: 0, low: 0, access: "ro", doc: "enabled; changed by enhanced commands" },
  ],
} as const;

/** Requester-id filter (VT-d 11.4.13.16). */
export const PERFCNTR_RIDFLTR = {
  name: "PERFCNTR_RIDFLTR",
  chapter: "11.4.13.16",
  bits: 32,
  offset: 0x08,
  base: "PERFCFGOFF",
  stride: 0x100,
  access: "rwl",
  requires: "PMS",
  fields: [
    { name: "EN", high: 31, low: 31, doc: "enable" },
    { name: "RSVD_30_16", high: 30, low: 16, kind: "reserved" },
    { name: "RID", high: 15, low: 0, doc: "requester-id to count" },
  ],
} as const;

/** Domain-id filter (VT-d 11.4.13.17). */
export const PERFCNTR_DIDFLTR = {
  name: "PERFCNTR_DIDFLTR",
  chapter: "11.4.13.17",
  bits: 32,
  offset: 0x0c,
  base: "PERFCFGOFF",
  stride: 0x100,
  access: "rwl",
  requires: "PMS",
  fields: [
    { name: "EN", high: 31, low: 31, doc: "enable" },
    { name: "RSVD_30_16", high: 30, low: 16, kind: "reserved" },
    { name: "DID", high: 15, low: 0, doc: "domain-id to count" },
  ],
} as const;

/** PASID filter (VT-d 11.4.13.18). */
export const PERFCNTR_PASIDFLTR = {
  name: "PERFCNTR_PASIDFLTR",
  chapter: "11.4.13.18",
  bits: 32,
  offset: 0x10,
  base: "PERFCFGOFF",
  stride: 0x100,
  access: "rwl",
  requires: "PMS",
  fields: [
    { name: "EN", high: 31, low: 31, doc: "enable" },
    { name: "RSVD_30_22", high: 30, low: 22, kind: "reserved" },
    {
      name: "PFM",
      high: 21,
      low: 20,
      doc: "mode: 0 the PASID below, 1 with any PASID, 2 without PASID, 3 reserved",
    },
    { name: "PASID", high: 19, low: 0, doc: "PASID to count" },
  ],
} as const;

/** Address type filter (VT-d 11.4.13.19). */
export const PERFCNTR_ATFLTR = {
  name: "PERFCNTR_ATFLTR",
  chapter: "11.4.13.19",
  bits: 32,
  offset: 0x14,
  base: "PERFCFGOFF",
  stride: 0x100,
  access: "rwl",
  requires: "PMS",
  fields: [
    { name: "EN", high: 31, low: 31, doc: "enable" },
    { name: "RSVD_30_5", high: 30, low: 5, kind: "reserved" },
    {
      name: "AT",
      high: 4,
      low: 0,
      doc: "bit 0 untranslated, 1 translation, 2 translated requests, 4 HPT prefetches",
    },
  ],
} as const;

/** Page table level filter (VT-d 11.4.13.20). */
export const PERFCNTR_PTLFLTR = {
  name: "PERFCNTR_PTLFLTR",
  chapter: "11.4.13.20",
  bits: 32,
  offset: 0x18,
  base: "PERFCFGOFF",
  stride: 0x100,
  access: "rwl",
  requires: "PMS",
  fields: [
    { name: "EN", high: 31, low: 31, doc: "enable" },
    { name: "RSVD_30_5", high: 30, low: 5, kind: "reserved" },
    { name: "PTL", high: 4, low: 0, doc: "a bit for each level, bit 0 level 1" },
  ],
} as const;

/** Counter capability, if PERFCAP.PCCS (VT-d 11.4.13.21). */
export const PERFCNTRCAP = {
  name: "PERFCNTRCAP",
  chapter: "11.4.13.21",
  bits: 32,
  offset: 0x80,
  base: "PERFCFGOFF",
  stride: 0x100,
  access: "ro",
  reset: "implementation",
  requires: "PMS",
  fields: [
    { name: "EGCNT", high: 31, low: 28, doc: "number of event groups" },
    { name: "RSVD_27_18", high: 27, low: 18, kind: "reserved" },
    { name: "GFS", high: 17, low: 17, doc: "global freeze on overflow" },
    { name: "IOS", high: 16, low: 16, doc: "interrupt on overflow" },
    { name: "CW", high: 15, low: 8, doc: "width in bits" },
    { name: "RSVD_7_1", high: 7, low: 1, kind: "reserved" },
    { name: "PCC", high: 0, low: 0, doc: "this register counts, not PERFCAP" },
  ],
} as const;

/** Counter event capability of an event group, the first; others follow 4 apart (VT-d 11.4.13.22). */
export const PERFCNTREVCAP = {
  name: "PERFCNTREVCAP",
  chapter: "11.4.13.22",
  bits: 32,
  offset: 0x84,
  base: "PERFCFGOFF",
  stride: 0x100,
  access: "ro",
  reset: "implementation",
  requires: "PMS",
  fields: [
    { name: "EGI", high: 31, low: 28, doc: "event group" },
    { name: "ES", high: 27, low: 0, doc: "events of this group that are supported" },
  ],
} as const;

/** Counter; bits at and above the counter width are reserved (VT-d 11.4.13.23). */
export const PERFCNTR = {
  name: "PERFCNTR",
  chapter: "11.4.13.23",
  bits: 64,
  offset: 0,
  base: "PERFCNTROFF",
  access: "rwl",
  requires: "PMS",
  fields: [{ name: "CNTR", high: 63, low: 0, doc: "value" }],
} as const;
