import { AddressSpace, OWN_WAY } from "./address-space.ts";
import type { Attachment, SpaceLayout } from "./address-space.ts";
import { BELOW_FIRST_STAGE, PERMISSION_DOMAINS } from "./domain-table.ts";
import type { DomainTable, PasidScope } from "./domain-table.ts";
import type { SourceTags } from "./source-tags.ts";

/** With more ways than this, all are dropped and the cache begins again: it stays bounded. */
const MOST_WAYS = 0x1_0000;

/** What the entries on the way from a requester to its space say. */
export interface Route {
  /** A domain-id, or where a domain table keeps spaces that have none. */
  readonly domainId: number;
  /** 20 bits; NO_PASID in legacy mode. */
  readonly pasid: number;
  readonly layout: SpaceLayout;
  readonly sourceId: number;
  /** OWN_WAY, {@link pasidWay} or {@link translatedWay}. */
  readonly way: number;
  readonly suppressed: boolean;
  readonly deviceTlb: boolean;
}

/** `Attachment.way` of requests with PASID; rights of supervisor requests are their own. */
export function pasidWay(pasid: number, privileged: boolean): number {
  return pasid * 2 + (privileged ? 1 : 0);
}

/**
 * `Attachment.way` of translated requests.
 * @param pasid 20 bits, or NO_PASID
 */
export function translatedWay(pasid: number): number {
  return OWN_WAY - 2 - pasid;
}

/**
 * Context-cache and PASID-cache in one (VT-d 6.2.2, 6.2.3): the ways from requesters to their
 * address spaces. A way that ends in a fault is never cached, whatever CAP.CM says.
 */
export class ContextCache {
  private readonly domains: DomainTable;
  private readonly sourceTags: SourceTags;
  /** Ways of requests without PASID, by bus and device-function; buses without share a table. */
  private readonly own: (Attachment | null)[][];
  private readonly emptyBus: (Attachment | null)[];
  /** All other ways, by source-id. */
  private readonly others = new Map<number, Map<number, Attachment>>();
  /** Those of them that lead to host permission tables: PASID table entries of any domain name them. */
  private readonly permitted = new Set<Attachment>();
  /** All source-ids with an own way. */
  private readonly owners = new Set<number>();
  private count = 0;

  constructor(domains: DomainTable, sourceTags: SourceTags) {
    this.domains = domains;
    this.sourceTags = sourceTags;
    this.emptyBus = Array.from({ length: 256 }, () => null);
    this.own = Array.from({ length: 256 }, () => this.emptyBus);
  }

  /** The cached way of requests without PASID, or null. */
  find(sourceId: number): Attachment | null {
    return this.own[sourceId >>> 8]![sourceId & 0xff]!;
  }

  /** Any other cached way, or null. */
  findOther(sourceId: number, way: number): Attachment | null {
    return this.others.get(sourceId)?.get(way) ?? null;
  }

  /**
   * The space that entries describe; shared with other requesters of the domain and PASID whose
   * entries say the same. With `keep` the way to it is cached.
   */
  connect(route: Route, keep: boolean): AddressSpace {
    if (keep && this.count >= MOST_WAYS) this.invalidateAll();
    const { domainId, pasid, layout } = route;
    const known = this.domains.find(domainId, pasid, layout.key);
    const space = known ?? this.spaceFor(domainId, layout);
    if (!keep) return space;
    if (known === undefined) this.domains.add(domainId, pasid, space);
    const { sourceId, way, suppressed, deviceTlb } = route;
    const attachment = { sourceId, way, space, suppressed, deviceTlb, place: -1 };
    this.attach(attachment);
    if (domainId >= PERMISSION_DOMAINS) this.permitted.add(attachment);
    return space;
  }

  /** A new space; nested ones of a domain share their second stage. */
  private spaceFor(domainId: number, layout: SpaceLayout): AddressSpace {
    const { under } = layout;
    if (under === null) return new AddressSpace(layout);
    const known = this.domains.find(domainId, BELOW_FIRST_STAGE, under.key);
    return new AddressSpace(layout, known ?? new AddressSpace(under));
  }

  /** Drops everything. */
  invalidateAll(): void {
    for (const sourceId of this.owners) this.invalidateSource(sourceId);
    for (const sourceId of this.others.keys()) this.invalidateSource(sourceId);
  }

  /** Drops the ways of source-ids that equal this one but for the ignored bits. */
  invalidateDevice(sourceId: number, ignoredBits: number): void {
    const base = sourceId & 0xffff & ~ignoredBits;
    // all subsets of the ignored bits
    for (let bits = ignoredBits; bits > 0; bits = (bits - 1) & ignoredBits) {
      this.invalidateSource(base | bits);
    }
    this.invalidateSource(base);
  }

  /** Drops the ways that lead into a domain, and all to host permission tables. */
  invalidateDomain(domainId: number): void {
    this.invalidatePermitted();
    const domain = this.domains.domains.get(domainId);
    if (domain === undefined) return;
    for (const scope of domain.pasids.values()) this.detachAll(scope);
  }

  /** Drops the ways that lead to a PASID of a domain, and all to host permission tables. */
  invalidatePasid(domainId: number, pasid: number): void {
    this.invalidatePermitted();
    const scope = this.domains.domains.get(domainId)?.pasids.get(pasid);
    if (scope !== undefined) this.detachAll(scope);
  }

  private invalidatePermitted(): void {
    for (const attachment of this.permitted) this.detach(attachment);
  }

  private detachAll(scope: PasidScope): void {
    for (const space of scope.spaces.values()) {
      const { items } = space.attachments;
      while (items.length > 0) this.detach(items.at(-1)!);
    }
  }

  private attach(attachment: Attachment): void {
    const { sourceId, way, space } = attachment;
    this.count += 1;
    space.attachments.add(attachment);
    if (way === OWN_WAY) {
      const bus = sourceId >>> 8;
      if (this.own[bus] === this.emptyBus) this.own[bus] = this.emptyBus.slice();
      this.own[bus]![sourceId & 0xff] = attachment;
      this.owners.add(sourceId);
    } else {
      let ways = this.others.get(sourceId);
      if (ways === undefined) {
        ways = new Map();
        this.others.set(sourceId, ways);
      }
      ways.set(way, attachment);
    }
    this.sourceTags.set(sourceId, way, space.tag);
  }

  private invalidateSource(sourceId: number): void {
    const own = this.find(sourceId);
    if (own !== null) this.detach(own);
    const ways = this.others.get(sourceId);
    if (ways === undefined) return;
    for (const attachment of ways.values()) this.detach(attachment);
  }

  private detach(attachment: Attachment): void {
    const { sourceId, way, space } = attachment;
    this.count -= 1;
    if (way === OWN_WAY) {
      this.own[sourceId >>> 8]![sourceId & 0xff] = null;
      this.owners.delete(sourceId);
    } else {
      const ways = this.others.get(sourceId)!;
      ways.delete(way);
      if (ways.size === 0) this.others.delete(sourceId);
      this.permitted.delete(attachment);
    }
    this.sourceTags.forget(sourceId, way);
    space.attachments.remove(attachment);
    if (space.attachments.items.length === 0) space.scope!.drop(space);
  }
}
