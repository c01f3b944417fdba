import { Access, AddressType, DmaResult, NO_PASID } from "@viommu/plugin";
import type { DmaRemapper, DmaRequest, HookTable } from "@viommu/plugin";
import { FaultReason, isQualified, maxGuestAddressWidth } from "@viommu/vtd-spec";
import { TranslationTableMode } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { AddressSpace, passThroughLayout } from "./address-space.ts";
import type { SpaceLayout } from "./address-space.ts";
import { ContextCache } from "./context-cache.ts";
import { NumberPort } from "./convenience.ts";
import { Counters } from "./counters.ts";
import { DomainTable } from "./domain-table.ts";
import { InFlight } from "./in-flight.ts";
import { isInterruptAddress, touchesInterruptRange } from "./interrupt-range.ts";
import { IotlbInvalidation } from "./iotlb-invalidation.ts";
import { ENTRY_SHIFT, Iotlb, spread } from "./iotlb.ts";
import { LegacyLookup } from "./legacy-lookup.ts";
import { BlockedLookup, Found } from "./lookup.ts";
import type { RequestLookup } from "./lookup.ts";
import { checkOptions } from "./options.ts";
import type { FaultReporter, TranslationOptions } from "./options.ts";
import { PagingStructureCache } from "./paging-structure-cache.ts";
import { PassThroughWalker } from "./pass-through.ts";
import { ProtectedMemory } from "./protected-memory.ts";
import type { ProtectedRange } from "./protected-memory.ts";
import { secondStageMasks } from "./reserved-masks.ts";
import { LEGACY_SECOND_STAGE, SecondStageWalker } from "./second-stage.ts";
import { TableReader } from "./table-reader.ts";
import { TagCounter } from "./tag-counter.ts";
import { isRecoverable } from "./translation-request.ts";
import { Walk } from "./walk.ts";

const RIGHTS = Access.READ | Access.WRITE;
/** Domain of the engine's own spaces; no domain-id. */
const NO_DOMAIN = -1;
const PAGING_STRUCTURE_SLOTS = 1024;

/**
 * Translates the DMA requests of devices as a VT-d unit does (VT-d 3, 4.2, 6, 7.1).
 *
 * It answers requests and caches answers; registers, queues and the fault log are the unit's.
 * `translate` is written for V8: few bytecodes, small integers, one class of space, everything that
 * is not a hit out of line, and no `#private` fields (they cost a check each).
 */
export class TranslationEngine implements DmaRemapper {
  readonly segment: number;
  readonly counters: Counters = new Counters();
  /** Accesses that an invalidation has to wait for. */
  readonly inFlight: InFlight = new InFlight();
  private readonly capabilities: Capabilities;
  private readonly reporter: FaultReporter;
  private readonly hooks: HookTable;
  private readonly unit: string;

  // the hit path
  /** `spaces[bus][devfn]`: those of the context-cache, or the disabled space for all. */
  private spaces: AddressSpace[][];
  private readonly entries: Int32Array;
  private readonly mask: number;

  // the state that the unit sets
  private enabled = false;
  private lookup: RequestLookup;
  private readonly protectedMemory = new ProtectedMemory();

  private readonly iotlb: Iotlb;
  private readonly domains: DomainTable;
  private readonly contexts: ContextCache;
  private readonly invalidation: IotlbInvalidation;
  private readonly legacy: LegacyLookup;
  /** Matches no IOTLB entry. */
  private readonly nothing: AddressSpace;
  private readonly disabledSpaces: AddressSpace[][];
  private readonly found: Found;
  private readonly walk = new Walk();
  /** The answer came out of the IOTLB. */
  private hit = false;
  /** Rights that a zero-length read needs (VT-d 3.14). */
  private readonly zeroLengthNeed: number;
  private readonly inputHiMask: number;
  private readonly numbers: NumberPort;

