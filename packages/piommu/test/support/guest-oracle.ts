/** Rights are 1 to read, 2 to write. */
export interface Leaf {
  readonly gfn: number;
  readonly rights: number;
  /** First page and number of pages of the whole leaf. */
  readonly first: number;
  readonly pages: number;
}

/** What a device's requests meet. */
export type Context =
  | { readonly kind: "none" }
  | { readonly kind: "pass" }
  | { readonly kind: "shadow"; readonly domainId: number; readonly root: number }
  | FirstStageContext;

/** First-stage tables, on guest-physical addresses or on a second stage of the guest. */
export interface FirstStageContext {
  readonly kind: "first";
  readonly domainId: number;
  readonly root: number;
  /** Root of the second stage; -1 without. */
  readonly second: number;
}

export const NONE: Context = { kind: "none" };

/**
 * What devices must reach, kept in plain maps of single pages: the guest's tables as they are, what
 * of them the last completed invalidations have shown, and the p2m.
 */
export class GuestOracle {
  translation = false;
  /** The guest's tables by root: 2 MiB blocks that are a page, or hold pages. */
  readonly tables = new Map<number, Map<number, Leaf | Map<number, Leaf>>>();
  /** The guest's context entries, now. */
  readonly contexts = new Map<number, Context>();
  /** Context entries as of the last invalidation, of the devices that are assigned. */
  readonly seen = new Map<number, Context>();
  readonly shadows = new Map<string, Map<number, Leaf>>();
  readonly p2m = new Map<number, { readonly mfn: number; readonly rights: number }>();
  /** Frames written since they were told of last. */
  readonly dirty = new Set<number>();
  tracking = false;
  /** Shadows by device. */
  readonly #uses = new Map<number, string>();

  /** The host frame that a device must reach; -1 where it must be blocked. */
  reach(sourceId: number, dfn: number, need: number): number {
    return this.frame(this.gfnOf(sourceId, dfn, need), need);
  }

  /** The host frame of a guest frame; -1 where a device can't have it. */
  frame(gfn: number, need: number): number {
    const frame = gfn < 0 ? undefined : this.p2m.get(gfn);
    return frame !== undefined && (frame.rights & need) === need ? frame.mfn : -1;
  }

  /** The guest frame behind it; -1 where the guest's side blocks. */
  gfnOf(sourceId: number, dfn: number, need: number): number {
    const context = this.seen.get(sourceId);
    if (context === undefined) return -1;
    if (!this.translation || context.kind === "pass") return dfn;
    const key = keyOf(context);
    return key === null ? -1 : gfnIn(this.shadows.get(key)!, dfn, need);
  }

