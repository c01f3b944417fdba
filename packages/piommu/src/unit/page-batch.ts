import type { TranslationEngine } from "@viommu/translation";
import type { Capabilities } from "@viommu/vtd-spec";
import { EVERYTHING } from "./device-tlbs.ts";
import { pageAddress } from "./page-address.ts";

const MOST_RANGES = 8;

interface Range {
  readonly dfn: number;
  readonly order: number;
}

/** Pages of a second stage that caches may hold and that have changed. */
export class PageBatch {
  private ranges: Range[] = [];
  private everything = false;

  get isEmpty(): boolean {
    return this.ranges.length === 0 && !this.everything;
  }

  add(dfn: number, order: number): void {
    if (this.everything) return;
    const last = this.ranges.at(-1);
    if (last?.dfn === dfn && last.order === order) return;
    this.ranges.push({ dfn, order });
    if (this.ranges.length > MOST_RANGES) this.everything = true;
  }

  /** Tells of its ranges; of everything, in order 52, where there are too many. */
  forEach(told: (dfn: number, order: number) => void): void {
    if (this.everything) told(0, EVERYTHING);
    else for (const { dfn, order } of this.ranges) told(dfn, order);
  }

  /**
   * Invalidates the IOTLB for them (VT-d 6.5.2.3), by pages where there are few and the unit can.
   * @param leafOnly no table was taken away
   */
  invalidate(
    engine: TranslationEngine,
    domainId: number,
    leafOnly: boolean,
    { PSI, MAMV }: Capabilities,
  ): void {
    const byPages = PSI !== 0 && !this.everything;
    if (byPages && this.ranges.every(({ order }) => order <= MAMV)) {
      for (const { dfn, order } of this.ranges) {
        const { hi, lo } = pageAddress(dfn);
        engine.invalidateIotlbPages(domainId, hi, lo, order, leafOnly);
      }
    } else {
      engine.invalidateIotlbDomain(domainId);
    }
  }

  /** Nothing is left to be invalidated. */
  clear(): void {
    this.ranges = [];
    this.everything = false;
  }
}