  /** Throws ERR_VIOMMU_TRANSLATION on options that make no engine. */
  constructor(options: TranslationOptions) {
    const { memory, capabilities, hostAddressWidth } = options;
    this.iotlb = new Iotlb(checkOptions(options));
    this.entries = this.iotlb.words;
    this.mask = this.iotlb.mask;
    this.segment = options.segment;
    this.capabilities = capabilities;
    this.reporter = options.reporter;
    this.hooks = options.hooks;
    this.unit = options.unit;
    this.zeroLengthNeed = capabilities.ZLR !== 0 ? 0 : Access.READ;
    this.inputHiMask = 2 ** Math.min(27, maxGuestAddressWidth(capabilities) - 30) - 1;

    const cache = new PagingStructureCache(PAGING_STRUCTURE_SLOTS);
    this.domains = new DomainTable(new TagCounter(), () => {
      this.iotlb.clear();
      cache.clear();
    });
    this.invalidation = new IotlbInvalidation(this.domains, this.iotlb, cache);
    const unchecked = new PassThroughWalker(null);
    this.nothing = new AddressSpace(passThroughLayout("nothing", unchecked, 57));
    this.found = new Found(this.nothing);
    this.contexts = new ContextCache(this.domains, this.nothing);
    const disabled = this.ownSpace(passThroughLayout("disabled", unchecked, 57));
    this.disabledSpaces = allBuses(disabled);
    this.spaces = this.disabledSpaces;

    const passThrough = new PassThroughWalker({
      width: FaultReason.ADDRESS_BEYOND_WIDTH,
      interruptRange: FaultReason.OUTPUT_IN_INTERRUPT_RANGE,
    });
    this.legacy = new LegacyLookup({
      capabilities,
      hostAddressWidth,
      reader: new TableReader(memory),
      contexts: this.contexts,
      secondStage: new SecondStageWalker({
        memory,
        cache,
        masks: secondStageMasks(capabilities, hostAddressWidth, false),
        reasons: LEGACY_SECOND_STAGE,
      }),
      passThrough,
      host: this.ownSpace(passThroughLayout("translated", passThrough, hostAddressWidth)),
    });
    this.lookup = this.legacy;
    this.numbers = new NumberPort(this);
  }

  // --- requests ---------------------------------------------------------------------------------

  translate(request: DmaRequest): number {
    const sourceId = request.sourceId | 0;
    const hi = request.hi | 0;
    const lo = request.lo | 0;
    const need = request.access & RIGHTS;
    const space = this.spaces[(sourceId >>> 8) & 0xff]![sourceId & 0xff]!;
    const page = lo >>> 12;
    const slot = ((page ^ spread(hi, lo) ^ space.seed) & this.mask) << ENTRY_SHIFT;
    const t = this.entries;
    if (
      need === 0 ||
      ((t[slot]! ^ hi) |
        (t[slot | 1]! ^ page) |
        (t[slot | 2]! ^ space.tag) |
        (need & ~t[slot | 3]!) |
        request.addressType |
        (request.pasid - NO_PASID)) !==
        0
    ) {
      return this.miss(request);
    }
    request.granted = t[slot | 3]!;
    request.outHi = t[slot | 4]!;
    request.outLo = t[slot | 5]! | (lo & 0xfff);
    request.pageShift = t[slot | 6]!;
    return 0;
  }

  probe(request: DmaRequest): number {
    this.found.effects = false;
    this.walk.effects = false;
    const result = this.resolve(request);
    if (result > 0) request.suppressed = this.found.suppressed && isQualified(result);
    return result;
  }

  /** As {@link NumberPort.translateNumber}. */
  translateNumber(sourceId: number, address: number, access: number): number {
    return this.numbers.translateNumber(sourceId, address, access);
  }

  /** As {@link NumberPort.translateBigint}. */
  translateBigint(sourceId: number, address: bigint, access: number): bigint {
    return this.numbers.translateBigint(sourceId, address, access);
  }

  enter(): number {
    return this.inFlight.enter();
  }

  leave(ticket: number): void {
    this.inFlight.leave(ticket);
  }

  // --- mode, set by the unit --------------------------------------------------------------------

  /** Switches remapping (GSTS.TES). A change invalidates everything. */
  setEnabled(on: boolean): void {
    if (on === this.enabled) return;
    this.enabled = on;
    this.spaces = on ? this.contexts.spaces : this.disabledSpaces;
    this.dropAll();
  }

  /**
   * Takes the root table pointer (GCMD.SRTP): its address, TTM and SSIRWE of RTADDR (VT-d 11.4.5).
   * Invalidates everything, as hardware with CAP.ESRTPS does and any may.
   */
  latchRoot(hi: number, lo: number, ttm: number, ssirwe: boolean): void {
    this.lookup = this.lookupFor(ttm, ssirwe);
    this.legacy.setRoot(hi, lo);
    this.dropAll();
  }

  /** Sets the protected memory regions (VT-d 11.4.8); a change invalidates all cached answers. */
  setProtected(enabled: boolean, low: ProtectedRange | null, high: ProtectedRange | null): void {
    this.protectedMemory.set(enabled, low, high);
    this.domains.retagAll();
  }

