import { Access } from "@viommu/plugin";

/** log2 of the bytes of a cached page. An answer for another size is cached as the next smaller one. */
const SHIFTS = [12, 21, 30] as const;

// words of an entry
const OWNER = 0;
const HI = 1;
const LO = 2;
/** Granted rights and log2 of the size; 0 in an empty entry. */
const STATE = 3;
const OUT_HI = 4;
const OUT_LO = 5;
const WORDS = 8;

const SHIFT_BIT = 8;
const RIGHTS = Access.READ | Access.WRITE;
/** From this order on a range of 4 KiB pages covers every address (57 bits). */
const EVERYTHING = 45;

/** What a translation completion says, or the cache in its place. */
export interface Translation {
  readonly outHi: number;
  readonly outLo: number;
  readonly pageShift: number;
  readonly granted: number;
}

/** Whose a translation is: its PASID (NO_PASID is -1), and whether the request was privileged. */
export function ownerOf(pasid: number, access: number): number {
  return ((pasid + 1) << 1) | ((access & Access.PRIVILEGED) === 0 ? 0 : 1);
}

/** The entries of an address translation cache: direct-mapped, a bounded number of them. */
export class CachedTranslations implements Translation {
  // the answer of `find`
  outHi = 0;
  outLo = 0;
  pageShift = 12;
  granted = 0;
  readonly #words: Int32Array;
  readonly #mask: number;

  /** `entries` is a power of two. */
  constructor(entries: number) {
    this.#words = new Int32Array(entries * WORDS);
    this.#mask = entries - 1;
  }

  /**
   * Looks an address up; the answer is in the fields. `owner` is made by {@link ownerOf}. A
   * zero-length read (`need` 0) needs any right.
   */
  find(owner: number, hi: number, lo: number, need: number): boolean {
    const words = this.#words;
    for (const shift of SHIFTS) {
      const page = lo & -(1 << shift) & 0x3fff_ffff;
      const slot = this.#slot(owner, hi, page, shift);
      const state = words[slot | STATE]!;
      const granted = state & 0xff;
      if (
        state >>> SHIFT_BIT === shift &&
        words[slot | OWNER] === owner &&
        words[slot | HI] === hi &&
        words[slot | LO] === page &&
        (granted & RIGHTS) !== 0 &&
        (need & ~granted) === 0
      ) {
        this.outHi = words[slot | OUT_HI]!;
        this.outLo = words[slot | OUT_LO]! | (lo - page);
        this.pageShift = shift;
        this.granted = granted;
        return true;
      }
    }
    return false;
  }

  /** Caches what a translation completion said: the output address of exactly `hi:lo`. */
  fill(owner: number, hi: number, lo: number, answer: Translation): void {
    const shift = answer.pageShift >= 30 ? 30 : answer.pageShift >= 21 ? 21 : 12;
    const mask = -(1 << shift) & 0x3fff_ffff;
    const slot = this.#slot(owner, hi, lo & mask, shift);
    const words = this.#words;
    words[slot | OWNER] = owner;
    words[slot | HI] = hi;
    words[slot | LO] = lo & mask;
    words[slot | STATE] = (shift << SHIFT_BIT) | (answer.granted & 0xff);
    words[slot | OUT_HI] = answer.outHi;
    words[slot | OUT_LO] = answer.outLo & mask;
  }

  /** Drops what overlaps 2^order pages of 4 KiB, of one PASID (NO_PASID: of requests without), or all. */
  drop(pasid: number | "all", hi: number, lo: number, order: number): void {
    const words = this.#words;
    for (let slot = 0; slot < words.length; slot += WORDS) {
      const state = words[slot | STATE]!;
      if (state === 0 || (pasid !== "all" && words[slot | OWNER]! >>> 1 !== pasid + 1)) continue;
      const bits = Math.max(12 + order, state >>> SHIFT_BIT);
      if (order >= EVERYTHING || isSame(words[slot | HI]!, words[slot | LO]!, hi, lo, bits)) {
        words[slot | STATE] = 0;
      }
    }
  }

  /** Drops everything. */
  clear(): void {
    this.#words.fill(0);
  }

  #slot(owner: number, hi: number, page: number, shift: number): number {
    const spread = Math.imul((hi << 5) ^ (page >>> 25) ^ (owner << 12), 0x9e37_79b1) >>> 12;
    return (((page >>> shift) ^ spread) & this.#mask) * WORDS;
  }
}

/** Whether two addresses agree from bit `bits` (12 to 57) up. */
function isSame(hi: number, lo: number, otherHi: number, otherLo: number, bits: number): boolean {
  if (bits >= 30) return hi >> (bits - 30) === otherHi >> (bits - 30);
  return hi === otherHi && lo >>> bits === otherLo >>> bits;
}
