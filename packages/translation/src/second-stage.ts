import { Access } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import { setEntryFlags } from "./entry-flags.ts";
import { isInterruptAddress } from "./interrupt-range.ts";
import type { PagingStructureCache } from "./paging-structure-cache.ts";
import type { PagingMasks } from "./reserved-masks.ts";
import { TableReader } from "./table-reader.ts";
import { RETRY, TRIES } from "./walk.ts";
import type { Space, Walk, Walker } from "./walk.ts";

/** Bits of the low word of an entry (VT-d 9.8). */
const PS = 1 << 7;
const A = 1 << 8;
const D = 1 << 9;
const SNP = 1 << 11;
/** Place of IR and IW in the high word: as R and W in the low one. */
const IO_PERMISSIONS = 29;

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
  /** Neither right is left; 0 where that has no reason of its own. */
  readonly noPermission: number;
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
  noPermission: 0,
  reserved: FaultReason.SS_RESERVED,
  writeDenied: FaultReason.WRITE_DENIED,
  readDenied: FaultReason.READ_DENIED,
  interruptRange: FaultReason.OUTPUT_IN_INTERRUPT_RANGE,
};

/** Scalable mode: SSS.*, SGN.5 to SGN.8 (VT-d 7.1.3). */
export const SCALABLE_SECOND_STAGE: SecondStageReasons = {
  width: FaultReason.SM_SS_WIDTH,
  rootAccess: FaultReason.SM_SS_ROOT_ACCESS,
  entryAccess: FaultReason.SM_SS_ENTRY_ACCESS,
  noPermission: FaultReason.SM_SS_NO_PERMISSION,
  reserved: FaultReason.SM_SS_RESERVED,
  writeDenied: FaultReason.SM_WRITE_DENIED,
  readDenied: FaultReason.SM_READ_DENIED,
  interruptRange: FaultReason.SM_OUTPUT_IN_INTERRUPT_RANGE,
};

/** How a second stage is walked. */
export interface SecondStageKind {
  /** Permissions are IR and IW instead of R and W (RTADDR.SSIRWE). */
  readonly ioPermissions: boolean;
  /** A and D are set (SSADE of the PASID table entry). */
  readonly setsFlags: boolean;
  /** Walks snoop the processor caches, so that flags can be set (PWSNP). */
  readonly walkSnoops: boolean;
  /** `Access.SNOOP` if all requests snoop (PGSNP), else 0. */
  readonly snoop: number;
}

/** Legacy mode. */
export const LEGACY_KIND: SecondStageKind = {
  ioPermissions: false,
  setsFlags: false,
  walkSnoops: false,
  snoop: 0,
};

/** What a second-stage walker works with. */
export interface SecondStageOptions {
  readonly memory: GuestMemory;
  readonly cache: PagingStructureCache;
  readonly masks: PagingMasks;
  readonly reasons: SecondStageReasons;
  readonly kind: SecondStageKind;
}

