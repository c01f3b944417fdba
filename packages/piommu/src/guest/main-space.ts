import { ViommuError } from "@viommu/plugin";
import type { PagingSpace, PhysicalIommu } from "@viommu/plugin";
import type { DirtyPages } from "./dirty-pages.ts";
import type { P2m, P2mExtent } from "./p2m.ts";
import { NO_FRAMES, Projection } from "./projection.ts";

const ALL_FLAGS = 7;
/** Order of all guest frames: they are all mapped alike. */
const WIDEST = 52;
/** Pages that one step of taking it down removes: 1 GiB. */
const STEP_PAGES = 2 ** 18;

/** A guest's GPA→HPA space: the p2m as it is. */
export class MainSpace {
  readonly space: PagingSpace;
  readonly #p2m: P2m;
  readonly #dirty: DirtyPages;
  readonly #inputWidth: number;
  readonly #projection: Projection;
  #leaving: P2mExtent[] | null = null;
  #tracking = false;

  /** Throws ERR_VIOMMU_PIOMMU, with all frames given back, when the host's frames are used up. */
  constructor(physical: PhysicalIommu, p2m: P2m, dirty: DirtyPages) {
    const { info } = physical;
    const frameQuota = Number.MAX_SAFE_INTEGER;
    this.#p2m = p2m;
    this.#dirty = dirty;
    this.#inputWidth = info.inputWidth;
    this.space = physical.createPagingSpace({ frameQuota, nestingParent: info.nesting });
    this.#projection = new Projection(this.space, p2m, info);
    const isComplete = p2m.extents.every(({ count, gfn }) => this.changed(gfn, count));
    if (isComplete) return;
    this.space.destroy();
    throw new ViommuError(
      "ERR_VIOMMU_PIOMMU",
      `"${physical.name}" has no table frames left for the guest's memory; give it more`,
    );
  }

  /** Guest frames have changed; false when there was no table frame, and they are not mapped. */
  changed(gfn: number, count: number): boolean {
    const room = this.#tracking ? 0 : WIDEST; // pages that become one page lose their D bits
    const isDone = this.#projection.renew(gfn, gfn, count, ALL_FLAGS, room) !== NO_FRAMES;
    if (!isDone) this.#projection.clear(gfn, count);
    this.#projection.flush();
    return isDone;
  }

  setTracking(on: boolean): void {
    this.space.setDirtyTracking(on);
    this.#tracking = on;
  }

  /** Moves what the D bits tell to the dirty pages of the guest. */
  collectDirty(): void {
    this.space.readAndClearDirty(0, this.#inputWidth - 12, (gfn, order) => {
      this.#dirty.add(gfn, 2 ** order);
    });
  }

  /** It is to be taken down; nobody uses it. */
  leave(): void {
    this.#leaving = [...this.#p2m.extents];
  }

  /** True until all frames are given back. */
  get leaving(): boolean {
    return this.#leaving !== null;
  }

  /** Takes it down in at most `budget` steps; returns how many. */
  takeDown(budget: number): number {
    const left = this.#leaving;
    if (left === null) return 0;
    let steps = 0;
    for (let extent = left.pop(); extent !== undefined; extent = left.pop()) {
      const count = Math.min(extent.count, STEP_PAGES);
      this.#projection.clear(extent.gfn + extent.count - count, count);
      if (count < extent.count) left.push({ ...extent, count: extent.count - count });
      steps += 1;
      if (steps >= budget) return steps;
    }
    this.#projection.flush();
    this.space.destroy();
    this.#leaving = null;
    return steps + 1;
  }
}
