import { PERMISSION_DOMAINS } from "./domain-table.ts";
import type { DomainTable, PasidScope } from "./domain-table.ts";
import type { Iotlb } from "./iotlb.ts";
import type { PagingStructureCache } from "./paging-structure-cache.ts";

/** Pages probed one by one for one PASID; beyond that its spaces are invalidated as a whole. */
const MOST_PROBES = 512;
/** Above 2 MiB a range is not probed. */
const MOST_ORDER = 9;

/**
 * Invalidates the IOTLB and the paging-structure cache (VT-d 6.5.2.3, 6.5.2.4). Never scans them:
 * a space gets a new tag, or the slots where a page would lie are looked at.
 */
export class IotlbInvalidation {
  private readonly domains: DomainTable;
  private readonly iotlb: Iotlb;
  private readonly cache: PagingStructureCache;

  constructor(domains: DomainTable, iotlb: Iotlb, cache: PagingStructureCache) {
    this.domains = domains;
    this.iotlb = iotlb;
    this.cache = cache;
  }

  /** Everything. */
  all(): void {
    this.domains.retagAll();
  }

  /** Everything of a domain. */
  domain(domainId: number): void {
    this.domains.domains.get(domainId)?.retagAll();
  }

  /** Everything that host permission tables said. */
  permissions(): void {
    for (const domain of this.domains.filled.items) {
      if (domain.domainId >= PERMISSION_DOMAINS) domain.retagAll();
    }
  }

  /** Everything of a PASID in a domain. */
  pasid(domainId: number, pasid: number): void {
    this.domains.domains.get(domainId)?.pasids.get(pasid)?.retagAll();
  }

  /**
   * The second-stage and pass-through pages of a domain that overlap 2^order pages of 4 KiB, and all
   * that went through a first stage there. With `leafOnly` cached paging structures stay.
   */
  pages(domainId: number, hi: number, lo: number, order: number, leafOnly: boolean): void {
    const scopes = this.domains.get(domainId)?.filled.items;
    if (scopes === undefined) return;
    // from the end: a scope that is invalidated as a whole leaves the list
    for (let i = scopes.length - 1; i >= 0; i -= 1) {
      const scope = scopes[i]!;
      if (scope.hasFirstStage) scope.retagAll();
      else this.probe(scope, hi, lo, order, leafOnly);
    }
  }

  /** The first-stage and nested pages of a PASID in a domain that overlap the range. */
  pasidPages(
    domainId: number,
    pasid: number,
    hi: number,
    lo: number,
    order: number,
    leafOnly: boolean,
  ): void {
    const scope = this.domains.domains.get(domainId)?.pasids.get(pasid);
    if (scope?.hasFirstStage === true) this.probe(scope, hi, lo, order, leafOnly);
  }

  private probe(scope: PasidScope, hi: number, lo: number, order: number, leafOnly: boolean): void {
    const spaces = scope.filled.items;
    if (order > MOST_ORDER || spaces.length << order > MOST_PROBES) {
      scope.retagAll();
      return;
    }
    const base = lo & -(1 << (12 + order));
    for (let i = 0; i < spaces.length; i += 1) {
      this.iotlb.drop(spaces[i]!.tag, hi, base, order);
      if (!leafOnly) this.cache.drop(spaces[i]!.tag, hi, base);
    }
  }
}
