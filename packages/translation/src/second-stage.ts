import { Access } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import { isInterruptAddress } from "./interrupt-range.ts";
import type { PagingStructureCache } from "./paging-structure-cache.ts";
import type { PagingMasks } from "./reserved-masks.ts";
import { TableReader } from "./table-reader.ts";
import type { Space, Walk, Walker } from "./walk.ts";

/** Bits of the low word of an entry (VT-d 9.8). */
const PS = 1 << 7;
const SNP = 1 << 11;

// constants of this module are known to the compiler, imported ones are loaded each time
const PAGE = 0x3fff_f000;
const WRITE = Access.WRITE;
const RIGHTS = Access.READ | Access.WRITE;
const SNOOP = Access.SNOOP;

/** Fault reasons of a second-stage walk; they differ between legacy and scalable mode. */
export interface SecondStageReasons {
  /** The input address is beyond min(MGAW, AW). */
  readonly width: number;
  /** The entry that the context entry or PASID table entry points to can't be read. */
  readonly rootAccess: number;
  /** A lower entry can't be read. */
  readonly entryAccess: number;
  readonly reserved: number;
  readonly writeDenied: number;
  readonly readDenied: number;
  readonly interruptRange: number;
}

/** Legacy mode: LSS.*, LGN.*, LCT.4.3 (VT-d 7.1.3). */
export const LEGACY_SECOND_STAGE: SecondStageReasons = {
  width: FaultReason.ADDRESS_BEYOND_WIDTH,
  rootAccess: FaultReason.CONTEXT_INVALID,
  entryAccess: FaultReason.SS_ENTRY_ACCESS,
  reserved: FaultReason.SS_RESERVED,
  writeDenied: FaultReason.WRITE_DENIED,
  readDenied: FaultReason.READ_DENIED,
  interruptRange: FaultReason.OUTPUT_IN_INTERRUPT_RANGE,
};

/** What a second-stage walker works with. */
export interface SecondStageOptions {
  readonly memory: GuestMemory;
  readonly cache: PagingStructureCache;
  readonly masks: PagingMasks;
  readonly reasons: SecondStageReasons;
}

/** Second-stage translation (VT-d 3.7): three to five levels, pages of 4 KiB, 2 MiB and 1 GiB. */
export class SecondStageWalker implements Walker {
  private readonly memory: GuestMemory;
  private readonly shared: boolean;
  private readonly reader: TableReader;
  private readonly cache: PagingStructureCache;
  private readonly masks: PagingMasks;
  private readonly reasons: SecondStageReasons;
  private readonly reservedHigh: number;
  private readonly reservedUpper: number;
  private readonly reservedTable: number;
  private readonly reservedPage: number;

  constructor(options: SecondStageOptions) {
    this.memory = options.memory;
    this.shared = options.memory.shared;
    this.reader = new TableReader(options.memory);
    this.cache = options.cache;
    this.masks = options.masks;
    this.reservedHigh = options.masks.high;
    this.reservedUpper = options.masks.upper;
    this.reservedTable = options.masks.table;
    this.reservedPage = options.masks.page4K;
    this.reasons = options.reasons;
  }

  walk(space: Space, hi: number, lo: number, need: number, walk: Walk): number {
    hi |= 0;
    lo |= 0;
    if (hi >>> space.inputShift !== 0) return this.reasons.width;
    if (!walk.full) {
      const slot = this.cache.find(space, hi, lo);
      if (slot >= 0 && this.shortCut(slot, lo, need, walk)) return 0;
    }
    return this.walkFully(space, hi, lo, need, walk);
  }

