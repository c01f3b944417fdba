/** What walkers and caches see of an address space. */
export interface Space {
  /** Names the space in the caches: bits 31:15. Replaced to invalidate all of it at once. */
  readonly tag: number;
  /** Input addresses with `hi >>> inputShift` other than 0 are beyond the width. */
  readonly inputShift: number;
  /** Top table and number of levels; 0 where the walker uses none. */
  readonly rootHi: number;
  readonly rootLo: number;
  readonly levels: number;
  /** The second stage below a first one (VT-d 3.8), else null. */
  readonly under: Space | null;
}

/**
 * One walk: how it shall be done, and what it found. An engine has one and uses it for every
 * request; nothing is allocated.
 */
export class Walk {
  /** False for a probe: nothing is cached, no flag is set in memory, nothing is counted. */
  effects = true;
  /** True: from the top, without the paging-structure cache. */
  full = false;
  /**
   * A translation request: the device may write wherever it gets the right to, so that such pages
   * count as written (VT-d 4.2.3).
   */
  writes = false;
  /** Found: the output address of exactly the input address. */
  outHi = 0;
  outLo = 0;
  /** Found: the answer holds for the naturally aligned range of 2^pageShift bytes. */
  pageShift = 12;
  /** Found: bits of `Access`. */
  granted = 0;
  // found, for memory types: low words of the entries that map the page, and size of the first one
  firstLeaf = 0;
  firstShift = 12;
  secondLeaf = 0;
}

/** In place of a reason, inside of walkers: an entry changed while it was used. */
export const RETRY = -1;
/** How often such a walk is done. */
export const TRIES = 4;

/** Translates the addresses of one kind of address space. */
export interface Walker {
  /**
   * Walks for an address and the rights it needs (bits of `Access`; 0 when any right will do).
   * Returns 0 with the result in `walk`, or the fault reason.
   */
  walk(space: Space, hi: number, lo: number, need: number, walk: Walk): number;
}
