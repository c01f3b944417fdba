import type { HookTable, Invalidation } from "@viommu/plugin";
import type { TranslationEngine } from "@viommu/translation";
import type { Capabilities } from "@viommu/vtd-spec";
import { EVERYTHING } from "./page-range.ts";

/** Levels of a host permission table. */
const ALL_LEVELS = 4;

/** Number of interrupt entries that stands for all of them. */
const ALL_INTERRUPT_ENTRIES = 65536;

/**
 * Carries out invalidations, whichever way they were asked for: the engine's caches first, then the
 * observers. Interrupt entries and device-TLBs have no cache in the unit, so only observers hear.
 */
export class Invalidator {
  readonly #engine: TranslationEngine;
  readonly #hooks: HookTable;
  readonly #unit: string;
  readonly #hasPasidCache: boolean;
  readonly #hasPermissions: boolean;

  constructor(
    engine: TranslationEngine,
    capabilities: Capabilities,
    hooks: HookTable,
    unit: string,
  ) {
    this.#engine = engine;
    this.#hasPasidCache = capabilities.SMTS !== 0;
    this.#hasPermissions = capabilities.HPTS !== 0;
    this.#hooks = hooks;
    this.#unit = unit;
  }

  contextGlobal(): void {
    this.#engine.invalidateContextGlobal();
    this.#tellContext("global", 0, 0, 0);
  }

  contextDomain(domainId: number): void {
    this.#engine.invalidateContextDomain(domainId);
    this.#tellContext("domain", domainId, 0, 0);
  }

  /** `functionMask` holds the bits of the function number to ignore: 0, 4, 6 or 7. */
  contextDevice(domainId: number, sourceId: number, functionMask: number): void {
    this.#engine.invalidateContextDevice(domainId, sourceId, functionMask);
    this.#tellContext("device", domainId, sourceId, functionMask);
  }

  iotlbGlobal(): void {
    this.#engine.invalidateIotlbGlobal();
    this.#tellIotlb("global", 0, 0, 0, EVERYTHING, false);
  }

  iotlbDomain(domainId: number): void {
    this.#engine.invalidateIotlbDomain(domainId);
    this.#tellIotlb("domain", domainId, 0, 0, EVERYTHING, false);
  }

  /** 2^order pages from a naturally aligned address on. */
  iotlbPages(domainId: number, hi: number, lo: number, order: number, leafOnly: boolean): void {
    this.#engine.invalidateIotlbPages(domainId, hi, lo, order, leafOnly);
    this.#tellIotlb("page", domainId, hi, lo, order, leafOnly);
  }

  pasidCacheGlobal(): void {
    this.#engine.invalidatePasidCacheGlobal();
    this.#tellPasidCache("global", 0, 0);
  }

  pasidCacheDomain(domainId: number): void {
    this.#engine.invalidatePasidCacheDomain(domainId);
    this.#tellPasidCache("domain", domainId, 0);
  }

  pasidCachePasid(domainId: number, pasid: number): void {
    this.#engine.invalidatePasidCachePasid(domainId, pasid);
    this.#tellPasidCache("pasid", domainId, pasid);
  }

  pasidIotlb(domainId: number, pasid: number): void {
    this.#engine.invalidatePasidIotlb(domainId, pasid);
    const tell = this.#hooks.invalidate;
    if (tell === null) return;
    const everywhere = { hi: 0, lo: 0, order: EVERYTHING, leafOnly: false };
    tell(this.#unit, {
      kind: "pasid-iotlb",
      granularity: "pasid",
      domainId,
      pasid,
      ...everywhere,
    });
  }

  /** 2^order pages from a naturally aligned address on. */
  pasidIotlbPages(
    domainId: number,
    pasid: number,
    hi: number,
    lo: number,
    order: number,
    leafOnly: boolean,
  ): void {
    this.#engine.invalidatePasidIotlbPages(domainId, pasid, hi, lo, order, leafOnly);
    const tell = this.#hooks.invalidate;
    if (tell === null) return;
    tell(this.#unit, {
      kind: "pasid-iotlb",
      granularity: "page",
      domainId,
      pasid,
      hi,
      lo,
      order,
      leafOnly,
    });
  }

  hostPermissionsGlobal(): void {
    this.#engine.invalidateHostPermissionsGlobal();
    this.#tellHostPermissions("global", 0, 0, 0, EVERYTHING, ALL_LEVELS);
  }

  /** `levels`: entries of levels 1 to this one; the engine keeps answers, which may come from any. */
  hostPermissionsDomain(hptDomainId: number, levels: number): void {
    this.#engine.invalidateHostPermissionsDomain(hptDomainId);
    this.#tellHostPermissions("domain", hptDomainId, 0, 0, EVERYTHING, levels);
  }

  /** 2^order pages from a naturally aligned host physical address on. */
  hostPermissionsPages(
    hptDomainId: number,
    hi: number,
    lo: number,
    order: number,
    levels: number,
  ): void {
    this.#engine.invalidateHostPermissionsPages(hptDomainId, hi, lo, order);
    this.#tellHostPermissions("page", hptDomainId, hi, lo, order, levels);
  }

  /** Everything that DMA remapping caches, as part of SRTP or of switching translation off. */
  allTranslations(): void {
    this.contextGlobal();
    if (this.#hasPasidCache) this.pasidCacheGlobal();
    this.iotlbGlobal();
    if (this.#hasPermissions) this.hostPermissionsGlobal();
  }

  /** The entries from `index` on; they are read anew for each interrupt, so nothing is dropped. */
  interruptEntries(index: number, count: number): void {
    const tell = this.#hooks.invalidate;
    if (tell !== null) tell(this.#unit, { kind: "interrupt-entry", index, count });
  }

  allInterruptEntries(): void {
    this.interruptEntries(0, ALL_INTERRUPT_ENTRIES);
  }

  /** A device is asked to drop translations; `pasid` as in the request. */
  deviceTlb(sourceId: number, pasid: number, hi: number, lo: number, order: number): void {
    const tell = this.#hooks.invalidate;
    if (tell === null) return;
    tell(this.#unit, { kind: "device-tlb", sourceId, pasid, hi, lo, order });
  }

  #tellContext(
    granularity: Extract<Invalidation, { kind: "context" }>["granularity"],
    domainId: number,
    sourceId: number,
    functionMask: number,
  ): void {
    const tell = this.#hooks.invalidate;
    if (tell === null) return;
    tell(this.#unit, { kind: "context", granularity, domainId, sourceId, functionMask });
  }

  #tellIotlb(
    granularity: Extract<Invalidation, { kind: "iotlb" }>["granularity"],
    domainId: number,
    hi: number,
    lo: number,
    order: number,
    leafOnly: boolean,
  ): void {
    const tell = this.#hooks.invalidate;
    if (tell === null) return;
    tell(this.#unit, { kind: "iotlb", granularity, domainId, hi, lo, order, leafOnly });
  }

  #tellHostPermissions(
    granularity: Extract<Invalidation, { kind: "host-permission" }>["granularity"],
    domainId: number,
    hi: number,
    lo: number,
    order: number,
    levels: number,
  ): void {
    const tell = this.#hooks.invalidate;
    if (tell === null) return;
    tell(this.#unit, { kind: "host-permission", granularity, domainId, hi, lo, order, levels });
  }

  #tellPasidCache(
    granularity: Extract<Invalidation, { kind: "pasid-cache" }>["granularity"],
    domainId: number,
    pasid: number,
  ): void {
    const tell = this.#hooks.invalidate;
    if (tell === null) return;
    tell(this.#unit, { kind: "pasid-cache", granularity, domainId, pasid });
  }
}
