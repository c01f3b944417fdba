import type { DmaRequest } from "@viommu/plugin";

/** Words of a slot: generation, input hi and lo, output hi and lo, granted, pageShift, unused. */
const STRIDE = 8;
const PAGE_MASK = ~0xfff;
/** Invalidations of more pages than 2^this drop everything. */
const LARGEST_PROBED_ORDER = 5;
const LAST_GENERATION = 0x3fff_ffff;

/**
 * Translations of one device, by 4 KiB page, direct-mapped. Forgetting everything is a new
 * generation; forgetting a page looks at the one slot where it would lie.
 */
export class TranslationCache {
  readonly #words: Int32Array;
  readonly #mask: number;
  #generation = 1;
  /** A part of a larger page is here: to forget one part is to forget the page. */
  #hasLarge = false;

  /** @param slots a power of two */
  constructor(slots: number) {
    this.#words = new Int32Array(slots * STRIDE);
    this.#mask = slots - 1;
  }

  /** Answers a request if the page is here with all rights that it needs. */
  answer(request: DmaRequest, need: number): boolean {
    const words = this.#words;
    const at = this.#slot(request.hi, request.lo);
    if (
      words[at] !== this.#generation ||
      words[at + 1] !== request.hi ||
      words[at + 2] !== (request.lo & PAGE_MASK) ||
      (need & ~words[at + 5]!) !== 0
    ) {
      return false;
    }
    request.outHi = words[at + 3]!;
    request.outLo = words[at + 4]! | (request.lo & ~PAGE_MASK);
    request.granted = words[at + 5]!;
    request.pageShift = words[at + 6]!;
    return true;
  }

  /** Keeps the answer that the request holds. */
  keep(request: DmaRequest): void {
    const words = this.#words;
    const at = this.#slot(request.hi, request.lo);
    words[at] = this.#generation;
    words[at + 1] = request.hi;
    words[at + 2] = request.lo & PAGE_MASK;
    words[at + 3] = request.outHi;
    words[at + 4] = request.outLo & PAGE_MASK;
    words[at + 5] = request.granted;
    words[at + 6] = request.pageShift;
    if (request.pageShift > 12) this.#hasLarge = true;
  }

  /** Forgets 2^order pages, naturally aligned. */
  forgetPages(hi: number, lo: number, order: number): void {
    if (this.#hasLarge || order > LARGEST_PROBED_ORDER) {
      this.forgetAll();
      return;
    }
    for (let page = 0; page < 1 << order; page += 1) {
      const pageLo = (lo & PAGE_MASK) + page * 4096;
      const at = this.#slot(hi, pageLo);
      if (this.#words[at + 1] === hi && this.#words[at + 2] === pageLo) this.#words[at] = 0;
    }
  }

  forgetAll(): void {
    this.#hasLarge = false;
    this.#generation += 1;
    if (this.#generation < LAST_GENERATION) return;
    this.#words.fill(0);
    this.#generation = 1;
  }

  #slot(hi: number, lo: number): number {
    return (((lo >>> 12) ^ Math.imul(hi, 0x9e37_79b1)) & this.#mask) * STRIDE;
  }
}
