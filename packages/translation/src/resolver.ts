import { Access, AddressType, DmaResult, NO_PASID } from "@viommu/plugin";
import type { DmaRequest } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import type { AddressSpace } from "./address-space.ts";
import type { ContextCache } from "./context-cache.ts";
import type { Counters } from "./counters.ts";
import { isInterruptAddress, touchesInterruptRange } from "./interrupt-range.ts";
import { isCacheable } from "./iotlb.ts";
import type { Iotlb } from "./iotlb.ts";
import { Found } from "./lookup.ts";
import type { RequestLookup } from "./lookup.ts";
import { MemoryType, memoryTypeOf, NO_MEMORY_TYPE } from "./memory-type.ts";
import type { ProtectedMemory } from "./protected-memory.ts";
import type { Refill } from "./refill.ts";
import { isRecoverable } from "./translation-request.ts";
import { Walk } from "./walk.ts";

// constants of this module are known to the compiler, imported ones are loaded each time
const RIGHTS = Access.READ | Access.WRITE;
const UNTRANSLATED: number = AddressType.UNTRANSLATED;

/** What a resolver works with. */
export interface ResolverOptions {
  readonly capabilities: Capabilities;
  readonly iotlb: Iotlb;
  readonly refill: Refill;
  readonly contexts: ContextCache;
  readonly protectedMemory: ProtectedMemory;
  readonly counters: Counters;
  /** The space of all requests while remapping is off. */
  readonly disabled: AddressSpace;
  readonly lookup: RequestLookup;
}

/**
 * Answers requests of every kind: those that the hit path of the engine leaves, and probes. It
 * reports nothing.
 */
export class Resolver {
  /** Remapping is on (GSTS.TES). */
  enabled = false;
  /** How spaces are found in the present table mode. */
  lookup: RequestLookup;
  /** The last answer came out of the IOTLB. */
  hit = false;
  /** FPD was set on the way of the last request: a qualified fault is not recorded. */
  suppressed = false;
  /** A fault to report although the last request completed: SFS.10 of a translation request; or 0. */
  reportedAnyway = 0;
  private readonly capabilities: Capabilities;
  private readonly iotlb: Iotlb;
  private readonly refill: Refill;
  private readonly contexts: ContextCache;
  private readonly protectedMemory: ProtectedMemory;
  private readonly counters: Counters;
  private readonly disabled: AddressSpace;
  private readonly found: Found;
  private readonly walk = new Walk();
  /** Rights that a zero-length read needs (VT-d 3.14). */
  private readonly zeroLengthNeed: number;

  constructor(options: ResolverOptions) {
    this.capabilities = options.capabilities;
    this.iotlb = options.iotlb;
    this.refill = options.refill;
    this.contexts = options.contexts;
    this.protectedMemory = options.protectedMemory;
    this.counters = options.counters;
    this.disabled = options.disabled;
    this.lookup = options.lookup;
    this.found = new Found(options.disabled);
    this.zeroLengthNeed = options.capabilities.ZLR !== 0 ? 0 : Access.READ;
  }

  /** Answers a request as `DmaRemapper.translate` does; without `effects` as `probe`. */
  resolve(request: DmaRequest, effects: boolean): number {
    this.hit = false;
    this.reportedAnyway = 0;
    this.walk.effects = effects;
    const own = this.contexts.find(request.sourceId & 0xffff);
    if (
      own === null ||
      !this.enabled ||
      (request.addressType | (request.pasid + 1)) !== 0 ||
      isInterruptAddress(request.hi, request.lo)
    ) {
      return this.resolveSpecial(request, effects);
    }
    const space = own.space;
    const need = request.access & RIGHTS;
    this.suppressed = own.suppressed;
    // the engine has looked into the IOTLB, unless the address is in the upper half
    if (need === 0 || !effects || request.hi < 0) return this.translateIn(space, request);
    return this.walkIn(space, request, need);
  }

