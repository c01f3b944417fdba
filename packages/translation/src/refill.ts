import { Access } from "@viommu/plugin";
import type { DmaRequest, GuestMemory } from "@viommu/plugin";
import { isInterruptAddress } from "./interrupt-range.ts";
import type { Iotlb } from "./iotlb.ts";
import { CachedTable } from "./paging-structure-cache.ts";
import type { PagingStructureCache } from "./paging-structure-cache.ts";

// constants of this module are known to the compiler, imported ones are loaded each time
const TABLE_HI: number = CachedTable.TABLE_HI;
const TABLE_LO: number = CachedTable.TABLE_LO;
const SET: number = CachedTable.SET;
const CLEAR: number = CachedTable.CLEAR;
const CLEAR_HIGH: number = CachedTable.CLEAR_HIGH;
const UNDER: number = CachedTable.UNDER;

const RIGHTS = Access.READ | Access.WRITE;
const WRITE = Access.WRITE;
const SNOOP: number = Access.SNOOP;
/** From SNP of a second-stage entry to `Access.SNOOP`. */
const SNP_TO_SNOOP = 7;
/** D of first-stage and of second-stage entries. */
const DIRTY = (1 << 6) | (1 << 9);
const PAGE = 0x3fff_f000;
const TAG = -1 << 15;

/**
 * The usual miss: the table with the entry of the page is known, and the entry is in order. One entry
 * of each stage is read; no context, space or walker is looked for, as the paging-structure cache goes
 * by tags and knows what entries of each kind look like. What isn't usual, faults above all, is left
 * to a walk.
 */
export class Refill {
  private readonly memory: GuestMemory;
  private readonly cache: PagingStructureCache;
  private readonly iotlb: Iotlb;

  constructor(memory: GuestMemory, cache: PagingStructureCache, iotlb: Iotlb) {
    this.memory = memory;
    this.cache = cache;
    this.iotlb = iotlb;
  }

  /**
   * Answers a request if it is a usual one. False: nothing is done.
   * @param tag of the space that it goes to; 0: none is known, nothing is cached of it
   * @param need the rights it needs; 0 when any right will do
   * @param keep the answer is cached
   */
  answer(request: DmaRequest, tag: number, need: number, keep: boolean): boolean {
    const { cache, iotlb } = this;
    const words = cache.words;
    const chunks = this.memory.chunks;
    const hi = request.hi | 0;
    const lo = request.lo | 0;
    let outHi = hi;
    let outLo = lo;
    let pageShift = 21;
    let rights = RIGHTS;
    let snoop = 0;
    let stage = tag;
    do {
      let shift = 12;
      let slot = cache.find(stage, outHi, outLo);
      if (slot < 0) {
        shift = 21;
        slot = cache.findDirectory(stage, outHi);
        if (slot < 0) return false;
      } else pageShift = 12;
      const table = words[slot | TABLE_LO]!;
      const chunk = chunks[words[slot | TABLE_HI]!];
      const word = ((table & PAGE) >>> 2) | ((outLo >>> (shift - 1)) & 0x3fe);
      if (chunk === undefined || (word | 1) >= chunk.length) return false;
      const low = chunk[word]!;
      const high = chunk[word | 1]!;
      const under = words[slot | UNDER]!;
      rights &= low & table;
      if ((under & DIRTY & ~low) !== 0) rights &= ~WRITE;
      const wrong =
        (need & ~rights) |
        (words[slot | SET]! & ~low) |
        (words[slot | CLEAR]! & low) |
        (words[slot | CLEAR_HIGH]! & high) |
        (chunk[word]! ^ low); // another thread has changed it
      if (wrong !== 0) return false;
      const offset = (1 << shift) - 1;
      outHi = ((high & 0xf_ffff) << 2) | (low >>> 30);
      outLo = (low & PAGE & ~offset) | (outLo & offset);
      snoop |= ((low & under) >>> SNP_TO_SNOOP) | under;
      stage = under & TAG;
    } while (stage !== 0);
    if (rights === 0 || hi >>> 26 !== 0) return false;
    if (outHi === 3 && isInterruptAddress(3, pageShift === 12 ? outLo : outLo & -(1 << 21))) {
      return false;
    }
    const granted = rights | (snoop & SNOOP);
    request.outHi = outHi;
    request.outLo = outLo;
    request.pageShift = pageShift;
    request.granted = granted;
    if (!keep) return true;
    if (pageShift === 12) iotlb.fillPage(tag, hi, lo, outHi, outLo, granted);
    else iotlb.fillLarge(tag, hi, lo, outHi, outLo, pageShift, granted);
    return true;
  }
}
