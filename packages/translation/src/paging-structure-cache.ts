import { ENTRY_SHIFT, spread } from "./iotlb.ts";
import type { Space } from "./walk.ts";

const HI = 0;
const REGION = 1;
const TAG = 2;
const GRANTED = 3;
const TABLE_HI = 4;
const TABLE_LO = 5;

/**
 * The paging-structure cache (VT-d 6.2.5): where the last-level table for a 2 MiB region lies, and
 * the rights that the levels above it leave. One kind of entry is enough: a walk that finds none
 * costs at most four more reads.
 *
 * It is only ever a short cut to a success: a walk that fails from here is done again from the top.
 */
export class PagingStructureCache {
  /** Entries of eight words; walkers read the rights left (3) and the table's address (4, 5). */
  readonly words: Int32Array;
  private readonly mask: number;

  /** @param slots number of entries, a power of two */
  constructor(slots: number) {
    this.words = new Int32Array(slots << ENTRY_SHIFT);
    this.mask = slots - 1;
  }

  /** First word of the entry for an address, or -1. */
  find(space: Space, hi: number, lo: number): number {
    const words = this.words;
    const slot = this.slot(space.seed, hi, lo);
    const differs =
      (words[slot]! ^ hi) |
      (words[slot | REGION]! ^ (lo >>> 21)) |
      (words[slot | TAG]! ^ space.tag);
    return differs === 0 ? slot : -1;
  }

  /** Caches where the table for an address lies, and the rights left by the levels above. */
  fill(
    space: Space,
    hi: number,
    lo: number,
    tableHi: number,
    tableLo: number,
    granted: number,
  ): void {
    const words = this.words;
    const slot = this.slot(space.seed, hi, lo);
    words[slot | HI] = hi;
    words[slot | REGION] = lo >>> 21;
    words[slot | TAG] = space.tag;
    words[slot | GRANTED] = granted;
    words[slot | TABLE_HI] = tableHi;
    words[slot | TABLE_LO] = tableLo;
  }

  /** Drops the entry for the 2 MiB region of an address. */
  drop(space: Space, hi: number, lo: number): void {
    const slot = this.find(space, hi, lo);
    if (slot >= 0) this.words[slot | TAG] = 0;
  }

  /** Drops everything; needed only when tags are used again. */
  clear(): void {
    this.words.fill(0);
  }

  private slot(seed: number, hi: number, lo: number): number {
    return (((lo >>> 21) ^ spread(hi, 0) ^ seed) & this.mask) << ENTRY_SHIFT;
  }
}