/** Second-stage translation (VT-d 3.7): three to five levels, pages of 4 KiB, 2 MiB and 1 GiB. */
export class SecondStageWalker implements Walker {
  private readonly memory: GuestMemory;
  private readonly shared: boolean;
  private readonly reader: TableReader;
  private readonly cache: PagingStructureCache;
  private readonly masks: PagingMasks;
  private readonly reasons: SecondStageReasons;
  private readonly ioPermissions: boolean;
  private readonly setsFlags: boolean;
  private readonly walkSnoops: boolean;
  private readonly snoop: number;
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
    this.ioPermissions = options.kind.ioPermissions;
    this.setsFlags = options.kind.setsFlags;
    this.walkSnoops = options.kind.walkSnoops;
    this.snoop = options.kind.snoop;
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
    const reason = this.fromTop(space, hi, lo, need, walk);
    return reason === RETRY ? this.again(space, hi, lo, need, walk) : reason;
  }

  /** An entry changed while a flag was being set in it. */
  private again(space: Space, hi: number, lo: number, need: number, walk: Walk): number {
    for (let tries = 1; tries < TRIES; tries += 1) {
      const reason = this.fromTop(space, hi, lo, need, walk);
      if (reason !== RETRY) return reason;
    }
    return FaultReason.SM_SS_FLAGS_UPDATE;
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
      granted &= this.ioPermissions ? high >>> IO_PERMISSIONS : low;
      if (granted === 0 || (need & ~granted) !== 0) return this.denied(need, granted);
      if ((low & PS) !== 0 && level < 4) {
        const page = level === 2 ? this.masks.page2M : this.masks.page1G;
        if (((low & page) | (high & reservedHigh)) !== 0) return this.reasons.reserved;
        const pageShift = level === 2 ? 21 : 30;
        return this.setsFlags
          ? this.foundWithFlags(pageShift, tableHi, word, low, high, lo, need, granted, walk)
          : this.found(pageShift, low, high, lo, granted, walk);
      }
      const reserved = level > 3 ? this.reservedUpper : this.reservedTable;
      if (((low & reserved) | (high & reservedHigh)) !== 0) return this.reasons.reserved;
      if (this.setsFlags) {
        const reason = this.setFlags(tableHi, word, low, A, walk);
        if (reason !== 0) return reason;
      }
      const nextHi = ((high & 0xf_ffff) << 2) | (low >>> 30);
      tableLo = low & PAGE;
      if (nextHi !== tableHi) {
        tableHi = nextHi;
        chunk = chunks[nextHi];
      }
    }
    if (walk.effects && space.tag !== 0) this.cache.fill(space, hi, lo, tableHi, tableLo, granted);
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
    granted &= this.ioPermissions ? high >>> IO_PERMISSIONS : low;
    if (granted === 0 || (need & ~granted) !== 0) return this.denied(need, granted);
    if (((low & this.reservedPage) | (high & this.reservedHigh)) !== 0) {
      return this.reasons.reserved;
    }
    return this.setsFlags
      ? this.foundWithFlags(12, tableHi, word, low, high, lo, need, granted, walk)
      : this.found(12, low, high, lo, granted, walk);
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
    walk.secondLeaf = low;
    walk.granted = granted | this.snoop | ((low & SNP) !== 0 ? SNOOP : 0);
    return 0;
  }

  /**
   * The same where A and D are set (VT-d 3.7.2). D is set for a write only, so what a read finds
   * grants no write while D is 0: the first write comes here again.
   */
  private foundWithFlags(
    pageShift: number,
    tableHi: number,
    word: number,
    low: number,
    high: number,
    lo: number,
    need: number,
    granted: number,
    walk: Walk,
  ): number {
    const isWritten = ((walk.writes ? granted : need) & WRITE) !== 0;
    const flags = isWritten ? A | D : A;
    if (!this.walkSnoops && (flags & ~low) !== 0) return FaultReason.SM_SS_FLAGS_NOT_SNOOPED;
    const held = isWritten || (low & D) !== 0 ? granted : granted & ~WRITE;
    const reason = this.found(pageShift, low, high, lo, held, walk);
    return reason !== 0 ? reason : this.setFlags(tableHi, word, low, flags, walk);
  }

  /** Sets flags in an entry. */
  private setFlags(hi: number, word: number, low: number, flags: number, walk: Walk): number {
    if ((flags & ~low) === 0) return 0;
    if (!this.walkSnoops) return FaultReason.SM_SS_FLAGS_NOT_SNOOPED;
    const failed = FaultReason.SM_SS_FLAGS_UPDATE;
    return setEntryFlags(this.memory, hi, word, low, flags, failed, walk);
  }

  private denied(need: number, granted: number): number {
    if (granted === 0 && this.reasons.noPermission !== 0) return this.reasons.noPermission;
    const missing = need & ~granted;
    return (missing & WRITE) !== 0 ? this.reasons.writeDenied : this.reasons.readDenied;
  }
}
