import type { DmaRequest } from "@viommu/plugin";
import type { AddressSpace } from "./address-space.ts";
import type { Walk } from "./walk.ts";

/** log2 of the words of an entry. */
export const ENTRY_SHIFT = 3;

/** Words of an entry, from its first one. */
const HI = 0;
const PAGE = 1;
const TAG = 2;
const GRANTED = 3;
const OUT_HI = 4;
const OUT_LO = 5;
const PAGE_SHIFT = 6;

/** In the tag word, below the tag of the space: entries of different sizes never match. */
const SIZE_4K = 0;
const SIZE_2M = 1;
const SIZE_1G = 2;

/** Bits of `AddressSpace.largePages`. */
const HAS_2M = 1;
const HAS_1G = 2;

/** Spreads bits 25 and up of an address; pages of a contiguous 32 MiB never meet. */
export function spread(hi: number, lo: number): number {
  return Math.imul((hi << 5) | (lo >>> 25), 0x9e37_79b1) >>> 12;
}

/**
 * The IOTLB (VT-d 6.2.4): direct-mapped, results of successful walks only. An entry has eight words,
 * half a cache line: hi, page number below bit 30, tag, granted rights, output page (hi, lo), log2
 * of the page size, and a spare one.
 *
 * A large page is one entry, with the address cut to its size; it is looked for only while the space
 * has such pages.
 */
export class Iotlb {
  /** All entries; the engine's hit path reads them itself. */
  readonly words: Int32Array;
  /** Number of entries minus 1. */
  readonly mask: number;

  /** @param slots number of entries, a power of two */
  constructor(slots: number) {
    this.words = new Int32Array(slots << ENTRY_SHIFT);
    this.mask = slots - 1;
  }

  /** First word of the entry that grants these rights, or -1. */
  find(space: AddressSpace, hi: number, lo: number, need: number): number {
    const slot = this.slot4K(space.seed, hi, lo);
    if (this.matches(slot, hi, lo >>> 12, space.tag | SIZE_4K, need)) return slot;
    return space.largePages === 0 ? -1 : this.findLarge(space, hi, lo, need);
  }

  /** The same among the large pages. */
  findLarge(space: AddressSpace, hi: number, lo: number, need: number): number {
    const tag = space.tag;
    if ((space.largePages & HAS_2M) !== 0) {
      const slot = this.slot2M(space.seed, hi, lo);
      if (this.matches(slot, hi, lo >>> 21, tag | SIZE_2M, need)) return slot;
    }
    if ((space.largePages & HAS_1G) !== 0) {
      const slot = this.slot1G(space.seed, hi);
      if (this.matches(slot, hi, 0, tag | SIZE_1G, need)) return slot;
    }
    return -1;
  }

  /** Answers a request out of an entry. */
  answer(slot: number, request: DmaRequest): void {
    const pageShift = this.words[slot | PAGE_SHIFT]!;
    request.outHi = this.words[slot | OUT_HI]!;
    request.outLo = this.words[slot | OUT_LO]! | (request.lo & ((1 << pageShift) - 1));
    request.pageShift = pageShift;
    request.granted = this.words[slot | GRANTED]!;
  }

  /** Caches the result of a walk. */
  fill(space: AddressSpace, hi: number, lo: number, walk: Walk): void {
    const tag = space.tag;
    const pageShift = walk.pageShift;
    let slot;
    if (pageShift === 12) {
      slot = this.slot4K(space.seed, hi, lo);
      this.words[slot | TAG] = tag | SIZE_4K;
    } else if (pageShift === 21) {
      space.largePages |= HAS_2M;
      slot = this.slot2M(space.seed, hi, lo);
      this.words[slot | TAG] = tag | SIZE_2M;
    } else {
      space.largePages |= HAS_1G;
      slot = this.slot1G(space.seed, hi);
      this.words[slot | TAG] = tag | SIZE_1G;
    }
    this.words[slot | HI] = hi;
    this.words[slot | PAGE] = pageShift === 30 ? 0 : lo >>> pageShift;
    this.words[slot | GRANTED] = walk.granted;
    this.words[slot | OUT_HI] = walk.outHi;
    this.words[slot | OUT_LO] = walk.outLo & ~((1 << pageShift) - 1);
    this.words[slot | PAGE_SHIFT] = pageShift;
  }

  /**
   * Drops the pages of any size that overlap 2^order 4 KiB pages at an aligned address.
   * @param order at most 9: one 2 MiB page is not crossed
   */
  drop(space: AddressSpace, hi: number, lo: number, order: number): void {
    const tag = space.tag;
    const end = lo + (1 << (12 + order));
    for (let page = lo; page < end; page += 0x1000) {
      this.dropEntry(this.slot4K(space.seed, hi, page), hi, page >>> 12, tag | SIZE_4K);
    }
    if ((space.largePages & HAS_2M) !== 0) {
      this.dropEntry(this.slot2M(space.seed, hi, lo), hi, lo >>> 21, tag | SIZE_2M);
    }
    if ((space.largePages & HAS_1G) !== 0) {
      this.dropEntry(this.slot1G(space.seed, hi), hi, 0, tag | SIZE_1G);
    }
  }

  /** Drops everything; needed only when tags are used again. */
  clear(): void {
    this.words.fill(0);
  }

  private matches(slot: number, hi: number, page: number, tag: number, need: number): boolean {
    const words = this.words;
    return (
      ((words[slot]! ^ hi) |
        (words[slot | PAGE]! ^ page) |
        (words[slot | TAG]! ^ tag) |
        (need & ~words[slot | GRANTED]!)) ===
      0
    );
  }

  private dropEntry(slot: number, hi: number, page: number, tag: number): void {
    if (this.matches(slot, hi, page, tag, 0)) this.words[slot | TAG] = 0;
  }

  private slot4K(seed: number, hi: number, lo: number): number {
    return (((lo >>> 12) ^ spread(hi, lo) ^ seed) & this.mask) << ENTRY_SHIFT;
  }

  private slot2M(seed: number, hi: number, lo: number): number {
    return (((lo >>> 21) ^ spread(hi, 0) ^ seed) & this.mask) << ENTRY_SHIFT;
  }

  private slot1G(seed: number, hi: number): number {
    return ((spread(hi, 0) ^ ~seed) & this.mask) << ENTRY_SHIFT;
  }
}
