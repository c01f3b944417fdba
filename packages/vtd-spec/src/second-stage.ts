/*
 * Second-stage paging entries (VT-d 9.8). R and W give the permissions, or IR and IW when
 * RTADDR.SSIRWE is 1: then R and W are ignored. While SSIRWE is 0, IR is ignored and IW is
 * reserved, with or without the capability. Reserved bits count only in an entry with a permission.
 */

/** Entry of level 5 or 4, references a table (VT-d 9.8, tables 41 and 42). */
export const SS_UPPER = {
  name: "second-stage-upper",
  chapter: "9.8",
  bits: 64,
  fields: [
    { name: "IGN_63", high: 63, low: 63, kind: "ignored" },
    {
      name: "IW",
      high: 62,
      low: 62,
      requires: "SSIRWS",
      doc: "I/O write; reserved while SSIRWE is 0",
    },
    { name: "IR", high: 61, low: 61, doc: "I/O read; ignored while SSIRWE is 0" },
    { name: "IGN_60_52", high: 60, low: 52, kind: "ignored" },
    { name: "ADDR", high: 51, low: 12, address: "host", doc: "table of the next level" },
    { name: "RSVD_11", high: 11, low: 11, kind: "reserved" },
    { name: "IGN_10_9", high: 10, low: 9, kind: "ignored" },
    { name: "A", high: 8, low: 8, doc: "accessed; ignored while SSADE is 0" },
    { name: "RSVD_7", high: 7, low: 7, kind: "reserved" },
    { name: "IGN_6_2", high: 6, low: 2, kind: "ignored" },
    { name: "W", high: 1, low: 1, doc: "write" },
    { name: "R", high: 0, low: 0, doc: "read" },
  ],
} as const;

/** Entry of level 3 or 2 with PS 0, references a table (VT-d 9.8, tables 44 and 46). */
export const SS_TABLE = {
  name: "second-stage-table",
  chapter: "9.8",
  bits: 64,
  fields: [
    { name: "IGN_63", high: 63, low: 63, kind: "ignored" },
    {
      name: "IW",
      high: 62,
      low: 62,
      requires: "SSIRWS",
      doc: "I/O write; reserved while SSIRWE is 0",
    },
    { name: "IR", high: 61, low: 61, doc: "I/O read; ignored while SSIRWE is 0" },
    { name: "IGN_60_52", high: 60, low: 52, kind: "ignored" },
    { name: "ADDR", high: 51, low: 12, address: "host", doc: "table of the next level" },
    { name: "RSVD_11", high: 11, low: 11, kind: "reserved" },
    { name: "IGN_10_9", high: 10, low: 9, kind: "ignored" },
    { name: "A", high: 8, low: 8, doc: "accessed; ignored while SSADE is 0" },
    { name: "PS", high: 7, low: 7, doc: "page size, 0 here" },
    { name: "IGN_6_2", high: 6, low: 2, kind: "ignored" },
    { name: "W", high: 1, low: 1, doc: "write" },
    { name: "R", high: 0, low: 0, doc: "read" },
  ],
} as const;

/** Entry of level 3 with PS 1, maps 1 GByte (VT-d 9.8, table 43). */
export const SS_PAGE_1G = {
  name: "second-stage-page-1g",
  chapter: "9.8",
  bits: 64,
  fields: [
    { name: "IGN_63", high: 63, low: 63, kind: "ignored" },
    {
      name: "IW",
      high: 62,
      low: 62,
      requires: "SSIRWS",
      doc: "I/O write; reserved while SSIRWE is 0",
    },
    { name: "IR", high: 61, low: 61, doc: "I/O read; ignored while SSIRWE is 0" },
    { name: "IGN_60_52", high: 60, low: 52, kind: "ignored" },
    { name: "ADDR", high: 51, low: 30, address: "host", doc: "page" },
    { name: "RSVD_29_12", high: 29, low: 12, kind: "reserved" },
    { name: "SNP", high: 11, low: 11, requires: "SC", doc: "accesses snoop" },
    { name: "IGN_10", high: 10, low: 10, kind: "ignored" },
    { name: "D", high: 9, low: 9, doc: "dirty; ignored while SSADE is 0" },
    { name: "A", high: 8, low: 8, doc: "accessed; ignored while SSADE is 0" },
    { name: "PS", high: 7, low: 7, requires: "SSLPS", requiresBit: 1, doc: "page size, 1 here" },
    { name: "IPAT", high: 6, low: 6, doc: "ignore PAT; ignored while EMTE is 0" },
    { name: "EMT", high: 5, low: 3, doc: "see MemoryType; ignored while EMTE is 0" },
    { name: "IGN_2", high: 2, low: 2, kind: "ignored" },
    { name: "W", high: 1, low: 1, doc: "write" },
    { name: "R", high: 0, low: 0, doc: "read" },
  ],
} as const;

