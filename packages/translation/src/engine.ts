import { Access, AddressType, InFlight, NO_PASID } from "@viommu/plugin";
import type { DmaRemapper, DmaRequest, HookTable } from "@viommu/plugin";
import { FaultReason, isQualified, maxGuestAddressWidth } from "@viommu/vtd-spec";
import { TranslationTableMode } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { AddressSpace, OWN_WAY, passThroughLayout } from "./address-space.ts";
import { ContextCache, pasidWay, translatedWay } from "./context-cache.ts";
import { NumberPort } from "./convenience.ts";
import { Counters } from "./counters.ts";
import { DomainTable, NO_DOMAIN, PERMISSION_DOMAINS } from "./domain-table.ts";
import { IotlbInvalidation } from "./iotlb-invalidation.ts";
import { Iotlb } from "./iotlb.ts";
import { LegacyLookup } from "./legacy-lookup.ts";
import { BlockedLookup } from "./lookup.ts";
import type { RequestLookup } from "./lookup.ts";
import { checkOptions } from "./options.ts";
import type { FaultReporter, TranslationOptions } from "./options.ts";
import { MemoryType } from "./memory-type.ts";
import { PagingStructureCache } from "./paging-structure-cache.ts";
import { PasidSpaces } from "./pasid-spaces.ts";
import { PassThroughWalker } from "./pass-through.ts";
import { ProtectedMemory } from "./protected-memory.ts";
import type { ProtectedRange } from "./protected-memory.ts";
import { Refill } from "./refill.ts";
import { secondStageMasks } from "./reserved-masks.ts";
import { Resolver } from "./resolver.ts";
import { ScalableLookup } from "./scalable-lookup.ts";
import { ScalableWalkers } from "./scalable-walkers.ts";
import { LEGACY_KIND, LEGACY_SECOND_STAGE, SecondStageWalker } from "./second-stage.ts";
import { ANY_SOURCE, SourceTags } from "./source-tags.ts";
import { TableReader } from "./table-reader.ts";
import { TagCounter } from "./tag-counter.ts";

const RIGHTS = Access.READ | Access.WRITE;
const UNTRANSLATED: number = AddressType.UNTRANSLATED;
const TRANSLATED: number = AddressType.TRANSLATED;
const PAGING_STRUCTURE_SLOTS = 1024;

/**
 * Translates the DMA requests of devices as a VT-d unit does (VT-d 3, 4.2, 6, 7.1).
 *
 * It answers requests and caches answers; registers, queues and the fault log are the unit's.
 * `translate` is written for V8: few bytecodes, small integers, no objects but the request, what is
 * no hit out of line, and no `#private` fields (they cost a check each).
 */
export class TranslationEngine implements DmaRemapper {
  readonly segment: number;
  readonly counters: Counters = new Counters();
  /** Accesses that an invalidation has to wait for. */
  readonly inFlight: InFlight = new InFlight();

  // the hit path: tags by source-id, the mask that makes one index of all while off, the IOTLB
  private tags: Int32Array;
  private sourceMask = 0;
  private readonly iotlb: Iotlb;
  private readonly words: Int32Array;
  private readonly mask: number;

  private readonly capabilities: Capabilities;
  private readonly reporter: FaultReporter;
  private readonly hooks: HookTable;
  private readonly unit: string;
  private readonly protectedMemory = new ProtectedMemory();
  private readonly sourceTags = new SourceTags();
  private readonly domains: DomainTable;
  private readonly contexts: ContextCache;
  private readonly invalidation: IotlbInvalidation;
  private readonly legacy: LegacyLookup;
  private readonly scalable: ScalableLookup;
  /** With IR and IW as second-stage permissions. */
  private readonly scalableWithIo: ScalableLookup;
  private readonly refill: Refill;
  private readonly resolver: Resolver;
  private readonly cache: PagingStructureCache;
  /** Bits of `hi` that a second-stage input address can have. */
  private readonly inputHiMask: number;
  /** Bits of `hi` that a host physical address can have. */
  private readonly hostHiMask: number;
  private readonly numbers: NumberPort;

