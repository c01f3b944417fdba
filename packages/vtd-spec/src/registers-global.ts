/** Version register (VT-d 11.4.1). */
export const VER = {
  name: "VER",
  chapter: "11.4.1",
  bits: 32,
  offset: 0x00,
  access: "ro",
  reset: "implementation",
  fields: [
    { name: "RSVD_31_8", high: 31, low: 8, kind: "reserved" },
    { name: "MAX", high: 7, low: 4, doc: "major version" },
    { name: "MIN", high: 3, low: 0, doc: "minor version" },
  ],
} as const;

/** Global command register (VT-d 11.4.4.1). Software changes one field with one write. */
export const GCMD = {
  name: "GCMD",
  chapter: "11.4.4.1",
  bits: 32,
  offset: 0x18,
  access: "wo",
  fields: [
    { name: "TE", high: 31, low: 31, doc: "translation enable" },
    { name: "SRTP", high: 30, low: 30, access: "one-shot", doc: "set root table pointer" },
    { name: "RSVD_29_28", high: 29, low: 28, kind: "reserved", doc: "SFL and EAFL before 4.0" },
    {
      name: "WBF",
      high: 27,
      low: 27,
      access: "one-shot",
      requires: "RWBF",
      doc: "write buffer flush, if CAP.RWBF",
    },
    { name: "QIE", high: 26, low: 26, requires: "QI", doc: "queued invalidation enable" },
    { name: "IRE", high: 25, low: 25, requires: "IR", doc: "interrupt remapping enable" },
    {
      name: "SIRTP",
      high: 24,
      low: 24,
      access: "one-shot",
      requires: "IR",
      doc: "set interrupt remap table pointer",
    },
    {
      name: "CFI",
      high: 23,
      low: 23,
      requires: "IR",
      doc: "let compatibility format interrupts pass",
    },
    { name: "RSVD_22_0", high: 22, low: 0, kind: "reserved" },
  ],
} as const;

/** Global status register (VT-d 11.4.4.2). */
export const GSTS = {
  name: "GSTS",
  chapter: "11.4.4.2",
  bits: 32,
  offset: 0x1c,
  access: "ro",
  fields: [
    { name: "TES", high: 31, low: 31, doc: "translation is enabled" },
    {
      name: "RTPS",
      high: 30,
      low: 30,
      doc: "root table pointer is set; 0 while SRTP is carried out",
    },
    { name: "RSVD_29_28", high: 29, low: 28, kind: "reserved", doc: "FLS and AFLS before 4.0" },
    { name: "WBFS", high: 27, low: 27, requires: "RWBF", doc: "write buffers are being flushed" },
    { name: "QIES", high: 26, low: 26, requires: "QI", doc: "queued invalidation is enabled" },
    { name: "IRES", high: 25, low: 25, requires: "IR", doc: "interrupt remapping is enabled" },
    {
      name: "IRTPS",
      high: 24,
      low: 24,
      requires: "IR",
      doc: "interrupt remap table pointer is set; 0 while SIRTP is carried out",
    },
    {
      name: "CFIS",
      high: 23,
      low: 23,
      requires: "IR",
      doc: "compatibility format interrupts pass",
    },
    { name: "RSVD_22_0", high: 22, low: 0, kind: "reserved" },
  ],
} as const;

/** Root table address register; takes effect with GCMD.SRTP (VT-d 11.4.5). */
export const RTADDR = {
  name: "RTADDR",
  chapter: "11.4.5",
  bits: 64,
  offset: 0x20,
  access: "rw",
  fields: [
    { name: "RTA", high: 63, low: 12, address: "host", doc: "root table" },
    { name: "TTM", high: 11, low: 10, doc: "see TranslationTableMode" },
    { name: "RSVD_9_8", high: 9, low: 8, kind: "reserved" },
    {
      name: "SSIRWE",
      high: 7,
      low: 7,
      requires: "SSIRWS",
      doc: "second stage uses IR and IW instead of R and W",
    },
    { name: "RSVD_6_0", high: 6, low: 0, kind: "reserved" },
  ],
} as const;

/** RTADDR.TTM; 2 is reserved (VT-d 11.4.5). */
export const TranslationTableMode = {
  LEGACY: 0,
  /** Needs ECAP.SMTS. */
  SCALABLE: 1,
  /** Extended mode once. */
  RESERVED: 2,
  /** Abort-DMA mode; needs ECAP.ADMS. */
  ABORT: 3,
} as const;

/** Interrupt remapping table address register; takes effect with GCMD.SIRTP (VT-d 11.4.10). */
export const IRTA = {
  name: "IRTA",
  chapter: "11.4.10",
  bits: 64,
  offset: 0xb8,
  access: "rw",
  requires: "IR",
  fields: [
    { name: "IRTA", high: 63, low: 12, address: "host", doc: "interrupt remapping table" },
    {
      name: "EIME",
      high: 11,
      low: 11,
      requires: "EIM",
      doc: "extended interrupt mode: 32-bit APIC ids",
    },
    { name: "RSVD_10_4", high: 10, low: 4, kind: "reserved" },
    { name: "S", high: 3, low: 0, doc: "the table has 2^(S + 1) entries" },
  ],
} as const;

/** RDT configuration register (VT-d 11.4.15). */
export const RDTC = {
  name: "RDTC",
  chapter: "11.4.15",
  bits: 64,
  offset: 0xdc0,
  access: "rw",
  requires: "RDTS",
  fields: [
    { name: "RSVD_63_37", high: 63, low: 37, kind: "reserved" },
    { name: "CLOS", high: 36, low: 32, doc: "class of service of the unit's memory accesses" },
    { name: "RSVD_31_12", high: 31, low: 12, kind: "reserved" },
    { name: "RMID", high: 11, low: 0, doc: "resource monitoring id of the unit's memory accesses" },
  ],
} as const;