  /** Back to power-on state. Accesses in flight go on. */
  reset(): void {
    this.setEnabled(false);
    this.latchRoot(0, 0, TranslationTableMode.LEGACY, false);
    this.setProtected(false, null, null);
  }

  // --- invalidation -----------------------------------------------------------------------------

  /** Drops all that is cached: context-cache, PASID-cache, IOTLB, paging-structure cache. */
  invalidateAll(): void {
    this.counters.invalidations += 1;
    this.dropAll();
  }

  invalidateContextGlobal(): void {
    this.counters.invalidations += 1;
    this.contexts.invalidateAll();
  }

  /** @param domainId 16 bits; in scalable mode everything is dropped */
  invalidateContextDomain(domainId: number): void {
    this.counters.invalidations += 1;
    this.contexts.invalidateDomain(domainId);
  }

  /**
   * Drops what is cached for up to eight source-ids, of whatever domain.
   * @param functionMask bits of the function number to ignore: 0, 4, 6 or 7 (VT-d 6.5.2.1)
   */
  invalidateContextDevice(_domainId: number, sourceId: number, functionMask: number): void {
    this.counters.invalidations += 1;
    this.contexts.invalidateDevice(sourceId, functionMask & 7);
  }

  invalidateIotlbGlobal(): void {
    this.counters.invalidations += 1;
    this.invalidation.all();
  }

  invalidateIotlbDomain(domainId: number): void {
    this.counters.invalidations += 1;
    this.invalidation.domain(domainId);
  }

  /**
   * Drops the pages that overlap 2^order pages of 4 KiB; bits above MGAW are ignored.
   * @param leafOnly IH: cached paging structures may stay
   */
  invalidateIotlbPages(
    domainId: number,
    hi: number,
    lo: number,
    order: number,
    leafOnly: boolean,
  ): void {
    this.counters.invalidations += 1;
    this.invalidation.pages(domainId, hi & this.inputHiMask, lo, order, leafOnly);
  }

  invalidatePasidCacheGlobal(): void {
    this.counters.invalidations += 1;
    this.contexts.invalidateAll();
  }

  invalidatePasidCacheDomain(domainId: number): void {
    this.counters.invalidations += 1;
    this.contexts.invalidateDomain(domainId);
  }

  invalidatePasidCachePasid(domainId: number, pasid: number): void {
    this.counters.invalidations += 1;
    this.contexts.invalidatePasid(domainId, pasid);
  }

  invalidatePasidIotlb(domainId: number, pasid: number): void {
    this.counters.invalidations += 1;
    this.invalidation.pasid(domainId, pasid);
  }

  /** As {@link invalidateIotlbPages}, for first-stage and nested translations of a PASID. */
  invalidatePasidIotlbPages(
    domainId: number,
    pasid: number,
    hi: number,
    lo: number,
    order: number,
    leafOnly: boolean,
  ): void {
    this.counters.invalidations += 1;
    this.invalidation.pasidPages(domainId, pasid, hi, lo, order, leafOnly);
  }

  // --- out of line ------------------------------------------------------------------------------

  private miss(request: DmaRequest): number {
    this.found.effects = true;
    this.walk.effects = true;
    const result = this.resolve(request);
    if (this.hit) return result;
    this.counters.misses += 1;
    if (result > 0) {
      this.counters.faults += 1;
      request.suppressed = this.found.suppressed && isQualified(result);
      this.reporter.dmaFault(result, request);
    }
    const observer = this.hooks.translateMiss;
    if (observer !== null) observer(this.unit, request, result);
    return result;
  }

