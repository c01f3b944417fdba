/** Redirection table entry of an I/O APIC in remappable format (VT-d 5.1.5.1). */
export const IOAPIC_RTE_REMAPPABLE = {
  name: "ioapic-rte-remappable",
  chapter: "5.1.5.1",
  bits: 64,
  fields: [
    { name: "INDEX", high: 63, low: 49, doc: "bits 14:0 of the interrupt index" },
    { name: "IF", high: 48, low: 48, doc: "interrupt format, 1 here" },
    { name: "RSVD_47_17", high: 47, low: 17, kind: "reserved" },
    { name: "MASK", high: 16, low: 16, doc: "masked" },
    { name: "TM", high: 15, low: 15, doc: "trigger mode: 0 edge, 1 level" },
    { name: "REMOTE_IRR", high: 14, low: 14, doc: "level interrupt sent, EOI still to come" },
    { name: "POLARITY", high: 13, low: 13, doc: "0 active high, 1 active low" },
    { name: "STATUS", high: 12, low: 12, doc: "delivery status" },
    { name: "INDEX_15", high: 11, low: 11, doc: "bit 15 of the interrupt index" },
    { name: "RSVD_10_8", high: 10, low: 8, kind: "reserved" },
    { name: "V", high: 7, low: 0, doc: "vector, for EOI" },
  ],
} as const;

/** Redirection table entry of an I/O APIC in compatibility format (I/O APIC datasheet). */
export const IOAPIC_RTE_COMPATIBILITY = {
  name: "ioapic-rte-compatibility",
  chapter: "5.1.5.1",
  bits: 64,
  fields: [
    { name: "DST", high: 63, low: 56, doc: "destination id" },
    { name: "RSVD_55_49", high: 55, low: 49, kind: "reserved" },
    { name: "IF", high: 48, low: 48, doc: "interrupt format, 0 here" },
    { name: "RSVD_47_17", high: 47, low: 17, kind: "reserved" },
    { name: "MASK", high: 16, low: 16, doc: "masked" },
    { name: "TM", high: 15, low: 15, doc: "trigger mode: 0 edge, 1 level" },
    { name: "REMOTE_IRR", high: 14, low: 14, doc: "level interrupt sent, EOI still to come" },
    { name: "POLARITY", high: 13, low: 13, doc: "0 active high, 1 active low" },
    { name: "STATUS", high: 12, low: 12, doc: "delivery status" },
    { name: "DM", high: 11, low: 11, doc: "destination mode: 0 physical, 1 logical" },
    { name: "DLM", high: 10, low: 8, doc: "see DeliveryMode" },
    { name: "V", high: 7, low: 0, doc: "vector" },
  ],
} as const;