  /**
   * For each device, the guest frame behind a page if its context entry stays what it is, and its
   * tables are read now: what a device can meet that has still to be switched.
   */
  unswitched(): (sourceId: number, dfn: number, need: number) => number {
    const uses = new Map(this.#uses);
    return (sourceId, dfn, need) => {
      const key = uses.get(sourceId);
      if (key === undefined) return -1;
      return gfnIn(this.#flat(key), dfn, need);
    };
  }

  map(root: number, dfn: number, pages: number, gfn: number, rights: number): void {
    const blocks = this.tables.get(root)!;
    const block = Math.floor(dfn / 512);
    if (pages === 512) {
      blocks.set(block, { gfn, rights, first: dfn, pages });
      return;
    }
    const known = blocks.get(block);
    const pageMap = known instanceof Map ? known : new Map<number, Leaf>();
    pageMap.set(dfn, { gfn, rights, first: dfn, pages });
    blocks.set(block, pageMap);
  }

  unmap(root: number, dfn: number, pages: number): void {
    const blocks = this.tables.get(root)!;
    const block = Math.floor(dfn / 512);
    const known = blocks.get(block);
    if (pages === 512) blocks.delete(block);
    else if (known instanceof Map) known.delete(dfn);
    else blocks.set(block, new Map());
  }

  assign(sourceId: number): void {
    this.seen.set(sourceId, NONE);
    this.evaluate([sourceId]);
  }

  unassign(sourceId: number): void {
    this.seen.delete(sourceId);
    this.#uses.delete(sourceId);
    this.#dropUnused(new Map());
  }

  setTranslation(on: boolean): void {
    this.translation = on;
    this.everything();
  }

  /** Context entries and tables are all read anew. */
  everything(): void {
    this.evaluate([...this.seen.keys()]);
    for (const key of this.shadows.keys()) this.shadows.set(key, this.#flat(key));
  }

  /** Context entries of some devices are read anew, one device after the other. */
  evaluate(sourceIds: readonly number[]): void {
    const joining = new Map<number, string | null>();
    for (const sourceId of sourceIds) {
      const context = this.contextNow(sourceId);
      this.seen.set(sourceId, context);
      const key = this.translation ? keyOf(context) : null;
      if (key === (this.#uses.get(sourceId) ?? null)) continue;
      if (key === null && !(this.translation && context.kind === "first")) {
        // it leaves its shadow at once; those that go to another one, when all are read
        this.#uses.delete(sourceId);
        this.#dropUnused(joining);
      } else {
        joining.set(sourceId, key);
        if (key !== null && !this.shadows.has(key)) this.shadows.set(key, this.#flat(key));
      }
    }
    for (const [sourceId, key] of joining) {
      if (key === null) this.#uses.delete(sourceId);
      else this.#uses.set(sourceId, key);
    }
    this.#dropUnused(joining);
  }

  contextDomain(domainId: number): void {
    const isMeant = (context: Context): boolean =>
      context.kind === "none" ||
      !this.translation ||
      (context.kind === "shadow" && context.domainId === domainId) ||
      (context.kind === "pass" && domainId === PASS_DOMAIN);
    this.evaluate([...this.seen].filter(([, context]) => isMeant(context)).map(([id]) => id));
  }

  /** `domainId` null: of all domains. */
  iotlb(domainId: number | null, first = 0, pages = Infinity): void {
    for (const [key, shadow] of this.shadows) {
      if (domainId !== null && Number(key.split(",")[0]) !== domainId) continue;
      const now = this.#flat(key);
      let from = first;
      let end = first + pages;
      // a page is invalidated as a whole, the old one and the new one
      for (let before = -1; before !== end - from;) {
        before = end - from;
        for (const map of [shadow, now]) {
          for (const leaf of map.values()) {
            if (leaf.first >= end || leaf.first + leaf.pages <= from) continue;
            from = Math.min(from, leaf.first);
            end = Math.max(end, leaf.first + leaf.pages);
          }
        }
      }
      for (const dfn of [...shadow.keys()]) if (dfn >= from && dfn < end) shadow.delete(dfn);
      for (const [dfn, leaf] of now) if (dfn >= from && dfn < end) shadow.set(dfn, leaf);
    }
  }

  /** What the guest's tables say now. */
  protected contextNow(sourceId: number): Context {
    return this.contexts.get(sourceId) ?? NONE;
  }

  #dropUnused(joining: ReadonlyMap<number, string | null>): void {
    const used = new Set<string | null>([...this.#uses.values(), ...joining.values()]);
    for (const key of [...this.shadows.keys()]) if (!used.has(key)) this.shadows.delete(key);
  }

  #flat(key: string): Map<number, Leaf> {
    const flat = new Map<number, Leaf>();
    for (const [block, content] of this.tables.get(Number(key.split(",")[1]))!) {
      if (content instanceof Map) for (const [dfn, leaf] of content) flat.set(dfn, leaf);
      else for (let i = 0; i < 512; i++) flat.set(512 * block + i, content);
    }
    return flat;
  }
}

/** Domain of pass-through context entries. */
export const PASS_DOMAIN = 9;

/** Names the shadow that is needed; null without one. */
export function keyOf(context: Context): string | null {
  if (context.kind === "shadow") return `${context.domainId},${context.root}`;
  if (context.kind !== "first" || context.second < 0) return null;
  return `${context.domainId},${context.second},parent`;
}

/** The guest frame behind a page; -1 without the rights. */
export function gfnIn(pages: ReadonlyMap<number, Leaf>, dfn: number, need: number): number {
  const leaf = pages.get(dfn);
  return leaf !== undefined && (leaf.rights & need) === need ? leaf.gfn + dfn - leaf.first : -1;
}