  /** Answers a request of any kind, without reporting. */
  private resolve(request: DmaRequest): number {
    const { found } = this;
    this.hit = false;
    found.suppressed = false;
    const sourceId = request.sourceId & 0xffff;
    if (!this.enabled) {
      // VT-d 4.2.1: other address types are blocked; 3.1: a PASID is ignored
      if (request.addressType !== AddressType.UNTRANSLATED) return DmaResult.ABORTED;
      found.space = this.spaces[sourceId >>> 8]![sourceId & 0xff]!;
      return this.translateIn(found.space, request);
    }
    if (request.addressType !== AddressType.UNTRANSLATED) return this.resolveDeviceTlb(request);
    if (request.pasid === NO_PASID) {
      if (isInterruptAddress(request.hi, request.lo)) return this.interruptRange(request);
      const space = this.spaces[sourceId >>> 8]![sourceId & 0xff]!;
      if (space !== this.nothing) {
        const result = this.translateIn(space, request);
        if (result > 0) this.lookup.lookup(request, found); // cached: for FPD
        return result;
      }
    }
    const reason = this.lookup.lookup(request, found);
    return reason !== 0 ? reason : this.translateIn(found.space, request);
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

  /** Translation requests and translated requests (VT-d 4.2.3, 4.2.5). */
  private resolveDeviceTlb(request: DmaRequest): number {
    const { found, walk } = this;
    const type = request.addressType;
    // VT-d 4.2.1: the reserved type is an unsupported request, and no fault
    if (type > AddressType.TRANSLATED) return DmaResult.ABORTED;
    let reason = this.lookup.lookup(request, found);
    if (type === AddressType.TRANSLATED) {
      return reason !== 0 ? reason : this.translateIn(found.space, request);
    }
    if (reason === 0) {
      if (request.pasid === NO_PASID && isInterruptAddress(request.hi, request.lo)) {
        return this.translationOfInterruptRange(request);
      }
      // the rights must be those of the tables now, not of what is cached
      walk.full = true;
      reason = this.walkFor(found.space, request, 0);
      walk.full = false;
    }
    if (reason === 0) this.give(found.space, request);
    else if (isRecoverable(reason)) noRights(request);
    else return reason;
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

  /** Answers out of the IOTLB or by a walk. */
  private translateIn(space: AddressSpace, request: DmaRequest): number {
    const { iotlb, walk } = this;
    let need = request.access & RIGHTS;
    if (request.addressType === AddressType.TRANSLATED) need = 0;
    else if (need === 0) need = this.zeroLengthNeed;
    const slot = iotlb.find(space, request.hi | 0, request.lo | 0, need);
    if (slot >= 0) {
      iotlb.answer(slot, request);
      this.hit = true;
      return 0;
    }
    const reason = this.walkFor(space, request, need);
    if (reason !== 0) return reason;
    if (this.protectedMemory.touches(walk.outHi, walk.outLo, 12)) return DmaResult.ABORTED;
    this.give(space, request);
    return 0;
  }

  private walkFor(space: AddressSpace, request: DmaRequest, need: number): number {
    if (this.walk.effects) {
      this.counters.walks += 1;
      // before the walk: it may fill the paging-structure cache and fail after that
      if (space.filledAt < 0 && space.scope !== null) space.scope.noteFilled(space);
    }
    return space.walker.walk(space, request.hi, request.lo, need, this.walk);
  }

  /** Answers with the result of a walk, and caches it. */
  private give(space: AddressSpace, request: DmaRequest): void {
    const { walk } = this;
    const { hi, lo } = request;
    if (walk.pageShift > 12 && this.isSpecial(hi, lo)) walk.pageShift = 12;
    request.outHi = walk.outHi;
    request.outLo = walk.outLo;
    request.pageShift = walk.pageShift;
    request.granted = walk.granted;
    // the hit path doesn't look at the address: what it must not answer is not cached
    if (!walk.effects || isInterruptAddress(hi, lo)) return;
    if (this.protectedMemory.touches(walk.outHi, walk.outLo, 12)) return;
    this.iotlb.fill(space, hi, lo, walk);
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

  private lookupFor(ttm: number, ssirwe: boolean): RequestLookup {
    const { ADMS } = this.capabilities;
    if (ttm === TranslationTableMode.LEGACY) {
      if (!ssirwe) return this.legacy;
      return new BlockedLookup(FaultReason.TTM_INVALID, FaultReason.PASID_IN_LEGACY);
    }
    if (ttm === TranslationTableMode.ABORT && ADMS !== 0) {
      return new BlockedLookup(FaultReason.ABORT_MODE);
    }
    return new BlockedLookup(FaultReason.TTM_INVALID);
  }

  private dropAll(): void {
    this.contexts.invalidateAll();
    this.domains.retagAll();
  }

  private ownSpace(layout: SpaceLayout): AddressSpace {
    const space = new AddressSpace(layout);
    this.domains.add(NO_DOMAIN, NO_PASID, space);
    return space;
  }
}

function allBuses(space: AddressSpace): AddressSpace[][] {
  return new Array<AddressSpace[]>(256).fill(new Array<AddressSpace>(256).fill(space));
}

function noRights(request: DmaRequest): void {
  request.outHi = 0;
  request.outLo = 0;
  request.pageShift = 12;
  request.granted = 0;
}
