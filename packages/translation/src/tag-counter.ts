/** Tags lie above bit 14: the IOTLB has address bits and a page size below. */
const TAG_SHIFT = 15;
const LAST = 0x1_ffff;

/**
 * Gives out the tags under which the caches know an address space. A new tag makes everything that
 * was cached under the old one unreachable: that is how most invalidations work, in O(1).
 */
export class TagCounter {
  private last: number;

  /** @param last number of tags given out before; not 0 only in tests of the wrap */
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

  /** A tag that nothing is cached under: 17 bits, not all 0, from bit 15 up. */
  next(): number {
    this.last += 1;
    return this.last << TAG_SHIFT;
  }
}
