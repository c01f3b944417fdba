import { Access } from "@viommu/plugin";
import { isInterruptAddress } from "./interrupt-range.ts";
import type { Space, Walk, Walker } from "./walk.ts";

/** Fault reasons of addresses that go through. */
export interface PassThroughReasons {
  /** Beyond the host address width. */
  readonly width: number;
  /** In FEEx_xxxxh. */
  readonly interruptRange: number;
}

/**
 * Output address = input address: pass-through (VT-d 3.9), translated requests (4.2.5), and all
 * requests while remapping is off. Rights are not checked.
 */
export class PassThroughWalker implements Walker {
  private readonly reasons: PassThroughReasons | null;
  private readonly granted: number;

  /**
   * @param reasons null: no address is refused, as while remapping is off
   * @param snoop `Access.SNOOP` if all requests snoop (PGSNP)
   */
  constructor(reasons: PassThroughReasons | null, snoop = 0) {
    this.reasons = reasons;
    this.granted = Access.READ | Access.WRITE | Access.BYPASS | snoop;
  }

  walk(space: Space, hi: number, lo: number, _need: number, walk: Walk): number {
    const reasons = this.reasons;
    if (reasons !== null) {
      if (hi >>> space.inputShift !== 0) return reasons.width;
      if (isInterruptAddress(hi, lo)) return reasons.interruptRange;
    }
    walk.outHi = hi;
    walk.outLo = lo;
    walk.pageShift = 30;
    walk.granted = this.granted;
    return 0;
  }
}
