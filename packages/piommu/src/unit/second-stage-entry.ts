import { MapFlag } from "@viommu/plugin";
import { bits, SS_PAGE_2M, SS_PAGE_4K } from "@viommu/vtd-spec";

/** Bits of the low word (VT-d 9.8); R and W are those of MapFlag. */
const R = 1 << bits(SS_PAGE_4K, "R").shift;
const W = 1 << bits(SS_PAGE_4K, "W").shift;
const PS = 1 << bits(SS_PAGE_2M, "PS").shift;
const A = 1 << bits(SS_PAGE_4K, "A").shift;
const SNP = 1 << bits(SS_PAGE_4K, "SNP").shift;

/** Set by the unit when a page was written. */
export const DIRTY: number = 1 << bits(SS_PAGE_4K, "D").shift;

const RIGHTS = R | W;
const MARKS = A | DIRTY;
/** What all pieces of a page have of it. */
const INHERITED = RIGHTS | SNP | MARKS;
const FRAMES_PER_4GIB = 2 ** 20;

/** Entries of a table, and tables of the next level behind it. */
export const ENTRIES = 512;

const PAGES: readonly number[] = [0, 1, 2 ** 9, 2 ** 18, 2 ** 27, 2 ** 36, 2 ** 45];

/** Pages of 4 KiB that an entry of a level covers. */
export function pagesOf(level: number): number {
  return PAGES[level]!;
}

/** Number of the entry for a page in its table of a level. */
export function indexOf(dfn: number, level: number): number {
  return Math.floor(dfn / pagesOf(level)) % ENTRIES;
}

export function isPresent(low: number): boolean {
  return (low & RIGHTS) !== 0;
}

/** Whether an entry leads to a table of the level below. */
export function isTable(low: number, level: number): boolean {
  return level > 1 && (low & (RIGHTS | PS)) !== 0 && (low & PS) === 0;
}

/** Bits 31:0 of an entry that maps a page. */
export function pageLow(mfn: number, level: number, flags: number): number {
  const snoops = (flags & MapFlag.SNOOP) !== 0 ? SNP : 0;
  return ((mfn % FRAMES_PER_4GIB) << 12) | (flags & RIGHTS) | snoops | (level > 1 ? PS : 0);
}

/** Bits 31:0 of the entry for a piece of a larger page: it has the rights and marks of the whole. */
export function pieceLow(mfn: number, level: number, wholeLow: number): number {
  const inherited = wholeLow & INHERITED;
  return ((mfn % FRAMES_PER_4GIB) << 12) | inherited | (level > 1 ? PS : 0);
}

/**
 * What stays of an entry that gets new contents: its marks, where it still maps the same frame. So
 * a change of rights makes no page clean.
 */
export function keptMarks(
  oldLow: number,
  oldHigh: number,
  low: number,
  high: number,
  level: number,
): number {
  const bothPages = isPage(oldLow, level) && isPage(low, level);
  return bothPages && frameOf(oldLow, oldHigh) === frameOf(low, high) ? oldLow & MARKS : 0;
}

function isPage(low: number, level: number): boolean {
  return isPresent(low) && !isTable(low, level);
}

/** Bits 31:0 of an entry that leads to a table. */
export function tableLow(frame: number): number {
  return ((frame % FRAMES_PER_4GIB) << 12) | RIGHTS;
}

/** Bits 63:32 of an entry. */
export function entryHigh(frame: number): number {
  return Math.floor(frame / FRAMES_PER_4GIB);
}

/** The frame that an entry leads to. */
export function frameOf(low: number, high: number): number {
  return (high & 0xf_ffff) * FRAMES_PER_4GIB + (low >>> 12);
}

/** MapFlag of an entry that maps a page. */
export function flagsOf(low: number): number {
  return (low & RIGHTS) | ((low & SNP) !== 0 ? MapFlag.SNOOP : 0);
}