  /** As `TranslationEngine.memoryType`. */
  memoryType(request: DmaRequest, mtrr: number): number {
    const { found, walk } = this;
    if (this.capabilities.MTS === 0 || this.resolve(request, false) !== 0) return NO_MEMORY_TYPE;
    if (!this.enabled) return MemoryType.WB;
    found.effects = false;
    if (this.lookup.lookup(request, found) !== 0) return NO_MEMORY_TYPE;
    const { space } = found;
    walk.full = true; // the IOTLB knows no memory types
    const reason = space.walker.walk(space, request.hi, request.lo, 0, walk);
    walk.full = false;
    return reason === 0 ? memoryTypeOf(space, walk, mtrr) : NO_MEMORY_TYPE;
  }

  /** Requests with a cached way of their own, and without anything particular, are done already. */
  private resolveSpecial(request: DmaRequest, effects: boolean): number {
    const found = this.found;
    found.effects = effects;
    found.suppressed = false;
    this.suppressed = false;
    const type = request.addressType;
    if (!this.enabled) {
      // VT-d 4.2.1: other address types are blocked; 3.1: a PASID is ignored
      return type === UNTRANSLATED ? this.translateIn(this.disabled, request) : DmaResult.ABORTED;
    }
    // VT-d 4.2.1: a reserved type is an unsupported request, but no fault
    if (type > AddressType.TRANSLATED) return DmaResult.ABORTED;
    const hasPasid = request.pasid !== NO_PASID;
    const toInterruptRange = !hasPasid && isInterruptAddress(request.hi, request.lo);
    if (toInterruptRange && type === UNTRANSLATED) return this.interruptRange(request);

    const reason = this.lookup.lookup(request, found);
    this.suppressed = found.suppressed;
    if (type === AddressType.TRANSLATION_REQUEST) {
      return this.translationRequest(request, reason, toInterruptRange);
    }
    return reason !== 0 ? reason : this.translateIn(found.space, request);
  }

  /** Answers out of the IOTLB, out of a known table, or by a walk. */
  private translateIn(space: AddressSpace, request: DmaRequest): number {
    const need = request.access & RIGHTS || this.zeroLengthNeed;
    if (this.iotlb.answer(space.tag, request, need)) {
      this.hit = true;
      return 0;
    }
    const { effects } = this.walk;
    if (this.refill.answer(request, space.tag, need, effects)) {
      if (effects) this.counters.walks += 1;
      return 0;
    }
    return this.walkIn(space, request, need);
  }

  /** Answers by a walk, and caches the answer. */
  private walkIn(space: AddressSpace, request: DmaRequest, need: number): number {
    const walk = this.walk;
    const hi = request.hi | 0;
    const lo = request.lo | 0;
    if (walk.effects) this.noteWalk(space);
    const reason = space.walker.walk(space, hi, lo, need, walk);
    if (reason !== 0) return reason;
    if (!walk.effects) return this.give(space, request);
    // most are a page without anything particular; FEEx_xxxxh has a `hi` of 3
    if (hi === 3 || hi >>> 26 !== 0 || this.protectedMemory.active) {
      return this.give(space, request);
    }
    if (walk.pageShift !== 12 && walk.outHi === 3) return this.give(space, request);
    this.fill(space, request);
    request.outHi = walk.outHi;
    request.outLo = walk.outLo;
    request.pageShift = walk.pageShift;
    request.granted = walk.granted;
    return 0;
  }

  private noteWalk(space: AddressSpace): void {
    this.counters.walks += 1;
    // even a walk that fails leaves something in the paging-structure cache
    if (space.place < 0) space.scope!.noteFilled(space);
  }