  /** Throws ERR_VIOMMU_TRANSLATION on options that make no engine. */
  constructor(options: TranslationOptions) {
    const { memory, capabilities, hostAddressWidth } = options;
    const { counters, protectedMemory, sourceTags } = this;
    const iotlb = new Iotlb(checkOptions(options));
    this.iotlb = iotlb;
    const cache = new PagingStructureCache(PAGING_STRUCTURE_SLOTS);
    this.cache = cache;
    this.refill = new Refill(memory, cache, iotlb);
    this.words = iotlb.words;
    this.mask = iotlb.mask;
    this.tags = sourceTags.off;
    this.segment = options.segment;
    this.capabilities = capabilities;
    this.reporter = options.reporter;
    this.hooks = options.hooks;
    this.unit = options.unit;
    this.hostHiMask = 2 ** (hostAddressWidth - 30) - 1;
    this.inputHiMask = 2 ** Math.min(27, maxGuestAddressWidth(capabilities) - 30) - 1;

    this.domains = new DomainTable({
      tags: new TagCounter(),
      sourceTags,
      clearCaches: () => {
        iotlb.clear();
        cache.clear();
      },
    });
    this.invalidation = new IotlbInvalidation(this.domains, iotlb, cache);
    this.contexts = new ContextCache(this.domains, sourceTags);
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
        kind: LEGACY_KIND,
      }),
      passThrough,
      host: this.ownSpace("translated", passThrough, hostAddressWidth),
      counters,
    });
    const scalable = (ioPermissions: boolean): ScalableLookup => {
      const walkers = new ScalableWalkers({
        memory,
        cache,
        capabilities,
        hostAddressWidth,
        ioPermissions,
      });
      return new ScalableLookup({
        capabilities,
        hostAddressWidth,
        majorVersion: options.majorVersion ?? 1,
        reader: new TableReader(memory),
        contexts: this.contexts,
        sourceTags,
        spaces: new PasidSpaces(capabilities, hostAddressWidth, walkers),
        counters,
      });
    };
    this.scalable = scalable(false);
    this.scalableWithIo = scalable(true);
    this.resolver = new Resolver({
      capabilities,
      iotlb,
      refill: this.refill,
      contexts: this.contexts,
      protectedMemory,
      counters,
      disabled: this.disabledSpace(),
      lookup: this.legacy,
    });
    this.numbers = new NumberPort(this);
  }

  // --- requests ---------------------------------------------------------------------------------

  translate(request: DmaRequest): number {
    const hi = request.hi | 0;
    const lo = request.lo | 0;
    const need = request.access & RIGHTS;
    const tag = this.tags[request.sourceId & this.sourceMask]!;
    // Iotlb.slot, by hand
    const region = (hi << 5) | (lo >>> 25);
    const spread = Math.imul(region ^ (tag >>> 1), 0x9e37_79b1) >>> 19;
    const slot = (((lo >>> 12) ^ spread) & this.mask) << 2;
    const words = this.words;
    const rights = words[slot | 2]!;
    if (
      words[slot] !== region ||
      words[slot | 1] !== (tag | ((lo >>> 10) & 0x7ffc)) ||
      (need & ~rights) !== 0 ||
      need === 0 ||
      (request.addressType | (request.pasid + 1) | (hi >>> 26)) !== 0
    ) {
      return this.second(request, tag, need);
    }
    request.granted = rights & 0x3f;
    request.outHi = rights >>> 6;
    request.outLo = words[slot | 3]! | (lo & 0xfff);
    request.pageShift = 12; // large pages are found out of line
    return 0;
  }

  probe(request: DmaRequest): number {
    const result = this.resolver.resolve(request, false);
    if (result > 0) request.suppressed = this.resolver.suppressed && isQualified(result);
    return result;
  }

  /**
   * The effective memory type of the page that a request reaches (VT-d 3.11.4), for devices in the
   * coherency domain of the processors: one of {@link MemoryType}, or -1 when the request is blocked
   * or the unit has no memory types (ECAP.MTS). Has no effects; the request is answered as by `probe`.
   * @param mtrr what the MTRRs say of the output address: they are not the engine's
   */
  memoryType(request: DmaRequest, mtrr: number = MemoryType.WB): number {
    return this.resolver.memoryType(request, mtrr);
  }

  /**
   * Answers one untranslated request without PASID with the output address, minus the fault reason, or
   * -100h for an abort without one. What is no address, such as a fraction, is beyond every width.
   * @param address bytes, below 2^53
   * @param access bits of `Access`
   */
  translateNumber(sourceId: number, address: number, access: number): number {
    return this.numbers.translateNumber(sourceId, address, access);
  }

  /** The same with a 64-bit address. */
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
    if (on === this.resolver.enabled) return;
    this.resolver.enabled = on;
    this.tags = on ? this.sourceTags.bySource : this.sourceTags.off;
    this.sourceMask = on ? 0xffff : 0;
    this.dropAll();
  }

  /**
   * Takes the root table pointer (GCMD.SRTP): its address, TTM and SSIRWE of RTADDR (VT-d 11.4.5).
   * Invalidates everything, as hardware with CAP.ESRTPS does and any may.
   */
  latchRoot(hi: number, lo: number, ttm: number, ssirwe: boolean): void {
    this.resolver.lookup = this.lookupFor(ttm, ssirwe);
    this.legacy.setRoot(hi, lo);
    this.scalable.setRoot(hi, lo);
    this.scalableWithIo.setRoot(hi, lo);
    this.dropAll();
  }

  /** Sets the protected memory regions (VT-d 11.4.8); a change invalidates all cached answers. */
  setProtected(enabled: boolean, low: ProtectedRange | null, high: ProtectedRange | null): void {
    this.protectedMemory.set(enabled, low, high);
    this.cache.guarded = this.protectedMemory.active;
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
    // scalable-mode context entries name no domain
    if (this.resolver.lookup === this.legacy) this.contexts.invalidateDomain(domainId);
    else this.contexts.invalidateAll();
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

  invalidateHostPermissionsGlobal(): void {
    this.counters.invalidations += 1;
    this.invalidation.permissions();
  }

  /** @param hptDomainId HPTDID, 16 bits */
  invalidateHostPermissionsDomain(hptDomainId: number): void {
    this.counters.invalidations += 1;
    this.invalidation.domain(PERMISSION_DOMAINS + hptDomainId);
  }

  /** Drops the permissions of 2^order pages of 4 KiB; bits above the host address width are ignored. */
  invalidateHostPermissionsPages(hptDomainId: number, hi: number, lo: number, order: number): void {
    this.counters.invalidations += 1;
    const hostHi = hi & this.hostHiMask;
    this.invalidation.pages(PERMISSION_DOMAINS + hptDomainId, hostHi, lo, order, true);
  }

  // --- out of line ------------------------------------------------------------------------------

  /** A large page may be there, or the table for the page is known. */
  private second(request: DmaRequest, tag: number, need: number): number {
    if ((request.addressType | (request.pasid + 1)) !== 0) return this.other(request, need);
    if (need === 0 || request.hi >>> 26 !== 0) return this.miss(request);
    if (this.iotlb.answerLarge(tag, request, need)) return 0;
    if (!this.refill.answer(request, tag, need, true)) return this.miss(request);
    this.counters.misses += 1;
    this.counters.walks += 1;
    const observer = this.hooks.translateMiss;
    if (observer !== null) observer(this.unit, request, 0);
    return 0;
  }

  /** Requests with PASID and translated requests: a known way, and the page in the IOTLB. */
  private other(request: DmaRequest, need: number): number {
    const { addressType, pasid, access } = request;
    const asksMore = need === 0 || (access & Access.EXECUTE) !== 0;
    if (asksMore || this.sourceMask === 0) return this.miss(request);
    let way = translatedWay(pasid);
    if (addressType === UNTRANSLATED) {
      way = pasidWay(pasid, (access & Access.PRIVILEGED) !== 0);
    } else if (addressType !== TRANSLATED) {
      return this.miss(request);
    }
    const tag = this.sourceTags.find(request.sourceId & 0xffff, way);
    return this.iotlb.answer(tag, request, need) ? 0 : this.miss(request);
  }

  /** The IOTLB has no answer, unless the request is a particular one. */
  private miss(request: DmaRequest): number {
    const resolver = this.resolver;
    const result = resolver.resolve(request, true);
    if (resolver.hit) return result;
    this.counters.misses += 1;
    const fault = result > 0 ? result : resolver.reportedAnyway;
    if (fault !== 0) {
      this.counters.faults += 1;
      request.suppressed = resolver.suppressed && isQualified(fault);
      this.reporter.dmaFault(fault, request);
    }
    const observer = this.hooks.translateMiss;
    if (observer !== null) observer(this.unit, request, result);
    return result;
  }

  private lookupFor(ttm: number, ssirwe: boolean): RequestLookup {
    const { ADMS, SMTS, SSIRWS } = this.capabilities;
    if (ttm === TranslationTableMode.SCALABLE && SMTS !== 0) {
      return ssirwe && SSIRWS !== 0 ? this.scalableWithIo : this.scalable;
    }
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

  private ownSpace(key: string, walker: PassThroughWalker, inputWidth: number): AddressSpace {
    const space = new AddressSpace(passThroughLayout(key, walker, inputWidth));
    this.domains.add(NO_DOMAIN, NO_PASID, space);
    return space;
  }

  /** The space that stands for all devices while remapping is off. */
  private disabledSpace(): AddressSpace {
    const space = this.ownSpace("disabled", new PassThroughWalker(null), 57);
    space.attachments.add({
      sourceId: ANY_SOURCE,
      way: OWN_WAY,
      space,
      suppressed: false,
      deviceTlb: false,
      place: -1,
    });
    this.sourceTags.update(space);
    return space;
  }
}
