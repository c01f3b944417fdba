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

  constructor(options: SecondStageOptions) {
    this.memory = options.memory;
    this.shared = options.memory.shared;
    this.reader = new TableReader(options.memory);
    this.cache = options.cache;
    this.masks = options.masks;
    this.reservedHigh = options.masks.high;
    this.reservedUpper = options.masks.upper;
    this.reservedTable = options.masks.table;
    this.reasons = options.reasons;
  }

  walk(space: Space, hi: number, lo: number, need: number, walk: Walk): number {
    hi |= 0;
    lo |= 0;
    if (hi >>> space.inputShift !== 0) return this.reasons.width;
    let level = space.levels;
    let tableHi = space.rootHi;
    let tableLo = space.rootLo;
    let granted = RIGHTS;
    if (!walk.full) {
      const slot = this.cache.find(space, hi, lo);
      if (slot >= 0) {
        const words = this.cache.words;
        level = 1;
        tableHi = words[slot | 2]!;
        tableLo = words[slot | 3]! & PAGE;
        granted = words[slot | 3]! & RIGHTS;
      }
    }
    const first = level;
    const chunks = this.memory.chunks;
    let chunk = chunks[tableHi];
    let reason: number;
    for (;;) {
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
          reason = level === space.levels ? this.reasons.rootAccess : this.reasons.entryAccess;
          break;
        }
        low = this.reader.words[0]!;
        high = this.reader.words[1]!;
      }
      // VT-d 7.1.3: permissions first, reserved bits only where one of R and W is set
      granted &= low;
      if (granted === 0 || (need & ~granted) !== 0) {
        reason = this.denied(need, granted);
        break;
      }
      if ((high & this.reservedHigh) !== 0) {
        reason = this.reasons.reserved;
        break;
      }
      const nextHi = ((high & 0xf_ffff) << 2) | (low >>> 30);
      if (level === 1 || ((low & PS) !== 0 && level < 4)) {
        reason = this.leaf(level, nextHi, low, lo, granted, walk);
        break;
      }
      if ((low & (level > 3 ? this.reservedUpper : this.reservedTable)) !== 0) {
        reason = this.reasons.reserved;
        break;
      }
      if (nextHi !== tableHi) {
        tableHi = nextHi;
        chunk = chunks[nextHi];
      }
      tableLo = low & PAGE;
      level -= 1;
      if (level === 1 && walk.effects) this.cache.fill(space, hi, lo, tableHi, tableLo, granted);
    }
    // a fault is what the tables say now: never what was cached
    return reason !== 0 && first === 1 ? this.walkFully(space, hi, lo, need, walk) : reason;
  }

  private walkFully(space: Space, hi: number, lo: number, need: number, walk: Walk): number {
    walk.full = true;
    const reason = this.walk(space, hi, lo, need, walk);
    walk.full = false;
    return reason;
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
