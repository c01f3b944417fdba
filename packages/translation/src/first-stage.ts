import { Access } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import { setEntryFlags } from "./entry-flags.ts";
import { isInterruptAddress } from "./interrupt-range.ts";
import type { NestedStage } from "./nested-stage.ts";
import type { PagingStructureCache, UsualEntry } from "./paging-structure-cache.ts";
import type { PagingMasks } from "./reserved-masks.ts";
import { TableReader } from "./table-reader.ts";
import { RETRY, TRIES } from "./walk.ts";
import type { Space, Walk, Walker } from "./walk.ts";

/** Bits of the low word of an entry (VT-d 9.7). */
const P = 1 << 0;
const RW = 1 << 1;
const US = 1 << 2;
const A = 1 << 5;
const D = 1 << 6;
const PS = 1 << 7;
const EA = 1 << 10;

const PAGE = 0x3fff_f000;
const READ = Access.READ;
const WRITE = Access.WRITE;
const RIGHTS = Access.READ | Access.WRITE;

/** How a first stage is walked: what the PASID table entry and the privilege of requests say. */
export interface FirstStageKind {
  /** Supervisor requests: U/S is not looked at. */
  readonly supervisor: boolean;
  /** R/W counts: for user requests, and with WPE (write-protect enable). */
  readonly writeProtect: boolean;
  /** EA is set with A (EAFE). */
  readonly extendedAccessed: boolean;
  /** Walks snoop the processor caches, so that flags can be set (PWSNP). */
  readonly walkSnoops: boolean;
  /** `Access.SNOOP` if all requests snoop (PGSNP), else 0. */
  readonly snoop: number;
}

/** What a first-stage walker works with. */
export interface FirstStageOptions {
  readonly memory: GuestMemory;
  readonly cache: PagingStructureCache;
  readonly masks: PagingMasks;
  readonly kind: FirstStageKind;
  /** Null: tables hold host-physical addresses. */
  readonly nested: NestedStage | null;
}

/**
 * First-stage translation (VT-d 3.6), alone or nested (3.8): four or five levels, pages of 4 KiB,
 * 2 MiB and 1 GiB.
 */
export class FirstStageWalker implements Walker {
  private readonly memory: GuestMemory;
  private readonly reader: TableReader;
  private readonly cache: PagingStructureCache;
  private readonly masks: PagingMasks;
  private readonly nested: NestedStage | null;
  private readonly supervisor: boolean;
  private readonly writeProtect: boolean;
  private readonly walkSnoops: boolean;
  private readonly snoop: number;
  /** A, or A and EA. */
  private readonly accessed: number;
  private readonly usualPage: UsualEntry;
  private readonly usualLarge: UsualEntry;
  // the entry read last: where it lies in host memory, whether flags can be set in it
  private entryHi = 0;
  private entryWord = 0;
  private writable = true;

  constructor(options: FirstStageOptions) {
    const { supervisor, writeProtect, extendedAccessed, walkSnoops, snoop } = options.kind;
    this.memory = options.memory;
    this.reader = new TableReader(options.memory);
    this.cache = options.cache;
    this.masks = options.masks;
    this.nested = options.nested;
    this.supervisor = supervisor;
    this.writeProtect = writeProtect;
    this.walkSnoops = walkSnoops;
    this.snoop = snoop;
    this.accessed = extendedAccessed ? A | EA : A;
    const { page4K, page2M, high: clearHigh } = options.masks;
    const permissions = P | (supervisor ? 0 : US) | (writeProtect ? 0 : RW);
    const rule = { set: permissions | this.accessed, clear: page4K, clearHigh, snoop, dirty: D };
    this.usualPage = rule;
    this.usualLarge = { ...rule, set: rule.set | PS, clear: page2M };
  }

  walk(space: Space, hi: number, lo: number, need: number, walk: Walk): number {
    hi |= 0;
    lo |= 0;
    // the bits above the width repeat its highest bit
    if (hi >> (space.inputShift - 1) !== hi >> 31) return FaultReason.FS_NOT_CANONICAL;
    if (this.nested !== null && !walk.full) {
      this.nested.begin(space, false);
      if (this.fromTop(space, hi, lo, need, walk) === 0) return 0;
      // a fault is what the tables say now, never what was cached: it needs a full walk
    }
    this.nested?.begin(space, true);
    for (let tries = 0; tries < TRIES; tries += 1) {
      const reason = this.fromTop(space, hi, lo, need, walk);
      if (reason !== RETRY) return reason;
    }
    return FaultReason.FS_FLAGS_UPDATE;
  }

