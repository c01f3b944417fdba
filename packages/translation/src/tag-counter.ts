/** Tags are multiples of 4: the IOTLB marks page sizes in the bits below. */
const STEP = 4;
/** The largest one that is a small integer in every JavaScript engine. */
const LAST = 0x3fff_fffc;

/**
 * Gives out the tags under which the caches know an address space. A new tag makes everything that
 * was cached under the old one unreachable: that is how most invalidations work, in O(1).
 */
export class TagCounter {
  private last: number;

  /** @param last the tag before the first one given out; not 0 only in tests of the wrap */
  constructor(last = 0) {
    this.last = last;
  }

  /** True when no unused tag is left. */
  get exhausted(): boolean {
    return this.last >= LAST;
  }

  /** Begins again; the caches must be empty, and every space needs a new tag. */
  restart(): void {
    this.last = 0;
  }

  /** A tag that nothing is cached under; never 0. */
  next(): number {
    this.last += STEP;
    return this.last;
  }
}
