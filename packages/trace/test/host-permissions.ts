import {
  decodeCapabilities,
  encode,
  HPTL1E,
  HPTL2E,
  HPTL3E,
  HPTL4E,
  PASID_DIR_ENTRY,
  PASID_ENTRY,
  SM_CONTEXT_ENTRY,
  SM_ROOT_ENTRY,
} from "@viommu/vtd-spec";

/** Entries by address; an empty one is no memory. */
export type Tables = Readonly<Record<number, Int32Array>>;

export const ROOT = 0x1000;
export const CONTEXT = 0x2000;
export const DIRECTORY = 0x3000;
export const PASIDS = 0x4000;
/** Top table of the host permission table; it may have up to 8 pages. */
export const HPTL4 = 0x10_0000;
export const HPTL3 = 0x20_0000;
export const HPTL2 = 0x21_0000;
export const HPTL1 = 0x22_0000;

/**
 * Entry 1 at level 4 and 2 at level 3, there page 5; so entry 0b101_00011 at level 2, there page 6;
 * so entry 0b0110_0100 at level 1, there page 7.
 */
export const ADDRESS = 0x205_46c8_7234n;

/** Where the entries for `ADDRESS` lie. */
export const AT = {
  context: CONTEXT + 32 * 0x10,
  L4: HPTL4 + 16,
  L3: HPTL3 + 16 * 2,
  L2: HPTL2 + 16 * 0b101_00011,
  L1: HPTL1 + 16 * 0b0110_0100,
} as const;

/** Scalable mode with first stage, PASIDs of 20 bits, device-TLBs and host permission tables. */
export const CAP = 0x81d2_008c_2273_0606n;
export const ECAP =
  0x8800_00f0_0f4an | // as a unit of a recorded guest
  (1n << 59n) | // HPT1GPS
  (1n << 56n) | // PTRS
  (1n << 55n) | // HPTS
  (1n << 49n) | // RPS
  (1n << 46n) | // SSTS
  (1n << 40n) | // PASID
  (19n << 35n) | // PSS
  (1n << 2n); // DT
export const CAPABILITIES = decodeCapabilities(CAP, ECAP);

export const context = (values: object = {}): Tables => ({
  [AT.context]: encode(SM_CONTEXT_ENTRY, {
    P: 1,
    DTE: 1,
    HPTE: 1,
    PASIDE: 1,
    EPTR: 1,
    PASIDDIRPTR: DIRECTORY,
    ...values,
  }),
});

/** The entry of the PASID of requests without one. */
export const pasidEntry = (values: object = {}): Tables => ({
  [PASIDS]: encode(PASID_ENTRY, { P: 1, PGTT: 1, HPTPTR: HPTL4, HPTDID: 9, ...values }),
});

export const level4 = (values: object): Tables => ({ [AT.L4]: encode(HPTL4E, values) });
export const level3 = (values: object): Tables => ({ [AT.L3]: encode(HPTL3E, values) });
export const level2 = (values: object): Tables => ({ [AT.L2]: encode(HPTL2E, values) });
export const level1 = (values: object): Tables => ({ [AT.L1]: encode(HPTL1E, values) });

/** Tables for device 00:02.0: its host permission table allows all in the page of `ADDRESS`. */
export const TABLES: Tables = {
  [ROOT]: encode(SM_ROOT_ENTRY, { LP: 1, LCTP: CONTEXT }),
  ...context(),
  [DIRECTORY]: encode(PASID_DIR_ENTRY, { P: 1, SMPTBLPTR: PASIDS }),
  ...pasidEntry(),
  // PASID 5 has a table whose entries are 0
  [PASIDS + 5 * 64]: encode(PASID_ENTRY, { P: 1, PGTT: 1, HPTPTR: 0x30_0000, HPTDID: 5 }),
  ...level4({ AV: 1, ADDR: HPTL3 }),
  ...level3({ AV: 1, ADDR: HPTL2 }),
  ...level2({ AV: 1, ADDR: HPTL1 }),
  ...level1({ PP7: 3 }),
};