  private fromTop(space: Space, hi: number, lo: number, need: number, walk: Walk): number {
    const words = this.reader.words;
    let tableHi = space.rootHi | 0;
    let tableLo = space.rootLo | 0;
    let rights = RIGHTS;
    for (let level = space.levels | 0; ; level -= 1) {
      const index = level > 2 ? hi >>> (9 * level - 27) : lo >>> (9 * level + 3);
      const isTop = level === space.levels;
      const fault = this.readEntry(tableHi, tableLo | ((index & 0x1ff) << 3), isTop, walk);
      if (fault !== 0) return fault;
      const low = words[0]!;
      const high = words[1]!;
      if (level === 1) {
        if (walk.effects && space.tag !== 0) this.fillCache(space, hi, lo, rights);
        return this.page(1, lo, need, rights, walk);
      }
      if ((low & (P | PS)) === (P | PS) && level < 4) {
        if (level === 2 && walk.effects && space.tag !== 0) {
          this.cache.fillDirectory(space, hi, tableHi, tableLo, rights, this.usualLarge);
        }
        return this.page(level, lo, need, rights, walk);
      }
      const reason = this.check(low, high, level > 3 ? this.masks.upper : this.masks.table, need);
      if (reason !== 0) return reason;
      if (this.writeProtect && (low & RW) === 0) rights = READ;
      tableHi = ((high & 0xf_ffff) << 2) | (low >>> 30);
      tableLo = low & PAGE;
      if (this.nested?.isBeyond(tableHi) === true) return FaultReason.FS_ADDRESS_BEYOND_SS_WIDTH;
      const flagFault = this.setFlags(low, this.accessed, walk);
      if (flagFault !== 0) return flagFault;
    }
  }

  /** Reads an entry; with nesting, by way of the second stage. */
  private readEntry(hi: number, lo: number, isTop: boolean, walk: Walk): number {
    const nested = this.nested;
    this.entryHi = hi;
    this.entryWord = lo >>> 2;
    if (nested !== null) {
      const reason = nested.findEntry(hi, lo, isTop, walk);
      if (reason !== 0) return reason;
      this.entryHi = nested.found.outHi;
      this.entryWord = nested.found.outLo >>> 2;
      this.writable = (nested.found.granted & WRITE) !== 0;
    }
    if (this.reader.readEntry(this.entryHi, this.entryWord)) return 0;
    return isTop ? FaultReason.FS_ROOT_ACCESS : FaultReason.FS_ENTRY_ACCESS;
  }

  private fillCache(space: Space, hi: number, lo: number, rights: number): void {
    const tableLo = (this.entryWord << 2) & PAGE;
    this.cache.fill(space, hi, lo, this.entryHi, tableLo, rights, this.usualPage);
  }

  /** Whether an entry is present, in order, and allows the request. */
  private check(low: number, high: number, reserved: number, need: number): number {
    if ((low & P) === 0) return FaultReason.FS_NOT_PRESENT;
    if (((low & reserved) | (high & this.masks.high)) !== 0) return FaultReason.FS_RESERVED;
    if ((low & US) === 0 && !this.supervisor) return FaultReason.FS_USER_DENIED;
    if ((need & WRITE) !== 0 && (low & RW) === 0 && this.writeProtect) {
      return FaultReason.SM_WRITE_DENIED;
    }
    return 0;
  }

  /**
   * Ends a walk at the entry read last, which maps a page. D is set for a write only (VT-d 3.6.2), so
   * what a read finds grants no write while D is 0: the first write comes here again.
   */
  private page(level: number, lo: number, need: number, rights: number, walk: Walk): number {
    const { masks, nested } = this;
    const low = this.reader.words[0]!;
    const high = this.reader.words[1]!;
    const reserved = level === 1 ? masks.page4K : level === 2 ? masks.page2M : masks.page1G;
    const reason = this.check(low, high, reserved, need);
    if (reason !== 0) return reason;

    const pageShift = 9 * level + 3;
    const offset = (1 << pageShift) - 1;
    walk.outHi = ((high & 0xf_ffff) << 2) | (low >>> 30);
    walk.outLo = (low & PAGE & ~offset) | (lo & offset);
    walk.pageShift = pageShift;
    walk.firstShift = pageShift;
    walk.firstLeaf = low;
    walk.granted = (this.writeProtect && (low & RW) === 0 ? READ : rights) | this.snoop;
    if (nested?.isBeyond(walk.outHi) === true) return FaultReason.FS_ADDRESS_BEYOND_SS_WIDTH;

    // what can be known in advance comes first: no flag tells of a request that was blocked
    if (!this.walkSnoops && (this.flagsFor(need, walk) & ~low) !== 0) {
      return FaultReason.FS_FLAGS_NOT_SNOOPED;
    }
    if (nested !== null) {
      const fault = nested.findPage(need, walk);
      if (fault !== 0) return fault;
    } else if (isInterruptAddress(walk.outHi, walk.outLo)) {
      return FaultReason.SM_OUTPUT_IN_INTERRUPT_RANGE;
    }
    const flags = this.flagsFor(need, walk);
    if (((low | flags) & D) === 0) walk.granted &= ~WRITE;
    return this.setFlags(low, flags, walk);
  }

  /** The flags that a request sets in the entry that maps its page. */
  private flagsFor(need: number, walk: Walk): number {
    const isWritten = ((walk.writes ? walk.granted : need) & WRITE) !== 0;
    return isWritten ? this.accessed | D : this.accessed;
  }

  /** Sets flags in the entry read last. */
  private setFlags(low: number, flags: number, walk: Walk): number {
    if ((flags & ~low) === 0) return 0;
    if (!this.walkSnoops) return FaultReason.FS_FLAGS_NOT_SNOOPED;
    if (!this.writable) return FaultReason.FS_FLAGS_SS_DENIED;
    const { memory, entryHi, entryWord } = this;
    const failed = FaultReason.FS_FLAGS_UPDATE;
    return setEntryFlags(memory, entryHi, entryWord, low, flags, failed, walk);
  }
}
