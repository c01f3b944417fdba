import type { Space } from "./walk.ts";

/** Words of an entry, from its first one; an entry has four. */
const KEY = 1;
const TABLE_HI = 2;
const TABLE_LO = 3;

/**
 * The paging-structure cache (VT-d 6.2.5): where the last-level table for a 2 MiB region lies, and
 * the rights that the levels above it leave. One kind of entry is enough: a walk that finds none
 * costs at most four more reads.
 *
 * It is only ever a short cut to a success: a walk that fails from here is done again from the top.
 */
export class PagingStructureCache {
  /**
   * Entries as in the IOTLB: bits of the address from 25 up; tag and bits 24:21; `hi` of the table;
   * its `lo` (29:12) and the rights (11:0).
   */
  readonly words: Int32Array;
  private readonly mask: number;

  /** @param slots number of entries, a power of two */
  constructor(slots: number) {
    this.words = new Int32Array(slots << 2);
    this.mask = slots - 1;
  }

  /** First word of the entry for an address, or -1. */
  find(space: Space, hi: number, lo: number): number {
    const { tag } = space;
    const slot = this.slot(tag, hi, lo);
    const words = this.words;
    if (words[slot] !== ((hi << 5) | (lo >>> 25))) return -1;
    return words[slot | KEY] === (tag | ((lo >>> 21) & 0xf)) && tag !== 0 ? slot : -1;
  }

  /** Caches where the table for an address lies, and the rights left by the levels above. */
  fill(
    space: Space,
    hi: number,
    lo: number,
    tableHi: number,
    tableLo: number,
    rights: number,
  ): void {
    const words = this.words;
    const slot = this.slot(space.tag, hi, lo);
    words[slot] = (hi << 5) | (lo >>> 25);
    words[slot | KEY] = space.tag | ((lo >>> 21) & 0xf);
    words[slot | TABLE_HI] = tableHi;
    words[slot | TABLE_LO] = tableLo | rights;
  }

  /** Drops the entry for the 2 MiB region of an address. */
  drop(space: Space, hi: number, lo: number): void {
    const slot = this.find(space, hi, lo);
    if (slot >= 0) this.words[slot | KEY] = 0;
  }

  /** Drops everything; needed only when tags are used again. */
  clear(): void {
    this.words.fill(0);
  }

  private slot(tag: number, hi: number, lo: number): number {
    const spread = Math.imul((hi << 5) ^ (tag >>> 1), 0x9e37_79b1) >>> 12;
    return (((lo >>> 21) ^ spread) & this.mask) << 2;
  }
}
