import { decode, encode, fromQwords, MTRR_PHYSBASE, MTRRCAP, toQwords } from "@viommu/vtd-spec";

/** The fields of MTRRCAP (VT-d 11.4.12.1). */
export interface MtrrCapability {
  /** Pairs of variable-range MTRRs. */
  readonly VCNT: number;
  /** 1: there are fixed-range MTRRs. */
  readonly FIX: number;
  /** 1: write-combining is a memory type. */
  readonly WC: number;
}

/** Pairs of variable-range MTRRs that a unit has room for (VT-d 11.4.12.4). */
export const MOST_VARIABLE_MTRRS: number = MTRR_PHYSBASE.count;

/** Everything, as processors of today have it. */
const EVERYTHING: MtrrCapability = { VCNT: MOST_VARIABLE_MTRRS, FIX: 1, WC: 1 };

const NOTHING: MtrrCapability = { VCNT: 0, FIX: 0, WC: 0 };

/** What a unit has unless it is said: everything with MTS, nothing without. */
export function usualMtrrCapability(hasMemoryTypes: boolean): MtrrCapability {
  return hasMemoryTypes ? EVERYTHING : NOTHING;
}

export function encodeMtrrCap({ VCNT, FIX, WC }: MtrrCapability): bigint {
  return toQwords(encode(MTRRCAP, { VCNT, FIX, WC }))[0]!;
}

export function decodeMtrrCap(mtrrCap: bigint): MtrrCapability {
  const { VCNT, FIX, WC } = decode(MTRRCAP, fromQwords([mtrrCap]));
  return { VCNT: Number(VCNT), FIX: Number(FIX), WC: Number(WC) };
}
