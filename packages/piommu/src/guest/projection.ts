import { MapFlag, MapResult } from "@viommu/plugin";
import type { PagingSpace, PhysicalIommuInfo } from "@viommu/plugin";
import { pagesIn } from "../page-order.ts";
import type { P2m, P2mRun } from "./p2m.ts";

const RIGHTS = MapFlag.READ | MapFlag.WRITE;

/** Result of {@link Projection.project} when table frames ran out. */
export const NO_FRAMES = -1;

/**
 * Writes guest frames into a paging space as the p2m has them, with the largest pages that the
 * alignment of both sides allows.
 */
export class Projection {
  readonly #space: PagingSpace;
  readonly #p2m: P2m;
  /** From the largest down. */
  readonly #orders: readonly number[];
  readonly #mask: number;
  readonly #run: P2mRun = { mfn: 0, count: 0, rights: 0 };
  /** Set when something was replaced or removed: the space needs a flush. */
  dirty = false;
  /** Table writes so far: calls of `map` and `unmap`. */
  writes = 0;

  constructor(space: PagingSpace, p2m: P2m, info: PhysicalIommuInfo) {
    this.#space = space;
    this.#p2m = p2m;
    this.#orders = info.pageOrders.toSorted((a, b) => b - a);
    this.#mask = info.snoop ? RIGHTS | MapFlag.SNOOP : RIGHTS;
  }

  /**
   * Makes `count` pages from `dfn` on what the p2m has for as many frames from `gfn` on, cut to
   * `flags` (bits of `MapFlag`), with at most `budget` table writes.
   * @returns the pages done, or NO_FRAMES
   */
  project(dfn: number, gfn: number, count: number, flags: number, budget: number): number {
    const run = this.#run;
    let done = 0;
    for (let writes = 0; done < count && writes < budget; writes++) {
      this.#p2m.lookup(gfn + done, run);
      const left = Math.min(run.count, count - done);
      const granted = run.rights & flags & this.#mask;
      const page = dfn + done;
      let order: number;
      let result: number;
      if ((granted & RIGHTS) === 0) {
        order = alignedOrder(page, left);
        result = this.#space.unmap(page, order);
      } else {
        order = this.#pageOrder(page, run.mfn, left);
        result = this.#space.map(page, run.mfn, order, granted);
        // nothing was mapped: what was there must go all the same
        if (result === MapResult.BEYOND_WIDTH) result = this.#space.unmap(page, order);
      }
      this.dirty = true;
      this.writes += 1;
      if (result === MapResult.NO_FRAMES) return NO_FRAMES;
      done += pagesIn(order);
    }
    return done;
  }

  /**
   * As {@link project} without a budget, after a change of the p2m: where larger pages have become
   * whole by it, they are written instead. They lie within the 2^`room` frames around the change that
   * are mapped alike, and whose `dfn` goes along with them.
   */
  renew(dfn: number, gfn: number, count: number, flags: number, room: number): number {
    let first = gfn;
    let end = gfn + count;
    for (const order of this.#orders.toReversed()) {
      if (order === 0 || order > room) continue;
      const pages = pagesIn(order);
      const lowest = first - (first % pages);
      const highest = end - 1 - ((end - 1) % pages);
      if (this.#isWhole(lowest, pages)) first = lowest;
      if (this.#isWhole(highest, pages)) end = highest + pages;
    }
    return this.project(dfn + first - gfn, first, end - first, flags, Infinity);
  }

  /** Removes `count` pages from `dfn` on; false when a split found no frame. */
  clear(dfn: number, count: number): boolean {
    let isWhole = true;
    for (let done = 0; done < count;) {
      const order = alignedOrder(dfn + done, count - done);
      if (this.#space.unmap(dfn + done, order) === MapResult.NO_FRAMES) isWhole = false;
      this.dirty = true;
      this.writes += 1;
      done += pagesIn(order);
    }
    return isWhole;
  }

  /** Ends a batch: what was replaced or removed is out of use when this returns. */
  flush(): void {
    if (!this.dirty) return;
    this.dirty = false;
    this.#space.flush();
  }

  /** The p2m has one page there. */
  #isWhole(gfn: number, pages: number): boolean {
    const run = this.#run;
    this.#p2m.lookup(gfn, run);
    return run.count >= pages && run.mfn % pages === 0 && (run.rights & RIGHTS) !== 0;
  }

  #pageOrder(dfn: number, mfn: number, count: number): number {
    for (const order of this.#orders) {
      const pages = pagesIn(order);
      if (pages <= count && dfn % pages === 0 && mfn % pages === 0) return order;
    }
    return 0;
  }
}

/** Order of the largest naturally aligned block at `frame` that has at most `count` frames. */
function alignedOrder(frame: number, count: number): number {
  let order = 0;
  while (pagesIn(order + 1) <= count && frame % pagesIn(order + 1) === 0) order += 1;
  return order;
}