/** Entry of level 2 with PS 1, maps 2 MByte (VT-d 9.8, table 45). */
export const SS_PAGE_2M = {
  name: "second-stage-page-2m",
  chapter: "9.8",
  bits: 64,
  fields: [
    { name: "IGN_63", high: 63, low: 63, kind: "ignored" },
    {
      name: "IW",
      high: 62,
      low: 62,
      requires: "SSIRWS",
      doc: "I/O write; reserved while SSIRWE is 0",
    },
    { name: "IR", high: 61, low: 61, doc: "I/O read; ignored while SSIRWE is 0" },
    { name: "IGN_60_52", high: 60, low: 52, kind: "ignored" },
    { name: "ADDR", high: 51, low: 21, address: "host", doc: "page" },
    { name: "RSVD_20_12", high: 20, low: 12, kind: "reserved" },
    { name: "SNP", high: 11, low: 11, requires: "SC", doc: "accesses snoop" },
    { name: "IGN_10", high: 10, low: 10, kind: "ignored" },
    { name: "D", high: 9, low: 9, doc: "dirty; ignored while SSADE is 0" },
    { name: "A", high: 8, low: 8, doc: "accessed; ignored while SSADE is 0" },
    { name: "PS", high: 7, low: 7, requires: "SSLPS", requiresBit: 0, doc: "page size, 1 here" },
    { name: "IPAT", high: 6, low: 6, doc: "ignore PAT; ignored while EMTE is 0" },
    { name: "EMT", high: 5, low: 3, doc: "see MemoryType; ignored while EMTE is 0" },
    { name: "IGN_2", high: 2, low: 2, kind: "ignored" },
    { name: "W", high: 1, low: 1, doc: "write" },
    { name: "R", high: 0, low: 0, doc: "read" },
  ],
} as const;

/** Entry of level 1, maps 4 KByte (VT-d 9.8, table 47). */
export const SS_PAGE_4K = {
  name: "second-stage-page-4k",
  chapter: "9.8",
  bits: 64,
  fields: [
    { name: "IGN_63", high: 63, low: 63, kind: "ignored" },
    {
      name: "IW",
      high: 62,
      low: 62,
      requires: "SSIRWS",
      doc: "I/O write; reserved while SSIRWE is 0",
    },
    { name: "IR", high: 61, low: 61, doc: "I/O read; ignored while SSIRWE is 0" },
    { name: "IGN_60_52", high: 60, low: 52, kind: "ignored" },
    { name: "ADDR", high: 51, low: 12, address: "host", doc: "page" },
    { name: "SNP", high: 11, low: 11, requires: "SC", doc: "accesses snoop" },
    { name: "IGN_10", high: 10, low: 10, kind: "ignored" },
    { name: "D", high: 9, low: 9, doc: "dirty; ignored while SSADE is 0" },
    { name: "A", high: 8, low: 8, doc: "accessed; ignored while SSADE is 0" },
    { name: "IGN_7", high: 7, low: 7, kind: "ignored" },
    { name: "IPAT", high: 6, low: 6, doc: "ignore PAT; ignored while EMTE is 0" },
    { name: "EMT", high: 5, low: 3, doc: "see MemoryType; ignored while EMTE is 0" },
    { name: "IGN_2", high: 2, low: 2, kind: "ignored" },
    { name: "W", high: 1, low: 1, doc: "write" },
    { name: "R", high: 0, low: 0, doc: "read" },
  ],
} as const;
