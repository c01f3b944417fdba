/** IRTE for remapped interrupts (IM 0) while IRTA.EIME is 1: 32-bit APIC ids (VT-d 9.9). */
export const IRTE_REMAPPED = {
  name: "irte-remapped-x2apic",
  chapter: "9.9",
  bits: 128,
  fields: [
    { name: "RSVD_127_84", high: 127, low: 84, kind: "reserved" },
    { name: "SVT", high: 83, low: 82, doc: "see SourceValidation" },
    {
      name: "SQ",
      high: 81,
      low: 80,
      doc: "with SVT 1: 0 all of SID, 1 without bit 2, 2 without 2:1, 3 without 2:0",
    },
    { name: "SID", high: 79, low: 64, doc: "source-id; with SVT 2: start bus 15:8, end bus 7:0" },
    { name: "DST", high: 63, low: 32, doc: "APIC id" },
    { name: "RSVD_31_24", high: 31, low: 24, kind: "reserved" },
    { name: "V", high: 23, low: 16, doc: "vector" },
    { name: "IM", high: 15, low: 15, requires: "PI", doc: "0 here: remapped" },
    { name: "RSVD_14_12", high: 14, low: 12, kind: "reserved" },
    { name: "AVAIL", high: 11, low: 8, kind: "ignored", doc: "for software" },
    { name: "DLM", high: 7, low: 5, doc: "see DeliveryMode" },
    { name: "TM", high: 4, low: 4, doc: "trigger mode: 0 edge, 1 level" },
    { name: "RH", high: 3, low: 3, doc: "redirection hint" },
    { name: "DM", high: 2, low: 2, doc: "destination mode: 0 physical, 1 logical" },
    { name: "FPD", high: 1, low: 1, doc: "faults are not recorded; looked at even when P is 0" },
    { name: "P", high: 0, low: 0, doc: "present" },
  ],
} as const;

/** IRTE for remapped interrupts (IM 0) while IRTA.EIME is 0: 8-bit APIC ids (VT-d 9.9). */
export const IRTE_REMAPPED_XAPIC = {
  name: "irte-remapped-xapic",
  chapter: "9.9",
  bits: 128,
  fields: [
    { name: "RSVD_127_84", high: 127, low: 84, kind: "reserved" },
    { name: "SVT", high: 83, low: 82, doc: "see SourceValidation" },
    {
      name: "SQ",
      high: 81,
      low: 80,
      doc: "with SVT 1: 0 all of SID, 1 without bit 2, 2 without 2:1, 3 without 2:0",
    },
    { name: "SID", high: 79, low: 64, doc: "source-id; with SVT 2: start bus 15:8, end bus 7:0" },
    { name: "RSVD_63_48", high: 63, low: 48, kind: "reserved" },
    { name: "DST", high: 47, low: 40, doc: "APIC id" },
    { name: "RSVD_39_32", high: 39, low: 32, kind: "reserved" },
    { name: "RSVD_31_24", high: 31, low: 24, kind: "reserved" },
    { name: "V", high: 23, low: 16, doc: "vector" },
    { name: "IM", high: 15, low: 15, requires: "PI", doc: "0 here: remapped" },
    { name: "RSVD_14_12", high: 14, low: 12, kind: "reserved" },
    { name: "AVAIL", high: 11, low: 8, kind: "ignored", doc: "for software" },
    { name: "DLM", high: 7, low: 5, doc: "see DeliveryMode" },
    { name: "TM", high: 4, low: 4, doc: "trigger mode: 0 edge, 1 level" },
    { name: "RH", high: 3, low: 3, doc: "redirection hint" },
    { name: "DM", high: 2, low: 2, doc: "destination mode: 0 physical, 1 logical" },
    { name: "FPD", high: 1, low: 1, doc: "faults are not recorded; looked at even when P is 0" },
    { name: "P", high: 0, low: 0, doc: "present" },
  ],
} as const;

/** IRTE for posted interrupts (IM 1). The descriptor is at PDAH | PDAL (VT-d 9.10). */
export const IRTE_POSTED = {
  name: "irte-posted",
  chapter: "9.10",
  bits: 128,
  fields: [
    {
      name: "PDAH",
      high: 127,
      low: 96,
      address: "host",
      doc: "bits 63:32 of the address of the posted-interrupt descriptor",
    },
    { name: "RSVD_95_84", high: 95, low: 84, kind: "reserved" },
    { name: "SVT", high: 83, low: 82, doc: "see SourceValidation" },
    {
      name: "SQ",
      high: 81,
      low: 80,
      doc: "with SVT 1: 0 all of SID, 1 without bit 2, 2 without 2:1, 3 without 2:0",
    },
    { name: "SID", high: 79, low: 64, doc: "source-id; with SVT 2: start bus 15:8, end bus 7:0" },
    {
      name: "PDAL",
      high: 63,
      low: 38,
      address: "host",
      addressLow: 6,
      doc: "bits 31:6 of that address",
    },
    { name: "RSVD_37_24", high: 37, low: 24, kind: "reserved" },
    { name: "VV", high: 23, low: 16, doc: "virtual vector" },
    { name: "IM", high: 15, low: 15, requires: "PI", doc: "1 here: posted" },
    { name: "URG", high: 14, low: 14, requires: "PI", doc: "urgent: notifies even when SN is 1" },
    { name: "RSVD_13_12", high: 13, low: 12, kind: "reserved" },
    { name: "AVAIL", high: 11, low: 8, kind: "ignored", doc: "for software" },
    { name: "RSVD_7_2", high: 7, low: 2, kind: "reserved" },
    { name: "FPD", high: 1, low: 1, doc: "faults are not recorded; looked at even when P is 0" },
    { name: "P", high: 0, low: 0, doc: "present" },
  ],
} as const;

/** SVT of an IRTE: what is verified of the requester; 3 is reserved (VT-d 9.9). */
export const SourceValidation = {
  NONE: 0,
  /** The source-id equals SID, but for the bits SQ leaves out. */
  SOURCE_ID: 1,
  /** The bus lies in the range SID gives, both ends included. */
  BUS_RANGE: 2,
} as const;

/** Delivery mode of IRTEs and compatibility format requests; 3 and 6 are reserved (VT-d 9.9). */
export const DeliveryMode = {
  FIXED: 0,
  LOWEST_PRIORITY: 1,
  SMI: 2,
  NMI: 4,
  INIT: 5,
  EXTINT: 7,
} as const;
