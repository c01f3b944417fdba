import { isInterruptAddress } from "./interrupt-range.ts";
import type { Space } from "./walk.ts";

/** Words of an entry, from its first one; an entry has eight. */
export const CachedTable = {
  REGION: 0,
  KEY: 1,
  TABLE_HI: 2,
  TABLE_LO: 3,
  SET: 4,
  CLEAR: 5,
  CLEAR_HIGH: 6,
  UNDER: 7,
} as const;

const { KEY, TABLE_HI, TABLE_LO, SET, CLEAR, CLEAR_HIGH, UNDER } = CachedTable;

/** In the key: a level-2 table. */
const DIRECTORY = 1 << 4;
/** Keeps the level-2 table of 1 GiB apart from its 512 last-level tables. */
const DIRECTORY_PLACE = 1 << 9;

/** What an entry that maps a page looks like when nothing is wrong with it and nothing to be set. */
export interface UsualEntry {
  /** Bits of the low word that are 1. */
  readonly set: number;
  /** Bits of the low and of the high word that are 0. */
  readonly clear: number;
  readonly clearHigh: number;
  /** `Access.SNOOP` if all requests snoop; besides, SNP if this bit of an entry says so. */
  readonly snoop: number;
  /** D if the first write sets it: no write is granted while it is 0. */
  readonly dirty: number;
}

/** No entry looks like this: each takes a walk. */
export const NO_ENTRY: UsualEntry = { set: -1, clear: -1, clearHigh: -1, snoop: 0, dirty: 0 };

/**
 * The paging-structure cache (VT-d 6.2.5): where the last-level table for a 2 MiB region lies, or the
 * level-2 table for a GiB with 2 MiB pages; the rights that the levels above leave; and how to tell
 * that an entry of the table is nothing particular.
 *
 * It is only ever a short cut to a success: a walk that fails from here is done again from the top.
 */
export class PagingStructureCache {
  /**
   * Entries as in the IOTLB: bits of the address from 25 up; tag and bits 24:21; `hi` of the table;
   * its `lo` (29:12) and the rights (11:0); then a {@link UsualEntry}, its last two beside the tag of
   * the second stage that lies under the table (31:15), or 0.
   */
  readonly words: Int32Array;
  readonly mask: number;
  /** Protected memory: no answer is usual. */
  guarded = false;

  /** @param slots number of entries, a power of two from 1024 */
  constructor(slots: number) {
    this.words = new Int32Array(slots << 3);
    this.mask = slots - 1;
  }

  /** First word of the entry of the last-level table for an address, or -1. */
  find(tag: number, hi: number, lo: number): number {
    const slot = this.slot(tag, hi, lo >>> 21);
    const words = this.words;
    if (words[slot] !== ((hi << 5) | (lo >>> 25))) return -1;
    return words[slot | KEY] === (tag | ((lo >>> 21) & 0xf)) && tag !== 0 ? slot : -1;
  }

  /** The same for the level-2 table. */
  findDirectory(tag: number, hi: number): number {
    const slot = this.slot(tag, hi, DIRECTORY_PLACE);
    const words = this.words;
    return words[slot] === hi << 5 && words[slot | KEY] === (tag | DIRECTORY) ? slot : -1;
  }

  /** Caches where the last-level table for an address lies, and the rights left by the levels above. */
  fill(
    space: Space,
    hi: number,
    lo: number,
    tableHi: number,
    tableLo: number,
    rights: number,
    usual: UsualEntry,
  ): void {
    const words = this.words;
    const slot = this.slot(space.tag, hi, lo >>> 21);
    words[slot] = (hi << 5) | (lo >>> 25);
    words[slot | KEY] = space.tag | ((lo >>> 21) & 0xf);
    words[slot | TABLE_HI] = tableHi;
    words[slot | TABLE_LO] = tableLo | rights;
    this.describe(slot, space, isInterruptAddress(hi, lo & -(1 << 21)) ? NO_ENTRY : usual);
  }

  /** The same for a level-2 table. */
  fillDirectory(
    space: Space,
    hi: number,
    tableHi: number,
    tableLo: number,
    rights: number,
    usual: UsualEntry,
  ): void {
    const words = this.words;
    const slot = this.slot(space.tag, hi, DIRECTORY_PLACE);
    words[slot] = hi << 5;
    words[slot | KEY] = space.tag | DIRECTORY;
    words[slot | TABLE_HI] = tableHi;
    words[slot | TABLE_LO] = tableLo | rights;
    this.describe(slot, space, hi === 3 ? NO_ENTRY : usual); // FEEx_xxxxh has a `hi` of 3
  }

  /** Drops the entries of the tables for an address. */
  drop(tag: number, hi: number, lo: number): void {
    const slot = this.find(tag, hi, lo);
    if (slot >= 0) this.words[slot | KEY] = 0;
    const directory = this.findDirectory(tag, hi);
    if (directory >= 0) this.words[directory | KEY] = 0;
  }

  /** Drops everything; needed only when tags are used again. */
  clear(): void {
    this.words.fill(0);
  }

  private describe(slot: number, space: Space, usual: UsualEntry): void {
    const words = this.words;
    const { set, clear, clearHigh, snoop, dirty } = this.guarded ? NO_ENTRY : usual;
    words[slot | SET] = set;
    words[slot | CLEAR] = clear;
    words[slot | CLEAR_HIGH] = clearHigh;
    words[slot | UNDER] = (space.under === null ? 0 : space.under.tag) | snoop | dirty;
  }

  private slot(tag: number, hi: number, place: number): number {
    const spread = Math.imul((hi << 5) ^ (tag >>> 1), 0x9e37_79b1) >>> 12;
    return ((place ^ spread) & this.mask) << 3;
  }
}
