import type { DmaRequest } from "@viommu/plugin";
import type { AddressSpace } from "./address-space.ts";
import type { Walk } from "./walk.ts";

/** Words of an entry, from its first one; an entry has four. */
const KEY = 1;
const RIGHTS = 2;
const OUT_LO = 3;

/** In the key, below bits 24:12 of the address: entries of different sizes never match. */
const SIZE_2M = 1;
const SIZE_1G = 2;

/** Bits of `AddressSpace.largePages`. */
const HAS_2M = 1;
const HAS_1G = 2;

/**
 * Whether answers for an address can be cached: of 64 bits, an entry holds those of a 57-bit
 * canonical address. (The upper half of an unsigned 57-bit space has no cache.)
 */
export function isCacheable(hi: number): boolean {
  return hi >> 26 === hi >> 31;
}

/**
 * The IOTLB (VT-d 6.2.4): direct-mapped, results of successful walks only. Four words an entry, few
 * to compare and few to read:
 *
 * - bits of the input address from 25 up;
 * - tag of the space (31:15), bits 24:12 of the input address (14:2), page size (1:0);
 * - `hi` of the output page (31:6), rights (5:0);
 * - `lo` of the output page.
 *
 * An entry that was never filled, or was dropped, grants nothing. A large page is one entry, with
 * the address cut to its size; it is looked for only while the space has such pages.
 */
export class Iotlb {
  /** All entries; the engine's hit path reads them itself. */
  readonly words: Int32Array;
  /** Number of entries minus 1. */
  readonly mask: number;

  /** @param slots number of entries, a power of two */
  constructor(slots: number) {
    this.words = new Int32Array(slots << 2);
    this.mask = slots - 1;
  }

  /**
   * Answers a request for a range that the IOTLB holds with at least these rights; false when it
   * doesn't.
   */
  answer(space: AddressSpace, request: DmaRequest, need: number): boolean {
    const hi = request.hi | 0;
    const lo = request.lo | 0;
    if (!isCacheable(hi) || space.tag === 0) return false;
    if (this.answerPage(space.tag, hi, lo, need, 12, request)) return true;
    return space.largePages !== 0 && this.answerLarge(space, request, need);
  }

  /** The same for large pages only. */
  answerLarge(space: AddressSpace, request: DmaRequest, need: number): boolean {
    const hi = request.hi | 0;
    const lo = request.lo | 0;
    if (!isCacheable(hi)) return false;
    const has = space.largePages;
    if ((has & HAS_2M) !== 0 && this.answerPage(space.tag, hi, lo, need, 21, request)) return true;
    return (has & HAS_1G) !== 0 && this.answerPage(space.tag, hi, lo, need, 30, request);
  }

  /** Caches the result of a walk for a cacheable address. */
  fill(space: AddressSpace, hi: number, lo: number, walk: Walk): void {
    const words = this.words;
    const pageShift = walk.pageShift;
    const offset = (1 << pageShift) - 1;
    if (pageShift !== 12) space.largePages |= pageShift === 21 ? HAS_2M : HAS_1G;
    const page = lo & ~offset;
    const slot = this.slot(space.tag, hi, page, pageShift);
    words[slot] = regionOf(hi, page);
    words[slot | KEY] = keyOf(space.tag, page, pageShift);
    words[slot | RIGHTS] = (walk.outHi << 6) | walk.granted;
    words[slot | OUT_LO] = walk.outLo & ~offset;
  }

  /**
   * Drops the pages of any size that overlap 2^order 4 KiB pages at an aligned address.
   * @param order at most 9: no 2 MiB border is crossed
   */
  drop(space: AddressSpace, hi: number, lo: number, order: number): void {
    const end = lo + (1 << (12 + order));
    for (let page = lo; page < end; page += 0x1000) this.dropPage(space.tag, hi, page, 12);
    if ((space.largePages & HAS_2M) !== 0) this.dropPage(space.tag, hi, lo, 21);
    if ((space.largePages & HAS_1G) !== 0) this.dropPage(space.tag, hi, lo, 30);
  }

  /** Drops everything; needed only when tags are used again. */
  clear(): void {
    this.words.fill(0);
  }

  private answerPage(
    tag: number,
    hi: number,
    lo: number,
    need: number,
    pageShift: number,
    request: DmaRequest,
  ): boolean {
    const words = this.words;
    const offset = (1 << pageShift) - 1;
    const page = lo & ~offset;
    const slot = this.slot(tag, hi, page, pageShift);
    const rights = words[slot | RIGHTS]!;
    if (
      words[slot] !== regionOf(hi, page) ||
      words[slot | KEY] !== keyOf(tag, page, pageShift) ||
      rights === 0 ||
      (need & ~rights) !== 0
    ) {
      return false;
    }
    request.outHi = rights >>> 6;
    request.outLo = words[slot | OUT_LO]! | (lo & offset);
    request.pageShift = pageShift;
    request.granted = rights & 0x3f;
    return true;
  }

  private dropPage(tag: number, hi: number, lo: number, pageShift: number): void {
    const words = this.words;
    const page = lo & -(1 << pageShift);
    const slot = this.slot(tag, hi, page, pageShift);
    if (words[slot] === regionOf(hi, page) && words[slot | KEY] === keyOf(tag, page, pageShift)) {
      words[slot | RIGHTS] = 0;
    }
  }

  /** First word of the entry for a page. Pages of a contiguous 32 MiB (1 GiB, large) never meet. */
  private slot(tag: number, hi: number, page: number, pageShift: number): number {
    const region = pageShift === 12 ? regionOf(hi, page) : hi << 5;
    const spread = Math.imul(region ^ (tag >>> 1), 0x9e37_79b1) >>> 12;
    return (((page >>> pageShift) ^ spread) & this.mask) << 2;
  }
}

/** Bits 56:25 of an address. */
function regionOf(hi: number, lo: number): number {
  return (hi << 5) | (lo >>> 25);
}

function keyOf(tag: number, lo: number, pageShift: number): number {
  const size = pageShift === 12 ? 0 : pageShift === 21 ? SIZE_2M : SIZE_1G;
  return tag | ((lo >>> 10) & 0x7ffc) | size;
}
