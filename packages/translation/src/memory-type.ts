import type { AddressSpace } from "./address-space.ts";
import type { Walk } from "./walk.ts";

/** Memory types, as the fields PAT and EMT and the MTRRs have them (VT-d 9.6, 9.8, 11.4.12). */
export const MemoryType = {
  UC: 0,
  WC: 1,
  WT: 4,
  WP: 5,
  WB: 6,
  /** UC-; in a PAT only. */
  UC_MINUS: 7,
} as const;

/** In place of a memory type. */
export const NO_MEMORY_TYPE = -1;

const { UC, WC, WT, WP, WB, UC_MINUS } = MemoryType;

/** Table 7 of VT-d 3.11.3: by MTRR memory type, the effective type for UC, UC-, WC, WT, WB, WP in the PAT. */
const EFFECTIVE: Readonly<Record<number, readonly number[]>> = {
  [UC]: [UC, UC, WC, UC, UC, UC],
  [WC]: [UC, WC, WC, UC, WC, UC],
  [WT]: [UC, UC, WC, WT, WT, WP],
  [WB]: [UC, UC, WC, WT, WB, WP],
  [WP]: [UC, WC, WC, WT, WP, WP],
};
const COLUMNS: readonly number[] = [UC, UC_MINUS, WC, WT, WB, WP];

// flags of `AddressSpace.memoryFlags`, as in word 2 of a PASID table entry (VT-d 9.6)
const CD = 1 << 25;
const EMTE = 1 << 26;
/** Both. */
export const MEMORY_FLAGS: number = CD | EMTE;

/** IPAT of a second-stage leaf (VT-d 9.8). */
const IPAT = 1 << 6;

/**
 * The memory type of the page that a walk has found (VT-d 3.11.4, table 9). Reserved encodings count
 * as UC.
 * @param mtrr what the MTRRs say of the output address
 */
export function memoryTypeOf(space: AddressSpace, walk: Walk, mtrr: number): number {
  if ((space.memoryFlags & CD) !== 0) return UC;
  const usesEmt = (space.memoryFlags & EMTE) !== 0;
  const emt = (walk.secondLeaf >>> 3) & 7;
  // EMT alone is EMT with WB
  if (!space.firstStage) return usesEmt && space.levels > 0 ? combined(emt, WB) : WB;
  const pat = (space.pat >>> (4 * patIndex(walk))) & 7;
  if (space.under === null || !usesEmt) return combined(mtrr, pat);
  return combined(emt, (walk.secondLeaf & IPAT) !== 0 ? WB : pat);
}

/** VT-d 3.11.1: 4 PAT + 2 PCD + PWT of the first-stage entry that maps the page. */
function patIndex({ firstLeaf, firstShift }: Walk): number {
  const pat = firstShift === 12 ? firstLeaf >>> 7 : firstLeaf >>> 12;
  return ((pat & 1) << 2) | ((firstLeaf >>> 3) & 3);
}

function combined(mtrr: number, pat: number): number {
  return EFFECTIVE[mtrr]?.[COLUMNS.indexOf(pat)] ?? UC;
}
