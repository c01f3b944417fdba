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
      if (slot >= 0) {
        const tableHi = this.cache.words[slot | 2]!;
        const table = this.cache.words[slot | 3]!;
        // a fault is what the tables say now, never what was cached: it needs a full walk
        if (this.page(tableHi, table & PAGE, lo, need, table & RIGHTS, walk) === 0) return 0;
      }
    }
    return this.fromTop(space, hi, lo, need, walk);
  }

  /** Walks the levels above the last. */
  private fromTop(space: Space, hi: number, lo: number, need: number, walk: Walk): number {
    const chunks = this.memory.chunks;
    const shared = this.shared;
    const reservedHigh = this.reservedHigh;
    let tableHi = space.rootHi | 0;
    let tableLo = space.rootLo | 0;
    let granted = RIGHTS;
    let chunk = chunks[tableHi];
    for (let level = space.levels | 0; level > 1; level -= 1) {
      const index = level > 2 ? hi >>> (9 * level - 27) : lo >>> 21;
      const word = (tableLo >>> 2) | ((index & 0x1ff) << 1);
      let low: number;
      let high: number;
      if (chunk === undefined || (word | 1) >= chunk.length || shared) {
        if (!this.reader.readEntry(tableHi, word)) {
          return level === space.levels ? this.reasons.rootAccess : this.reasons.entryAccess;
        }
        low = this.reader.words[0]!;
        high = this.reader.words[1]!;
      } else {
        low = chunk[word]!;
        high = chunk[word | 1]!;
      }
      // VT-d 7.1.3: permissions first, reserved bits only where one of R and W is set
      granted &= low;
      if (granted === 0 || (need & ~granted) !== 0) return this.denied(need, granted);
      if ((low & PS) !== 0 && level < 4) return this.largePage(level, low, high, lo, granted, walk);
      const reserved = level > 3 ? this.reservedUpper : this.reservedTable;
      if (((low & reserved) | (high & reservedHigh)) !== 0) return this.reasons.reserved;
      const nextHi = ((high & 0xf_ffff) << 2) | (low >>> 30);
      tableLo = low & PAGE;
      if (nextHi !== tableHi) {
        tableHi = nextHi;
        chunk = chunks[nextHi];
      }
    }
    if (walk.effects) this.cache.fill(space, hi, lo, tableHi, tableLo, granted);
    return this.page(tableHi, tableLo, lo, need, granted, walk);
  }

  /** Ends a walk in a table of the last level. */
  private page(
    tableHi: number,
    tableLo: number,
    lo: number,
    need: number,
    granted: number,
    walk: Walk,
  ): number {
    const chunk = this.memory.chunks[tableHi];
    const word = (tableLo >>> 2) | ((lo >>> 11) & 0x3fe);
    let low: number;
    let high: number;
    if (chunk === undefined || (word | 1) >= chunk.length || this.shared) {
      if (!this.reader.readEntry(tableHi, word)) return this.reasons.entryAccess;
      low = this.reader.words[0]!;
      high = this.reader.words[1]!;
    } else {
      low = chunk[word]!;
      high = chunk[word | 1]!;
    }
    granted &= low;
    if (granted === 0 || (need & ~granted) !== 0) return this.denied(need, granted);
    if (((low & this.reservedPage) | (high & this.reservedHigh)) !== 0) {
      return this.reasons.reserved;
    }
    return this.found(12, low, high, lo, granted, walk);
  }

  /** Ends a walk at an entry of level 2 or 3 with PS set. */
  private largePage(
    level: number,
    low: number,
    high: number,
    lo: number,
    granted: number,
    walk: Walk,
  ): number {
    const reserved = level === 2 ? this.masks.page2M : this.masks.page1G;
    if (((low & reserved) | (high & this.reservedHigh)) !== 0) return this.reasons.reserved;
    return this.found(level === 2 ? 21 : 30, low, high, lo, granted, walk);
  }

  /** The entry maps a page that may be used. */
  private found(
    pageShift: number,
    low: number,
    high: number,
    lo: number,
    granted: number,
    walk: Walk,
  ): number {
    const offset = (1 << pageShift) - 1;
    const outHi = ((high & 0xf_ffff) << 2) | (low >>> 30);
    const outLo = (low & PAGE & ~offset) | (lo & offset);
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
