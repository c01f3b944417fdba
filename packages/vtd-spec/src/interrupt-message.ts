/*
 * Interrupt requests: a dword write to FEEx_xxxxh. Each layout holds address bits 31:0 in word 0 and
 * the data in word 1 (VT-d 5.1.2).
 */

/** Request in compatibility format: address bit 4 is 0 (VT-d 5.1.2.1). */
export const COMPATIBILITY_REQUEST = {
  name: "compatibility-request",
  chapter: "5.1.2.1",
  bits: 64,
  fields: [
    { name: "RSVD_63_48", high: 63, low: 48, kind: "reserved" },
    { name: "TM", high: 47, low: 47, doc: "trigger mode: 0 edge, 1 level" },
    { name: "LEVEL", high: 46, low: 46, doc: "trigger mode level: 1 asserted" },
    { name: "RSVD_45_43", high: 45, low: 43, kind: "reserved" },
    { name: "DLM", high: 42, low: 40, doc: "see DeliveryMode" },
    { name: "V", high: 39, low: 32, doc: "vector" },
    { name: "FEE", high: 31, low: 20, doc: "FEEh" },
    { name: "DST", high: 19, low: 12, doc: "destination id" },
    { name: "RSVD_11_5", high: 11, low: 5, kind: "reserved" },
    { name: "IF", high: 4, low: 4, doc: "interrupt format, 0 here" },
    { name: "RH", high: 3, low: 3, doc: "redirection hint" },
    { name: "DM", high: 2, low: 2, doc: "destination mode: 0 physical, 1 logical" },
    { name: "IGN_1_0", high: 1, low: 0, kind: "ignored" },
  ],
} as const;

/** Request in remappable format with SHV 1: index is handle + SUBHANDLE (VT-d 5.1.2.2). */
export const REMAPPABLE_REQUEST_SHV = {
  name: "remappable-request-shv",
  chapter: "5.1.2.2",
  bits: 64,
  fields: [
    { name: "RSVD_63_48", high: 63, low: 48, kind: "reserved" },
    { name: "SUBHANDLE", high: 47, low: 32, doc: "added to the handle" },
    { name: "FEE", high: 31, low: 20, doc: "FEEh" },
    { name: "HANDLE", high: 19, low: 5, doc: "bits 14:0 of the handle" },
    { name: "IF", high: 4, low: 4, doc: "interrupt format, 1 here" },
    { name: "SHV", high: 3, low: 3, doc: "subhandle valid, 1 here" },
    { name: "HANDLE_15", high: 2, low: 2, doc: "bit 15 of the handle" },
    { name: "IGN_1_0", high: 1, low: 0, kind: "ignored" },
  ],
} as const;

/** Request in remappable format with SHV 0: index is the handle, data is ignored (VT-d 5.1.2.2). */
export const REMAPPABLE_REQUEST = {
  name: "remappable-request",
  chapter: "5.1.2.2",
  bits: 64,
  fields: [
    { name: "IGN_63_32", high: 63, low: 32, kind: "ignored" },
    { name: "FEE", high: 31, low: 20, doc: "FEEh" },
    { name: "HANDLE", high: 19, low: 5, doc: "bits 14:0 of the handle" },
    { name: "IF", high: 4, low: 4, doc: "interrupt format, 1 here" },
    { name: "SHV", high: 3, low: 3, doc: "subhandle valid, 0 here" },
    { name: "HANDLE_15", high: 2, low: 2, doc: "bit 15 of the handle" },
    { name: "IGN_1_0", high: 1, low: 0, kind: "ignored" },
  ],
} as const;

/*
 * Messages of the unit's own events. Words: data, address, upper address, the order of FEDATA, FEADDR
 * and FEUADDR. They are edge-triggered and never remapped (VT-d 5.1.6).
 */

/** Event message in x2APIC mode; the APIC id is DST_HIGH * 256 + DST (VT-d 5.1.6.2). */
export const EVENT_MESSAGE = {
  name: "event-message-x2apic",
  chapter: "5.1.6.2",
  bits: 96,
  fields: [
    { name: "DST_HIGH", high: 95, low: 72, doc: "APIC id bits 31:8" },
    { name: "RSVD_71_64", high: 71, low: 64, kind: "reserved" },
    { name: "FEE", high: 63, low: 52, doc: "FEEh" },
    { name: "DST", high: 51, low: 44, doc: "APIC id bits 7:0" },
    { name: "RSVD_43_36", high: 43, low: 36, kind: "reserved" },
    { name: "RH", high: 35, low: 35, doc: "redirection hint" },
    { name: "DM", high: 34, low: 34, doc: "destination mode: 0 physical, 1 logical" },
    { name: "IGN_33_32", high: 33, low: 32, kind: "ignored" },
    { name: "RSVD_31_9", high: 31, low: 9, kind: "reserved" },
    { name: "DLM", high: 8, low: 8, doc: "delivery mode: 0 fixed, 1 lowest priority" },
    { name: "V", high: 7, low: 0, doc: "vector" },
  ],
} as const;

/** Event message in xAPIC mode (VT-d 5.1.6.1). */
export const EVENT_MESSAGE_XAPIC = {
  name: "event-message-xapic",
  chapter: "5.1.6.1",
  bits: 96,
  fields: [
    { name: "RSVD_95_64", high: 95, low: 64, kind: "reserved" },
    { name: "FEE", high: 63, low: 52, doc: "FEEh" },
    { name: "DST", high: 51, low: 44, doc: "APIC id" },
    { name: "RSVD_43_36", high: 43, low: 36, kind: "reserved" },
    { name: "RH", high: 35, low: 35, doc: "redirection hint" },
    { name: "DM", high: 34, low: 34, doc: "destination mode: 0 physical, 1 logical" },
    { name: "IGN_33_32", high: 33, low: 32, kind: "ignored" },
    { name: "RSVD_31_9", high: 31, low: 9, kind: "reserved" },
    { name: "DLM", high: 8, low: 8, doc: "delivery mode: 0 fixed, 1 lowest priority" },
    { name: "V", high: 7, low: 0, doc: "vector" },
  ],
} as const;
