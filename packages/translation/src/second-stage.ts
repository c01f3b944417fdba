import { Access } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import { setEntryFlags } from "./entry-flags.ts";
import { isInterruptAddress } from "./interrupt-range.ts";
import { NO_ENTRY } from "./paging-structure-cache.ts";
import type { PagingStructureCache, UsualEntry } from "./paging-structure-cache.ts";
import type { PagingMasks } from "./reserved-masks.ts";
import { TableReader } from "./table-reader.ts";
import { RETRY, TRIES } from "./walk.ts";
import type { Space, Walk, Walker } from "./walk.ts";

/** Bits of the low word of an entry (VT-d 9.8). */
const PS = 1 << 7;
const A = 1 << 8;
const D = 1 << 9;
const SNP = 1 << 11;
/** From SNP to `Access.SNOOP`. */
const SNP_TO_SNOOP = 7;
/** Place of IR and IW in the high word: as R and W in the low one. */
const IO_PERMISSIONS = 29;

/**
 * How far an address is shifted right for the index into a table of level 3, and of the last level
 * (there `lo`, and 30 more); 9 less each level down.
 */
const LEVEL_3 = 0;
const LAST = -18;

// constants of this module are known to the compiler, imported ones are loaded each time
const PAGE = 0x3fff_f000;
const WRITE = Access.WRITE;
const RIGHTS = Access.READ | Access.WRITE;

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

/**
 * Second-stage translation (VT-d 3.7): three to five levels, pages of 4 KiB, 2 MiB and 1 GiB.
 *
 * `walk` is the short way, for entries in which nothing is wrong and nothing is to be set; it is
 * written for V8, as each miss takes it, nested ones many times. `walkExactly` does all that VT-d
 * says, in that order.
 */
export class SecondStageWalker implements Walker {
  private readonly memory: GuestMemory;
  private readonly reader: TableReader;
  private readonly cache: PagingStructureCache;
  private readonly masks: PagingMasks;
  private readonly reasons: SecondStageReasons;
  private readonly ioPermissions: boolean;
  private readonly setsFlags: boolean;
  private readonly walkSnoops: boolean;
  private readonly snoop: number;
  // for the short way: what must be 0, and what must be 1
  private readonly isPlain: boolean;
  private readonly reservedHigh: number;
  private readonly reservedTable: number;
  private readonly reservedPage: number;
  private readonly tableFlags: number;
  private readonly pageFlags: number;
  private readonly usualPage: UsualEntry;
  private readonly usualLarge: UsualEntry;

  constructor(options: SecondStageOptions) {
    const { ioPermissions, setsFlags, walkSnoops, snoop } = options.kind;
    this.memory = options.memory;
    this.reader = new TableReader(options.memory);
    this.cache = options.cache;
    this.masks = options.masks;
    this.reasons = options.reasons;
    this.ioPermissions = ioPermissions;
    this.setsFlags = setsFlags;
    this.walkSnoops = walkSnoops;
    this.snoop = snoop;
    this.isPlain = !ioPermissions && !options.memory.shared;
    this.reservedHigh = options.masks.high;
    this.reservedTable = options.masks.table;
    this.reservedPage = options.masks.page4K;
    this.tableFlags = setsFlags ? A : 0;
    this.pageFlags = setsFlags ? A | D : 0;
    const { page4K, page2M, high: clearHigh } = options.masks;
    const rule = {
      set: this.tableFlags,
      clear: page4K,
      clearHigh,
      snoop: snoop | SNP,
      dirty: setsFlags ? D : 0,
    };
    this.usualPage = ioPermissions ? NO_ENTRY : rule;
    this.usualLarge = ioPermissions
      ? NO_ENTRY
      : { ...rule, set: this.tableFlags | PS, clear: page2M };
  }

  walk(space: Space, hi: number, lo: number, need: number, walk: Walk): number {
    // V8 checks and converts an argument at each use, what it knows to be an integer never
    hi |= 0;
    lo |= 0;
    if (hi >>> space.inputShift !== 0) return this.reasons.width;
    const chunks = this.memory.chunks;
    let tableHi = space.rootHi | 0;
    let tableLo = space.rootLo | 0;
    let shift = (9 * space.levels - 27) | 0;
    // bits set in all entries, in the low or in the high word of any
    let all = RIGHTS | A;
    let any = 0;
    let anyHigh = 0;
    const slot = walk.full ? -1 : this.cache.find(space.tag, hi, lo);
    if (slot >= 0) {
      const words = this.cache.words;
      tableHi = words[slot | 2]!;
      tableLo = words[slot | 3]! & PAGE;
      all = (words[slot | 3]! & RIGHTS) | A;
      shift = LAST;
    }
    let low: number;
    let high: number;
    let chunk = this.isPlain ? chunks[tableHi] : undefined;
    for (;;) {
      const index = shift >= LEVEL_3 ? hi >>> shift : lo >>> (shift + 30);
      const word = (tableLo >>> 2) | ((index & 0x1ff) << 1);
      if (chunk === undefined || (word | 1) >= chunk.length) {
        return this.walkExactly(space, hi, lo, need, walk);
      }
      low = chunk[word]!;
      high = chunk[word | 1]!;
      if ((low & PS) !== 0 || shift === LAST) break;
      all &= low;
      if ((all & RIGHTS) === 0) return this.walkExactly(space, hi, lo, need, walk);
      any |= low;
      anyHigh |= high;
      tableLo = low & PAGE;
      const nextHi = ((high & 0xf_ffff) << 2) | (low >>> 30);
      if (nextHi !== tableHi) {
        tableHi = nextHi;
        chunk = chunks[nextHi];
      }
      shift = (shift - 9) | 0;
    }
    const granted = all & low & RIGHTS;
    const wrong =
      (need & ~granted) |
      (any & this.reservedTable) |
      ((anyHigh | high) & this.reservedHigh) |
      (low & (shift === LAST ? this.reservedPage : this.reservedLarge(shift))) |
      (this.tableFlags & ~all) |
      (this.pageFlags & ~low);
    const pageShift = shift + 30;
    const offset = (1 << pageShift) - 1;
    const outHi = ((high & 0xf_ffff) << 2) | (low >>> 30);
    const outLo = (low & PAGE & ~offset) | (lo & offset);
    if (wrong !== 0 || granted === 0 || isInterruptAddress(outHi, outLo)) {
      return this.walkExactly(space, hi, lo, need, walk);
    }
    if (shift === LAST && slot < 0 && walk.effects && space.tag !== 0) {
      this.cache.fill(space, hi, lo, tableHi, tableLo, all & RIGHTS, this.usualPage);
    } else if (pageShift === 21 && walk.effects && space.tag !== 0) {
      this.cache.fillDirectory(space, hi, tableHi, tableLo, all & RIGHTS, this.usualLarge);
    }
    walk.outHi = outHi;
    walk.outLo = outLo;
    walk.pageShift = pageShift;
    walk.secondLeaf = low;
    walk.granted = granted | this.snoop | ((low & SNP) >>> SNP_TO_SNOOP);
    return 0;
  }

