import { Access } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import { Walk } from "./walk.ts";
import type { Space, Walker } from "./walk.ts";

const RIGHTS = Access.READ | Access.WRITE;

/**
 * The second stage under a first one (VT-d 3.8): it translates the addresses of first-stage entries
 * and those that they give. Its faults keep their reasons, but for two of their own.
 */
export class NestedStage {
  /** Result of {@link findEntry}. */
  readonly found: Walk = new Walk();
  private readonly walker: Walker;
  /** Rights that reading a first-stage entry takes: with SSADE it counts as a write, too (3.8.1). */
  private readonly entryNeed: number;
  private space: Space | null = null;

  /** @param setsFlags SSADE of the PASID table entry */
  constructor(walker: Walker, setsFlags: boolean) {
    this.walker = walker;
    this.entryNeed = setsFlags ? RIGHTS : Access.READ;
  }

  /**
   * Begins a walk of a nested space.
   * @param full from the top, without the paging-structure cache
   */
  begin(space: Space, full: boolean): void {
    this.space = space.under;
    this.found.full = full;
  }

  /** Whether a guest-physical address is above min(MGAW, AW). */
  isBeyond(hi: number): boolean {
    return hi >>> this.space!.inputShift !== 0;
  }

  /** Finds a first-stage entry in host memory. */
  findEntry(hi: number, lo: number, isTop: boolean, walk: Walk): number {
    this.found.effects = walk.effects;
    const reason = this.walker.walk(this.space!, hi, lo, this.entryNeed, this.found);
    if (reason !== FaultReason.SM_READ_DENIED) return reason;
    return isTop ? FaultReason.FS_ROOT_SS_DENIED : FaultReason.FS_ENTRY_SS_DENIED;
  }

  /**
   * Translates what the first stage has found in `walk`: the page is the smaller one of both stages,
   * the rights are those that both leave.
   */
  findPage(need: number, walk: Walk): number {
    const { outHi, outLo, pageShift, granted } = walk;
    this.found.effects = walk.effects;
    this.found.writes = walk.writes && (granted & Access.WRITE) !== 0;
    const reason = this.walker.walk(this.space!, outHi, outLo, need, this.found);
    this.found.writes = false;
    if (reason !== 0) return reason;
    walk.outHi = this.found.outHi;
    walk.outLo = this.found.outLo;
    walk.secondLeaf = this.found.secondLeaf;
    walk.pageShift = Math.min(pageShift, this.found.pageShift);
    const both = granted & this.found.granted & RIGHTS;
    walk.granted = both | ((granted | this.found.granted) & Access.SNOOP);
    return 0;
  }
}
