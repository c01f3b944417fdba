import type { AddressSpace, SpaceScope } from "./address-space.ts";
import { PlacedList } from "./placed-list.ts";
import type { Placed } from "./placed-list.ts";
import type { SourceTags } from "./source-tags.ts";
import type { TagCounter } from "./tag-counter.ts";

/**
 * In place of a PASID: the second stages of nested translation, of which all PASIDs of a domain have
 * the same (VT-d 6.2.1: what is cached of them is tagged by the domain alone).
 */
export const BELOW_FIRST_STAGE = -2;

/** Domain of the engine's own spaces; no domain-id. */
export const NO_DOMAIN = -1;

/** Domains of host permission tables are numbered from here on: HPTDIDs are no domain-ids. */
export const PERMISSION_DOMAINS = 0x1_0000;

/** What a domain table works with. */
export interface DomainTableOptions {
  readonly tags: TagCounter;
  readonly sourceTags: SourceTags;
  /** Empties the caches; called when the tags run out. */
  readonly clearCaches: () => void;
}

/**
 * The address spaces that cached ways lead to, by domain and PASID, so that an invalidation finds
 * what it covers. Each level lists those members that have been filled since they were last
 * invalidated: an invalidation costs what was filled before it, however many spaces there are.
 */
export class DomainTable {
  readonly domains: Map<number, Domain> = new Map<number, Domain>();
  readonly filled: PlacedList<Domain> = new PlacedList<Domain>();
  private readonly options: DomainTableOptions;
  private last: Domain | undefined;

  constructor(options: DomainTableOptions) {
    this.options = options;
  }

  /** A domain that has spaces. Invalidations come in rows for one domain: the last one is kept. */
  get(domainId: number): Domain | undefined {
    if (this.last?.domainId !== domainId) this.last = this.domains.get(domainId);
    return this.last;
  }

  /** The space of this key, if a way already leads to it. */
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
    const { under } = space;
    if (under === null) return;
    if (under.scope === null) this.add(domainId, BELOW_FIRST_STAGE, under);
    under.users += 1;
  }

  /** A domain has no spaces left. */
  forget(domainId: number): void {
    this.domains.delete(domainId);
    this.last = undefined;
  }

  /** Makes everything unreachable that is cached for a space. */
  retag(space: AddressSpace): void {
    const { tags, sourceTags } = this.options;
    if (tags.exhausted) this.restartTags();
    space.tag = tags.next();
    sourceTags.update(space);
  }

  /** Makes everything unreachable that is cached for any space. */
  retagAll(): void {
    for (let domain = this.filled.take(); domain; domain = this.filled.take()) domain.retagAll();
  }

  private restartTags(): void {
    this.options.clearCaches();
    this.options.tags.restart();
    for (const domain of this.domains.values()) {
      for (const scope of domain.pasids.values()) {
        for (const space of scope.spaces.values()) this.retag(space);
      }
    }
  }
}

/** The spaces of one domain-id. */
export class Domain implements Placed {
  place = -1;
  readonly domainId: number;
  readonly table: DomainTable;
  readonly pasids: Map<number, PasidScope> = new Map<number, PasidScope>();
  readonly filled: PlacedList<PasidScope> = new PlacedList<PasidScope>();

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
    this.table.forget(this.domainId);
  }
}

/** The spaces of one PASID (or of requests without) in a domain. */
export class PasidScope implements Placed, SpaceScope {
  place = -1;
  readonly pasid: number;
  readonly domain: Domain;
  /** True when there is, or was, a space with a first stage. */
  hasFirstStage = false;
  readonly spaces: Map<string, AddressSpace> = new Map<string, AddressSpace>();
  readonly filled: PlacedList<AddressSpace> = new PlacedList<AddressSpace>();

  constructor(pasid: number, domain: Domain) {
    this.pasid = pasid;
    this.domain = domain;
  }

  noteFilled(space: AddressSpace): void {
    this.filled.add(space);
    if (this.place < 0) this.domain.filled.add(this);
    if (this.domain.place < 0) this.domain.table.filled.add(this.domain);
    // what empties a second stage empties the nested spaces above it, too: it is noted with them
    const { under } = space;
    if (under !== null && under.place < 0) under.scope!.noteFilled(under);
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
    const { under } = space;
    if (under === null) return;
    under.users -= 1;
    if (under.users === 0) under.scope!.drop(under);
  }
}
