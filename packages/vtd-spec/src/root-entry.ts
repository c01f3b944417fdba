/** Root entry, legacy mode: one of 256, indexed by the bus number (VT-d 9.1). */
export const ROOT_ENTRY = {
  name: "root-entry",
  chapter: "9.1",
  bits: 128,
  fields: [
    { name: "RSVD_127_64", high: 127, low: 64, kind: "reserved" },
    { name: "CTP", high: 63, low: 12, address: "host", doc: "context table" },
    { name: "RSVD_11_1", high: 11, low: 1, kind: "reserved" },
    { name: "P", high: 0, low: 0, doc: "present" },
  ],
} as const;

/**
 * Root entry, scalable mode: a half of 64 bits for device-functions 0–127 (lower) and 128–255
 * (upper). Reserved bits count only in a half that is present (VT-d 9.2).
 */
export const SM_ROOT_ENTRY = {
  name: "scalable-mode-root-entry",
  chapter: "9.2",
  bits: 128,
  fields: [
    { name: "UCTP", high: 127, low: 76, address: "host", doc: "upper context table" },
    { name: "RSVD_75_65", high: 75, low: 65, kind: "reserved" },
    { name: "UP", high: 64, low: 64, doc: "upper half present" },
    { name: "LCTP", high: 63, low: 12, address: "host", doc: "lower context table" },
    { name: "RSVD_11_1", high: 11, low: 1, kind: "reserved" },
    { name: "LP", high: 0, low: 0, doc: "lower half present" },
  ],
} as const;
