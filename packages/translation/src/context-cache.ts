import { AddressSpace } from "./address-space.ts";
import type { Attachment, SpaceLayout } from "./address-space.ts";
import type { DomainTable } from "./domain-table.ts";

/** With more ways than this, all are dropped and the cache begins again: it stays bounded. */
const MOST_WAYS = 0x1_0000;

/** `Attachment.way` of requests without PASID. */
export const OWN_WAY = -1;

/** `Attachment.way` of requests with PASID; rights of supervisor requests are their own. */
export function pasidWay(pasid: number, privileged: boolean): number {
  return pasid * 2 + (privileged ? 1 : 0);
}

/** What the entries on the way from a requester to its space say. */
export interface Route {
  readonly domainId: number;
  /** 20 bits; NO_PASID in legacy mode. */
  readonly pasid: number;
  readonly layout: SpaceLayout;
  readonly attachment: Omit<Attachment, "space">;
}

/**
 * Context-cache and PASID-cache in one (VT-d 6.2.2, 6.2.3): the ways from requesters to their
 * address spaces. A way that ends in a fault is never cached, whatever CAP.CM says.
 *
 * For requests without PASID there is a second table, which the hit path reads: by bus and
 * device-function straight to the space.
 */
export class ContextCache {
  /** `spaces[bus][devfn]`, everywhere a space. Buses with nothing cached share one table. */
  readonly spaces: AddressSpace[][];
  private readonly nothing: AddressSpace;
  private readonly emptyBus: AddressSpace[];
  private readonly ways = new Map<number, Map<number, Attachment>>();
  private readonly domains: DomainTable;
  private count = 0;

  /** @param nothing the space of requesters with nothing cached; no IOTLB entry ever matches it */
  constructor(domains: DomainTable, nothing: AddressSpace) {
    this.domains = domains;
    this.nothing = nothing;
    this.emptyBus = new Array<AddressSpace>(256).fill(nothing);
    this.spaces = new Array<AddressSpace[]>(256).fill(this.emptyBus);
  }

  /** The cached way of a requester, or undefined. */
  find(sourceId: number, way: number): Attachment | undefined {
    return this.ways.get(sourceId)?.get(way);
  }

  /**
   * The space that entries describe; shared with other requesters of the domain and PASID whose
   * entries say the same. With `keep` the way to it is cached.
   */
  connect(route: Route, keep: boolean): AddressSpace {
    if (keep && this.count >= MOST_WAYS) this.invalidateAll();
    const { domainId, pasid, layout } = route;
    const known = this.domains.find(domainId, pasid, layout.key);
    const space = known ?? new AddressSpace(layout);
    if (keep) {
      if (known === undefined) this.domains.add(domainId, pasid, space);
      this.add({ ...route.attachment, space });
    }
    return space;
  }

  /** Drops everything. */
  invalidateAll(): void {
    for (const sourceId of this.ways.keys()) this.invalidateSource(sourceId);
  }

  /** Drops the ways of source-ids that equal this one but for the ignored bits. */
  invalidateDevice(sourceId: number, ignoredBits: number): void {
    const base = sourceId & ~ignoredBits;
    // all subsets of the ignored bits
    for (let bits = ignoredBits; bits > 0; bits = (bits - 1) & ignoredBits) {
      this.invalidateSource(base | bits);
    }
    this.invalidateSource(base);
  }

  /** Drops the ways that lead into a domain. */
  invalidateDomain(domainId: number): void {
    const domain = this.domains.domains.get(domainId);
    if (domain === undefined) return;
    for (const pasid of domain.pasids.keys()) this.invalidatePasid(domainId, pasid);
  }

  /** Drops the ways that lead to a PASID of a domain. */
  invalidatePasid(domainId: number, pasid: number): void {
    const scope = this.domains.domains.get(domainId)?.pasids.get(pasid);
    if (scope === undefined) return;
    for (const space of scope.spaces.values()) {
      for (const attachment of space.attachments) this.detach(attachment);
    }
  }

  private add(attachment: Attachment): void {
    const { sourceId, way, space } = attachment;
    let ways = this.ways.get(sourceId);
    if (ways === undefined) {
      ways = new Map();
      this.ways.set(sourceId, ways);
    }
    ways.set(way, attachment);
    this.count += 1;
    space.attachments.add(attachment);
    if (way === OWN_WAY) {
      const bus = sourceId >>> 8;
      if (this.spaces[bus] === this.emptyBus) this.spaces[bus] = this.emptyBus.slice();
      this.spaces[bus]![sourceId & 0xff] = space;
    }
  }

  private invalidateSource(sourceId: number): void {
    const ways = this.ways.get(sourceId);
    if (ways === undefined) return;
    for (const attachment of ways.values()) this.detach(attachment);
  }

  private detach(attachment: Attachment): void {
    const { sourceId, way, space } = attachment;
    const ways = this.ways.get(sourceId)!;
    ways.delete(way);
    if (ways.size === 0) this.ways.delete(sourceId);
    this.count -= 1;
    if (way === OWN_WAY) this.spaces[sourceId >>> 8]![sourceId & 0xff] = this.nothing;
    space.attachments.delete(attachment);
    if (space.attachments.size === 0) space.scope!.drop(space);
  }
}
