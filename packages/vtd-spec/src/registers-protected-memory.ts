/*
 * Protected memory (VT-d 11.4.8). Bits N:0 of base and limit are reserved, N is up to the
 * implementation: here 19, regions of whole MBytes as on recent hardware.
 */

/** Protected memory enable register; read-only without PLMR and PHMR (VT-d 11.4.8.1). */
export const PMEN = {
  name: "PMEN",
  chapter: "11.4.8.1",
  bits: 32,
  offset: 0x64,
  access: "rw",
  fields: [
    { name: "EPM", high: 31, low: 31, doc: "enable protected memory" },
    { name: "RSVD_30_1", high: 30, low: 1, kind: "reserved", doc: "RsvdP" },
    { name: "PRS", high: 0, low: 0, access: "ro", doc: "protected region status" },
  ],
} as const;

/** Protected low-memory base register (VT-d 11.4.8.2). */
export const PLMBASE = {
  name: "PLMBASE",
  chapter: "11.4.8.2",
  bits: 32,
  offset: 0x68,
  access: "rw",
  requires: "PLMR",
  fields: [
    { name: "PLMB", high: 31, low: 20, address: "host", doc: "first address" },
    { name: "RSVD_19_0", high: 19, low: 0, kind: "reserved", doc: "taken as zeros" },
  ],
} as const;

/** Protected low-memory limit register (VT-d 11.4.8.3). */
export const PLMLIMIT = {
  name: "PLMLIMIT",
  chapter: "11.4.8.3",
  bits: 32,
  offset: 0x6c,
  access: "rw",
  requires: "PLMR",
  fields: [
    { name: "PLML", high: 31, low: 20, address: "host", doc: "last address" },
    { name: "RSVD_19_0", high: 19, low: 0, kind: "reserved", doc: "taken as ones" },
  ],
} as const;

/** Protected high-memory base register (VT-d 11.4.8.4). */
export const PHMBASE = {
  name: "PHMBASE",
  chapter: "11.4.8.4",
  bits: 64,
  offset: 0x70,
  access: "rw",
  requires: "PHMR",
  fields: [
    { name: "PHMB", high: 63, low: 20, address: "host", doc: "first address" },
    { name: "RSVD_19_0", high: 19, low: 0, kind: "reserved", doc: "taken as zeros" },
  ],
} as const;

/** Protected high-memory limit register (VT-d 11.4.8.5). */
export const PHMLIMIT = {
  name: "PHMLIMIT",
  chapter: "11.4.8.5",
  bits: 64,
  offset: 0x78,
  access: "rw",
  requires: "PHMR",
  fields: [
    { name: "PHML", high: 63, low: 20, address: "host", doc: "last address" },
    { name: "RSVD_19_0", high: 19, low: 0, kind: "reserved", doc: "taken as ones" },
  ],
} as const;
