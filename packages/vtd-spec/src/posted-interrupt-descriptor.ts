/** Posted-interrupt descriptor while IRTA.EIME is 1: 32-bit APIC ids (VT-d 9.11). */
export const POSTED_INTERRUPT_DESCRIPTOR = {
  name: "posted-interrupt-descriptor-x2apic",
  chapter: "9.11",
  bits: 512,
  fields: [
    { name: "RSVD_511_320", high: 511, low: 320, kind: "reserved" },
    { name: "NDST", high: 319, low: 288, doc: "notification destination: physical APIC id" },
    { name: "RSVD_287_280", high: 287, low: 280, kind: "reserved" },
    { name: "NV", high: 279, low: 272, doc: "notification vector" },
    { name: "RSVD_271_258", high: 271, low: 258, kind: "reserved" },
    {
      name: "SN",
      high: 257,
      low: 257,
      doc: "suppress notification of interrupts that are not urgent",
    },
    { name: "ON", high: 256, low: 256, doc: "outstanding notification" },
    { name: "PIR", high: 255, low: 0, doc: "posted interrupt requests, a bit for each vector" },
  ],
} as const;

/** Posted-interrupt descriptor while IRTA.EIME is 0: 8-bit APIC ids (VT-d 9.11). */
export const POSTED_INTERRUPT_DESCRIPTOR_XAPIC = {
  name: "posted-interrupt-descriptor-xapic",
  chapter: "9.11",
  bits: 512,
  fields: [
    { name: "RSVD_511_320", high: 511, low: 320, kind: "reserved" },
    { name: "RSVD_319_304", high: 319, low: 304, kind: "reserved" },
    { name: "NDST", high: 303, low: 296, doc: "notification destination: physical APIC id" },
    { name: "RSVD_295_288", high: 295, low: 288, kind: "reserved" },
    { name: "RSVD_287_280", high: 287, low: 280, kind: "reserved" },
    { name: "NV", high: 279, low: 272, doc: "notification vector" },
    { name: "RSVD_271_258", high: 271, low: 258, kind: "reserved" },
    {
      name: "SN",
      high: 257,
      low: 257,
      doc: "suppress notification of interrupts that are not urgent",
    },
    { name: "ON", high: 256, low: 256, doc: "outstanding notification" },
    { name: "PIR", high: 255, low: 0, doc: "posted interrupt requests, a bit for each vector" },
  ],
} as const;
