import type { AddressSpace, SpaceScope } from "./address-space.ts";
import { FilledList } from "./filled-list.ts";
import type { Fillable } from "./filled-list.ts";
import type { TagCounter } from "./tag-counter.ts";

/**
 * The address spaces that cached entries lead to, by domain and PASID, so that an invalidation finds
 * what it covers. Each level lists those members that have been filled since they were last
 * invalidated: an invalidation costs what was filled before it, however many spaces there are.
 */
export class DomainTable {
  readonly domains = new Map<number, Domain>();
  readonly filled = new FilledList<Domain>();
  private readonly tags: TagCounter;
  private readonly clearCaches: () => void;

  /** @param clearCaches empties the caches; called when the tags run out */
  constructor(tags: TagCounter, clearCaches: () => void) {
    this.tags = tags;
    this.clearCaches = clearCaches;
  }

  /** The space of this key, if an entry already leads to it. */
  find(domainId: number, pasid: number, key: string): AddressSpace | undefined {
    return this.domains.get(domainId)?.pasids.get(pasid)?.spaces.get(key);
  }

  /** Registers a space: from now on results can be cached for it. */
  add(domainId: number, pasid: number, space: AddressSpace): void {
    let domain = this.domains.get(domainId);
    if (domain === undefined) {
      domain = new Domain(domainId, this);
      this.domains.set(domainId, domain);
    }
    let scope = domain.pasids.get(pasid);
    if (scope === undefined) {
      scope = new PasidScope(pasid, domain);
      domain.pasids.set(pasid, scope);
    }
    scope.spaces.set(space.key, space);
    if (space.firstStage) scope.hasFirstStage = true;
    space.scope = scope;
    this.retag(space);
  }

  /** Makes everything unreachable that is cached for a space. */
  retag(space: AddressSpace): void {
    if (this.tags.exhausted) this.restartTags();
    space.retag(this.tags.next());
  }

  private restartTags(): void {
    this.clearCaches();
    this.tags.restart();
    for (const domain of this.domains.values()) {
      for (const scope of domain.pasids.values()) {
        for (const space of scope.spaces.values()) space.retag(this.tags.next());
      }
    }
  }

  /** Invalidates all spaces. */
  retagAll(): void {
    for (let domain = this.filled.take(); domain; domain = this.filled.take()) domain.retagAll();
  }
}

/** The spaces of one domain-id. */
export class Domain implements Fillable {
  filledAt = -1;
  readonly domainId: number;
  readonly table: DomainTable;
  readonly pasids = new Map<number, PasidScope>();
  readonly filled = new FilledList<PasidScope>();

  constructor(domainId: number, table: DomainTable) {
    this.domainId = domainId;
    this.table = table;
  }

  /** Invalidates all spaces of the domain. */
  retagAll(): void {
    for (let scope = this.filled.take(); scope; scope = this.filled.take()) scope.retagAll();
  }

  /** Forgets a PASID that has no spaces left. */
  drop(scope: PasidScope): void {
    this.filled.remove(scope);
    this.pasids.delete(scope.pasid);
    if (this.pasids.size > 0) return;
    this.table.filled.remove(this);
    this.table.domains.delete(this.domainId);
  }
}

/** The spaces of one PASID (or of requests without) in a domain. */
export class PasidScope implements Fillable, SpaceScope {
  filledAt = -1;
  readonly pasid: number;
  readonly domain: Domain;
  /** True when there is, or was, a space with a first stage. */
  hasFirstStage = false;
  readonly spaces = new Map<string, AddressSpace>();
  readonly filled = new FilledList<AddressSpace>();

  constructor(pasid: number, domain: Domain) {
    this.pasid = pasid;
    this.domain = domain;
  }

  noteFilled(space: AddressSpace): void {
    this.filled.add(space);
    if (this.filledAt < 0) this.domain.filled.add(this);
    if (this.domain.filledAt < 0) this.domain.table.filled.add(this.domain);
  }

  /** Invalidates all spaces of the PASID. */
  retagAll(): void {
    for (let space = this.filled.take(); space; space = this.filled.take()) {
      this.domain.table.retag(space);
    }
    this.domain.filled.remove(this);
  }

  drop(space: AddressSpace): void {
    this.filled.remove(space);
    this.spaces.delete(space.key);
    space.scope = null;
    if (this.spaces.size === 0) this.domain.drop(this);
  }
}
