import type { DmaRequest } from "@viommu/plugin";

/** Words of an entry, from its first one; an entry has four. */
const KEY = 1;
const RIGHTS = 2;
const OUT_LO = 3;

/**
 * In the key, below bits 24:12 of the address: entries of different sizes never match. Also the bits of
 * {@link Iotlb.largePages}.
 */
const SIZE_2M = 1;
const SIZE_1G = 2;

/**
 * Whether an answer fits an entry: the input address is a canonical one of 57 bits, the output
 * address has at most 56. (The upper half of an unsigned 57-bit space is never cached.)
 */
export function isCacheable(hi: number, outHi: number): boolean {
  return hi >> 26 === hi >> 31 && outHi >>> 26 === 0;
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
 * the address cut to its size; it is looked for only if there are such pages.
 */
export class Iotlb {
  /** All entries; the engine's hit path reads them itself. */
  readonly words: Int32Array;
  /** Number of entries minus 1. */
  readonly mask: number;
  /** Sizes of large pages that may be there: others are not looked for. */
  private largePages = 0;

  /** @param slots number of entries, a power of two */
  constructor(slots: number) {
    this.words = new Int32Array(slots << 2);
    this.mask = slots - 1;
  }

  /** Answers a request if the IOTLB has a page for it with at least these rights. */
  answer(tag: number, request: DmaRequest, need: number): boolean {
    const hi = request.hi | 0;
    const lo = request.lo | 0;
    if (!isCacheable(hi, 0) || tag === 0) return false;
    return this.answerPage(tag, hi, lo, need, 12, request) || this.answerLarge(tag, request, need);
  }

  /** The same for large pages only. */
  answerLarge(tag: number, request: DmaRequest, need: number): boolean {
    const hi = request.hi | 0;
    const lo = request.lo | 0;
    const largePages = this.largePages;
    if (largePages === 0 || hi >> 26 !== hi >> 31) return false;
    // most are of 2 MiB: as answerPage with constants in place of the size (a third of the time)
    const spread = Math.imul((hi << 5) ^ (tag >>> 1), 0x9e37_79b1) >>> 19;
    const slot = (((lo >>> 21) ^ spread) & this.mask) << 2;
    const words = this.words;
    const rights = words[slot | RIGHTS]!;
    if (
      words[slot] !== ((hi << 5) | (lo >>> 25)) ||
      words[slot | KEY] !== (tag | ((lo >>> 10) & 0x7800) | SIZE_2M) ||
      (need & ~rights) !== 0 ||
      rights === 0
    ) {
      return (largePages & SIZE_1G) !== 0 && this.answerPage(tag, hi, lo, need, 30, request);
    }
    request.outHi = rights >>> 6;
    request.outLo = words[slot | OUT_LO]! | (lo & 0x1f_ffff);
    request.pageShift = 21;
    request.granted = rights & 0x3f;
    return true;
  }

  /** Caches the result of a walk that found a 4 KiB page, for a cacheable address. */
  fillPage(
    tag: number,
    hi: number,
    lo: number,
    outHi: number,
    outLo: number,
    granted: number,
  ): void {
    const words = this.words;
    const region = (hi << 5) | (lo >>> 25);
    const spread = Math.imul(region ^ (tag >>> 1), 0x9e37_79b1) >>> 19;
    const slot = (((lo >>> 12) ^ spread) & this.mask) << 2;
    words[slot] = region;
    words[slot | KEY] = tag | ((lo >>> 10) & 0x7ffc);
    words[slot | RIGHTS] = (outHi << 6) | granted;
    words[slot | OUT_LO] = outLo & 0x3fff_f000;
  }

  /** Caches the result of a walk that found a large page. */
  fillLarge(
    tag: number,
    hi: number,
    lo: number,
    outHi: number,
    outLo: number,
    pageShift: number,
    granted: number,
  ): void {
    const words = this.words;
    const offset = (1 << pageShift) - 1;
    const page = lo & ~offset;
    const spread = Math.imul((hi << 5) ^ (tag >>> 1), 0x9e37_79b1) >>> 19;
    const slot = (((lo >>> pageShift) ^ spread) & this.mask) << 2;
    const size = pageShift === 21 ? SIZE_2M : SIZE_1G;
    this.largePages |= size;
    words[slot] = (hi << 5) | (page >>> 25);
    words[slot | KEY] = tag | ((page >>> 10) & 0x7ffc) | size;
    words[slot | RIGHTS] = (outHi << 6) | granted;
    words[slot | OUT_LO] = outLo & ~offset;
  }

  /**
   * Drops the pages of any size that overlap 2^order 4 KiB pages at an aligned address.
   * @param order at most 9: no 2 MiB border is crossed
   */
  drop(tag: number, hi: number, lo: number, order: number): void {
    const { words, mask } = this;
    // by hand, as in fillPage: the slots of these pages differ in their low bits only
    const region = (hi << 5) | (lo >>> 25);
    const spread = Math.imul(region ^ (tag >>> 1), 0x9e37_79b1) >>> 19;
    const end = (lo >>> 12) + (1 << order);
    for (let page = lo >>> 12; page < end; page = (page + 1) | 0) {
      const slot = ((page ^ spread) & mask) << 2;
      if (words[slot] === region && words[slot | KEY] === (tag | ((page << 2) & 0x7ffc))) {
        words[slot | RIGHTS] = 0;
      }
    }
    if (this.largePages !== 0) this.dropLarge(tag, hi, lo);
  }

  /** Drops everything; needed only when tags are used again. */
  clear(): void {
    this.words.fill(0);
    this.largePages = 0;
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

  private dropLarge(tag: number, hi: number, lo: number): void {
    if ((this.largePages & SIZE_2M) !== 0) this.dropPage(tag, hi, lo, 21);
    if ((this.largePages & SIZE_1G) !== 0) this.dropPage(tag, hi, lo, 30);
  }

  private dropPage(tag: number, hi: number, lo: number, pageShift: number): void {
    const words = this.words;
    const page = lo & -(1 << pageShift);
    const slot = this.slot(tag, hi, page, pageShift);
    if (words[slot] === regionOf(hi, page) && words[slot | KEY] === keyOf(tag, page, pageShift)) {
      words[slot | RIGHTS] = 0;
    }
  }

  /**
   * First word of the entry for a page. In a table of the usual size no two pages of an aligned
   * 256 MiB meet (2 MiB pages: of 1 GiB). Spaces are spread over 8192 entries only: with its new tag
   * a space that was invalidated fills entries which are still near to the processor.
   */
  private slot(tag: number, hi: number, page: number, pageShift: number): number {
    const region = pageShift === 12 ? regionOf(hi, page) : hi << 5;
    const spread = Math.imul(region ^ (tag >>> 1), 0x9e37_79b1) >>> 19;
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
