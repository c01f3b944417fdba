/*
 * First-stage paging entries (VT-d 9.7). ADDR is guest physical under nested translation. PAT, PCD
 * and PWT matter only for devices in the processor's coherency domain and with ECAP.MTS.
 */

/** Entry of level 5 or 4, references a table (VT-d 9.7, tables 34 and 35). */
export const FS_UPPER = {
  name: "first-stage-upper",
  chapter: "9.7",
  bits: 64,
  fields: [
    { name: "IGN_63_52", high: 63, low: 52, kind: "ignored" },
    { name: "ADDR", high: 51, low: 12, address: "host", doc: "table of the next level" },
    { name: "IGN_11", high: 11, low: 11, kind: "ignored" },
    { name: "EA", high: 10, low: 10, doc: "extended-accessed; ignored while EAFE is 0" },
    { name: "IGN_9_8", high: 9, low: 8, kind: "ignored" },
    { name: "RSVD_7", high: 7, low: 7, kind: "reserved" },
    { name: "IGN_6", high: 6, low: 6, kind: "ignored" },
    { name: "A", high: 5, low: 5, doc: "accessed" },
    { name: "IGN_4_3", high: 4, low: 3, kind: "ignored" },
    { name: "US", high: 2, low: 2, doc: "user requests are allowed" },
    { name: "RW", high: 1, low: 1, doc: "writes are allowed" },
    { name: "P", high: 0, low: 0, doc: "present" },
  ],
} as const;

/** Entry of level 3 or 2 with PS 0, references a table (VT-d 9.7, tables 37 and 39). */
export const FS_TABLE = {
  name: "first-stage-table",
  chapter: "9.7",
  bits: 64,
  fields: [
    { name: "IGN_63_52", high: 63, low: 52, kind: "ignored" },
    { name: "ADDR", high: 51, low: 12, address: "host", doc: "table of the next level" },
    { name: "IGN_11", high: 11, low: 11, kind: "ignored" },
    { name: "EA", high: 10, low: 10, doc: "extended-accessed; ignored while EAFE is 0" },
    { name: "IGN_9_8", high: 9, low: 8, kind: "ignored" },
    { name: "PS", high: 7, low: 7, doc: "page size, 0 here" },
    { name: "IGN_6", high: 6, low: 6, kind: "ignored" },
    { name: "A", high: 5, low: 5, doc: "accessed" },
    { name: "IGN_4_3", high: 4, low: 3, kind: "ignored" },
    { name: "US", high: 2, low: 2, doc: "user requests are allowed" },
    { name: "RW", high: 1, low: 1, doc: "writes are allowed" },
    { name: "P", high: 0, low: 0, doc: "present" },
  ],
} as const;

/** Entry of level 3 with PS 1, maps 1 GByte (VT-d 9.7, table 36). */
export const FS_PAGE_1G = {
  name: "first-stage-page-1g",
  chapter: "9.7",
  bits: 64,
  fields: [
    { name: "IGN_63_52", high: 63, low: 52, kind: "ignored" },
    { name: "ADDR", high: 51, low: 30, address: "host", doc: "page" },
    { name: "RSVD_29_13", high: 29, low: 13, kind: "reserved" },
    { name: "PAT", high: 12, low: 12, doc: "page attribute" },
    { name: "IGN_11", high: 11, low: 11, kind: "ignored" },
    { name: "EA", high: 10, low: 10, doc: "extended-accessed; ignored while EAFE is 0" },
    { name: "IGN_9", high: 9, low: 9, kind: "ignored" },
    { name: "G", high: 8, low: 8, kind: "ignored", doc: "global; taken as 0" },
    { name: "PS", high: 7, low: 7, requires: "FS1GP", doc: "page size, 1 here" },
    { name: "D", high: 6, low: 6, doc: "dirty" },
    { name: "A", high: 5, low: 5, doc: "accessed" },
    { name: "PCD", high: 4, low: 4, doc: "page-level cache disable" },
    { name: "PWT", high: 3, low: 3, doc: "page-level write-through" },
    { name: "US", high: 2, low: 2, doc: "user requests are allowed" },
    { name: "RW", high: 1, low: 1, doc: "writes are allowed" },
    { name: "P", high: 0, low: 0, doc: "present" },
  ],
} as const;

/** Entry of level 2 with PS 1, maps 2 MByte (VT-d 9.7, table 38). */
export const FS_PAGE_2M = {
  name: "first-stage-page-2m",
  chapter: "9.7",
  bits: 64,
  fields: [
    { name: "IGN_63_52", high: 63, low: 52, kind: "ignored" },
    { name: "ADDR", high: 51, low: 21, address: "host", doc: "page" },
    { name: "RSVD_20_13", high: 20, low: 13, kind: "reserved" },
    { name: "PAT", high: 12, low: 12, doc: "page attribute" },
    { name: "IGN_11", high: 11, low: 11, kind: "ignored" },
    { name: "EA", high: 10, low: 10, doc: "extended-accessed; ignored while EAFE is 0" },
    { name: "IGN_9", high: 9, low: 9, kind: "ignored" },
    { name: "G", high: 8, low: 8, kind: "ignored", doc: "global; taken as 0" },
    { name: "PS", high: 7, low: 7, doc: "page size, 1 here" },
    { name: "D", high: 6, low: 6, doc: "dirty" },
    { name: "A", high: 5, low: 5, doc: "accessed" },
    { name: "PCD", high: 4, low: 4, doc: "page-level cache disable" },
    { name: "PWT", high: 3, low: 3, doc: "page-level write-through" },
    { name: "US", high: 2, low: 2, doc: "user requests are allowed" },
    { name: "RW", high: 1, low: 1, doc: "writes are allowed" },
    { name: "P", high: 0, low: 0, doc: "present" },
  ],
} as const;

/** Entry of level 1, maps 4 KByte (VT-d 9.7, table 40). */
export const FS_PAGE_4K = {
  name: "first-stage-page-4k",
  chapter: "9.7",
  bits: 64,
  fields: [
    { name: "IGN_63_52", high: 63, low: 52, kind: "ignored" },
    { name: "ADDR", high: 51, low: 12, address: "host", doc: "page" },
    { name: "IGN_11", high: 11, low: 11, kind: "ignored" },
    { name: "EA", high: 10, low: 10, doc: "extended-accessed; ignored while EAFE is 0" },
    { name: "IGN_9", high: 9, low: 9, kind: "ignored" },
    { name: "G", high: 8, low: 8, kind: "ignored", doc: "global; taken as 0" },
    { name: "PAT", high: 7, low: 7, doc: "page attribute" },
    { name: "D", high: 6, low: 6, doc: "dirty" },
    { name: "A", high: 5, low: 5, doc: "accessed" },
    { name: "PCD", high: 4, low: 4, doc: "page-level cache disable" },
    { name: "PWT", high: 3, low: 3, doc: "page-level write-through" },
    { name: "US", high: 2, low: 2, doc: "user requests are allowed" },
    { name: "RW", high: 1, low: 1, doc: "writes are allowed" },
    { name: "P", high: 0, low: 0, doc: "present" },
  ],
} as const;
