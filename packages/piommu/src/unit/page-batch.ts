import type { TranslationEngine } from "@viommu/translation";
import type { Capabilities } from "@viommu/vtd-spec";

const MOST_RANGES = 8;
const FRAMES_PER_GIB = 2 ** 18;

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
        const hi = Math.floor(dfn / FRAMES_PER_GIB);
        engine.invalidateIotlbPages(domainId, hi, (dfn % FRAMES_PER_GIB) * 4096, order, leafOnly);
      }
    } else {
      engine.invalidateIotlbDomain(domainId);
    }
    this.ranges = [];
    this.everything = false;
  }
}