  /** Answers with the result of a walk, and caches it if it may be cached. */
  private give(space: AddressSpace, request: DmaRequest): number {
    const walk = this.walk;
    const hi = request.hi | 0;
    const lo = request.lo | 0;
    if (walk.pageShift !== 12 && this.isSpecial(hi, lo)) walk.pageShift = 12;
    const isProtected = this.protectedMemory.touches(walk.outHi, walk.outLo, 12);
    // a translation request moves no data
    if (isProtected && request.addressType !== AddressType.TRANSLATION_REQUEST) {
      return DmaResult.ABORTED;
    }
    request.outHi = walk.outHi;
    request.outLo = walk.outLo;
    request.pageShift = walk.pageShift;
    request.granted = walk.granted;
    // the hit path doesn't look at the address: what it must not answer is not cached
    if (!walk.effects || !isCacheable(hi, walk.outHi)) return 0;
    if (isProtected || isInterruptAddress(hi, lo)) return 0;
    this.fill(space, request);
    return 0;
  }

  private fill(space: AddressSpace, request: DmaRequest): void {
    const { outHi, outLo, pageShift, granted } = this.walk;
    const hi = request.hi | 0;
    const lo = request.lo | 0;
    if (pageShift === 12) this.iotlb.fillPage(space.tag, hi, lo, outHi, outLo, granted);
    else this.iotlb.fillLarge(space.tag, hi, lo, outHi, outLo, pageShift, granted);
  }

  /** Whether the answer of the walk does not hold for all of a large page. */
  private isSpecial(hi: number, lo: number): boolean {
    const { outHi, outLo, pageShift } = this.walk;
    return (
      touchesInterruptRange(hi, lo, pageShift) ||
      touchesInterruptRange(outHi, outLo, pageShift) ||
      this.protectedMemory.touches(outHi, outLo, pageShift)
    );
  }

  /**
   * A request without PASID to FEEx_xxxxh that is no interrupt (VT-d 3.15): a zero-length read
   * completes, everything else is blocked.
   */
  private interruptRange(request: DmaRequest): number {
    if ((request.access & RIGHTS) !== 0) return FaultReason.IR_MALFORMED;
    request.outHi = request.hi;
    request.outLo = request.lo;
    request.pageShift = 12;
    request.granted = Access.BYPASS;
    return 0;
  }

  /** VT-d 4.2.3; `reason` is what the look-up of the space gave. */
  private translationRequest(
    request: DmaRequest,
    reason: number,
    toInterruptRange: boolean,
  ): number {
    const { found, walk } = this;
    if (reason === 0 && toInterruptRange) return this.translationOfInterruptRange(request);
    if (reason === 0) {
      // the completion tells the rights that the tables give now, not those in a cache
      walk.full = true;
      walk.writes = !this.isReadOnly(request);
      if (walk.effects) this.noteWalk(found.space);
      reason = found.space.walker.walk(found.space, request.hi, request.lo, 0, walk);
      walk.full = false;
      walk.writes = false;
    }
    if (reason === FaultReason.FS_FLAGS_UPDATE) this.reportedAnyway = reason;
    if (reason === 0) reason = this.give(found.space, request);
    else if (isRecoverable(reason)) reason = noRights(request);
    if (reason !== 0) return reason;
    if (this.isReadOnly(request)) request.granted &= ~Access.WRITE;
    return 0;
  }

  /** Conditions S.1 and S.2 (VT-d 7.1.3): an MSI may only be written, and only untranslated. */
  private translationOfInterruptRange(request: DmaRequest): number {
    noRights(request);
    if (!this.isReadOnly(request)) request.granted = Access.WRITE | Access.BYPASS;
    return 0;
  }

  /** Flag NW of a translation request: write permission is not asked for. */
  private isReadOnly(request: DmaRequest): boolean {
    return (request.access & Access.WRITE) === 0 && this.capabilities.NWFS !== 0;
  }
}

function noRights(request: DmaRequest): number {
  request.outHi = 0;
  request.outLo = 0;
  request.pageShift = 12;
  request.granted = 0;
  return 0;
}