  /** Reserved bits of an entry with PS; where that is none of a page, PS itself. */
  private reservedLarge(shift: number): number {
    return shift > LEVEL_3 ? PS : this.reservedOfPage(shift === LEVEL_3 ? 3 : 2);
  }

  /** The same with every check and effect, from the top. */
  private walkExactly(space: Space, hi: number, lo: number, need: number, walk: Walk): number {
    for (let tries = 0; tries < TRIES; tries += 1) {
      const reason = this.tryExactly(space, hi, lo, need, walk);
      if (reason !== RETRY) return reason;
    }
    // an entry changed each time, while a flag was being set in it
    return FaultReason.SM_SS_FLAGS_UPDATE;
  }

  private tryExactly(space: Space, hi: number, lo: number, need: number, walk: Walk): number {
    const { masks, reader, reasons } = this;
    let tableHi = space.rootHi;
    let tableLo = space.rootLo;
    let granted = RIGHTS;
    for (let level = space.levels; ; level -= 1) {
      const index = level > 2 ? hi >>> (9 * level - 27) : lo >>> (9 * level + 3);
      const word = (tableLo >>> 2) | ((index & 0x1ff) << 1);
      if (level === 1 && walk.effects && space.tag !== 0) {
        this.cache.fill(space, hi, lo, tableHi, tableLo, granted, this.usualPage);
      }
      if (!reader.readEntry(tableHi, word)) {
        return level === space.levels ? reasons.rootAccess : reasons.entryAccess;
      }
      const low = reader.words[0]!;
      const high = reader.words[1]!;
      // VT-d 7.1.3: permissions first, reserved bits only where one of R and W is set
      granted &= this.ioPermissions ? high >>> IO_PERMISSIONS : low;
      if (granted === 0 || (need & ~granted) !== 0) return this.denied(need, granted);
      const isPage = level === 1 || (level < 4 && (low & PS) !== 0);
      const reserved = isPage ? this.reservedOfPage(level) : level > 3 ? masks.upper : masks.table;
      if (((low & reserved) | (high & masks.high)) !== 0) return reasons.reserved;
      if (isPage) {
        return this.found(9 * level + 3, tableHi, word, lo, need, granted, walk);
      }
      if (this.setsFlags) {
        const reason = this.setFlags(tableHi, word, low, A, walk);
        if (reason !== 0) return reason;
      }
      tableHi = ((high & 0xf_ffff) << 2) | (low >>> 30);
      tableLo = low & PAGE;
    }
  }

  private reservedOfPage(level: number): number {
    const { page4K, page2M, page1G } = this.masks;
    return level === 1 ? page4K : level === 2 ? page2M : page1G;
  }

  /**
   * Ends an exact walk at the entry read last, which maps a page. D is set for a write only (VT-d
   * 3.7.2), so what a read finds grants no write while D is 0: the first write comes here again.
   */
  private found(
    pageShift: number,
    tableHi: number,
    word: number,
    lo: number,
    need: number,
    granted: number,
    walk: Walk,
  ): number {
    const low = this.reader.words[0]!;
    const high = this.reader.words[1]!;
    const isWritten = ((walk.writes ? granted : need) & WRITE) !== 0;
    const flags = !this.setsFlags ? 0 : isWritten ? A | D : A;
    if (!this.walkSnoops && (flags & ~low) !== 0) return FaultReason.SM_SS_FLAGS_NOT_SNOOPED;
    const offset = (1 << pageShift) - 1;
    walk.outHi = ((high & 0xf_ffff) << 2) | (low >>> 30);
    walk.outLo = (low & PAGE & ~offset) | (lo & offset);
    if (isInterruptAddress(walk.outHi, walk.outLo)) return this.reasons.interruptRange;
    const staysClean = this.setsFlags && ((low | flags) & D) === 0;
    walk.pageShift = pageShift;
    walk.secondLeaf = low;
    walk.granted =
      (staysClean ? granted & ~WRITE : granted) | this.snoop | ((low & SNP) >>> SNP_TO_SNOOP);
    return this.setFlags(tableHi, word, low, flags, walk);
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