  /**
   * Finishes a walk from a cached last-level table. False when the page can't be given just like
   * that: what stands against it is found by a full walk, so that a fault is never out of a cache.
   */
  private shortCut(slot: number, lo: number, need: number, walk: Walk): boolean {
    const table = this.cache.words[slot | 3]!;
    const chunk = this.memory.chunks[this.cache.words[slot | 2]!];
    const word = ((table & PAGE) >>> 2) | ((lo >>> 11) & 0x3fe);
    if (chunk === undefined || (word | 1) >= chunk.length) return false;
    const low = chunk[word]!;
    const high = chunk[word | 1]!;
    const granted = low & table & RIGHTS;
    if (granted === 0 || (need & ~granted) !== 0) return false;
    if (((low & this.reservedPage) | (high & this.reservedHigh)) !== 0) return false;
    if (this.shared && chunk[word] !== low) return false;
    const outHi = ((high & 0xf_ffff) << 2) | (low >>> 30);
    const outLo = (low & PAGE) | (lo & 0xfff);
    if (isInterruptAddress(outHi, outLo)) return false;
    walk.outHi = outHi;
    walk.outLo = outLo;
    walk.pageShift = 12;
    walk.granted = granted | ((low & SNP) !== 0 ? SNOOP : 0);
    return true;
  }

  private walkFully(space: Space, hi: number, lo: number, need: number, walk: Walk): number {
    let tableHi = space.rootHi;
    let tableLo = space.rootLo;
    let granted = RIGHTS;
    const chunks = this.memory.chunks;
    let chunk = chunks[tableHi];
    for (let level = space.levels; ; level -= 1) {
      const index = level > 2 ? hi >>> (9 * level - 27) : lo >>> (9 * level + 3);
      const word = (tableLo >>> 2) | ((index & 0x1ff) << 1);
      let low = 0;
      let high = 0;
      if (chunk !== undefined && (word | 1) < chunk.length) {
        low = chunk[word]!;
        high = chunk[word | 1]!;
      }
      if (
        chunk === undefined ||
        (word | 1) >= chunk.length ||
        (this.shared && chunk[word] !== low)
      ) {
        // no plain memory, or another processor writes the entry just now
        if (!this.reader.read(tableHi, word << 2, 2)) {
          return level === space.levels ? this.reasons.rootAccess : this.reasons.entryAccess;
        }
        low = this.reader.words[0]!;
        high = this.reader.words[1]!;
      }
      // VT-d 7.1.3: permissions first, reserved bits only where one of R and W is set
      granted &= low;
      if (granted === 0 || (need & ~granted) !== 0) return this.denied(need, granted);
      if ((high & this.reservedHigh) !== 0) return this.reasons.reserved;
      const nextHi = ((high & 0xf_ffff) << 2) | (low >>> 30);
      if (level === 1 || ((low & PS) !== 0 && level < 4)) {
        return this.leaf(level, nextHi, low, lo, granted, walk);
      }
      if ((low & (level > 3 ? this.reservedUpper : this.reservedTable)) !== 0) {
        return this.reasons.reserved;
      }
      if (nextHi !== tableHi) {
        tableHi = nextHi;
        chunk = chunks[nextHi];
      }
      tableLo = low & PAGE;
      if (level === 2 && walk.effects) this.cache.fill(space, hi, lo, tableHi, tableLo, granted);
    }
  }

  /** Ends a walk at an entry that maps a page. */
  private leaf(
    level: number,
    outHi: number,
    low: number,
    lo: number,
    granted: number,
    walk: Walk,
  ): number {
    const masks = this.masks;
    const reserved = level === 1 ? masks.page4K : level === 2 ? masks.page2M : masks.page1G;
    if ((low & reserved) !== 0) return this.reasons.reserved;
    const pageShift = 9 * level + 3;
    const offset = (1 << pageShift) - 1;
    const outLo = (low & 0x3fff_ffff & ~offset) | (lo & offset);
    if (isInterruptAddress(outHi, outLo)) return this.reasons.interruptRange;
    walk.outHi = outHi;
    walk.outLo = outLo;
    walk.pageShift = pageShift;
    walk.granted = granted | ((low & SNP) !== 0 ? SNOOP : 0);
    return 0;
  }

  private denied(need: number, granted: number): number {
    const missing = need & ~granted;
    return (missing & WRITE) !== 0 ? this.reasons.writeDenied : this.reasons.readDenied;
  }
}
