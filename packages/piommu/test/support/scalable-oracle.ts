import { NO_PASID } from "@viommu/plugin";
import { gfnIn, GuestOracle, keyOf, NONE } from "./guest-oracle.ts";
import type { Context, FirstStageContext, Leaf } from "./guest-oracle.ts";

/** A PASID table entry; "broken" is present and unusable. */
export type PasidEntry = Context | { readonly kind: "broken" };

/** A scalable-mode context entry. */
export interface ContextEntry {
  readonly directory: number;
  readonly withPasid: boolean;
  readonly ridPasid: number;
  /** DTE: the guest invalidates what the device has cached itself. */
  readonly deviceTlb: boolean;
}

/** A page of a first stage as it is or was. */
type State = Pick<Leaf, "gfn" | "rights"> | null;

type Shadows = ReadonlyMap<string, ReadonlyMap<number, Leaf>>;

const NOTHING: ReadonlyMap<number, Leaf> = new Map<number, Leaf>();

/** What the unit may have cached of first-stage tables for one requester. */
interface History {
  readonly key: string;
  readonly context: FirstStageContext;
  /** Values of each page since the last invalidation that covered it. */
  readonly pages: Map<number, State[]>;
  /** What the device's own cache may have: values since the guest's last device-TLB invalidation. */
  readonly own: Map<number, State[]>;
  /** 2 MiB blocks whose table was changed since it was invalidated, not by leaf only. */
  readonly restructured: Set<number>;
}

const PASIDS = 2 ** 20;

/** Names the requests of a device with a PASID, or without. */
export const requester = (sourceId: number, pasid: number): number =>
  sourceId * 2 * PASIDS + pasid + 1;
export const pasidOf = (id: number): number => (id % (2 * PASIDS)) - 1;
export const deviceOf = (id: number): number => Math.floor(id / (2 * PASIDS));

/**
 * The oracle for guests in scalable mode. Requesters take the place of devices. First-stage tables are
 * read by the hardware itself, whenever it likes: a page may have any of the values it had since the
 * last invalidation that covered it, on top of what the second stage is now.
 */
export class ScalableOracle extends GuestOracle {
  readonly entries = new Map<number, ContextEntry>();
  /** By directory: PASID entries. */
  readonly directories = new Map<number, Map<number, PasidEntry>>();
  readonly #histories = new Map<number, History>();
  readonly #pasids: readonly number[];
  readonly #probes: readonly number[];
  readonly #devices: number[] = [];
  /** Devices with caches of their own. */
  readonly #caching = new Set<number>();
  /** DTE as of the last reading, by requester. */
  readonly #deviceTlbs = new Map<number, boolean>();
  /** RID_PASID as of the last reading, by requester. */
  readonly #ridPasids = new Map<number, number>();

  /** PASIDs of requesters, and pages that are looked at. */
  constructor(pasids: readonly number[], probes: readonly number[]) {
    super();
    this.#pasids = pasids;
    this.#probes = probes;
  }

  /** The guest frames that a requester may get for a page; -1 among them where it may be blocked. */
  gfnsOf(id: number, page: number, need: number, shadows: Shadows = this.shadows): number[] {
    const context = this.seen.get(id) ?? NONE;
    if (!this.translation && pasidOf(id) !== NO_PASID) return [-1];
    const below = this.translation ? keyOf(context) : null;
    const shadow = below === null ? null : (shadows.get(below) ?? NOTHING);
    if (context.kind !== "first" || !this.translation) {
      return [shadow === null ? this.gfnOf(id, page, need) : gfnIn(shadow, page, need)];
    }
    return this.#throughFirst(id, page, need, (gfn) =>
      shadow === null ? gfn : gfnIn(shadow, gfn, need),
    );
  }

  /**
   * The first stage that a requester's page comes from, where the entry can't be cached from before
   * the guest wrote it last; -1 elsewhere.
   */
  certainRoot(id: number, page: number): number {
    const history = this.translation ? this.#histories.get(id) : undefined;
    if (history === undefined) return -1;
    const { context, own, pages } = history;
    const isCertain = own.get(page)!.length === 1 && pages.get(page)!.length === 1;
    return isCertain ? context.root : -1;
  }

  /** What the shadows have now at some pages. */
  shadowsAt(pages: readonly number[]): Shadows {
    const copy = new Map<string, Map<number, Leaf>>();
    for (const [key, shadow] of this.shadows) {
      const leaves = pages.flatMap((page) => {
        const leaf = shadow.get(page);
        return leaf === undefined ? [] : [[page, leaf] as const];
      });
      copy.set(key, new Map(leaves));
    }
    return copy;
  }

  /** As `unswitched`, for what goes through a first stage. */
  unswitchedGfns(): (id: number, page: number, need: number) => number[] {
    const second = this.unswitched();
    const firsts = new Set(this.#histories.keys());
    return (id, page, need) => {
      if (!firsts.has(id) || !this.#histories.has(id)) return [second(id, page, need)];
      const isNested = this.#histories.get(id)!.context.second >= 0;
      return this.#throughFirst(id, page, need, (gfn) => (isNested ? second(id, gfn, need) : gfn));
    };
  }

  override map(root: number, dfn: number, pages: number, gfn: number, rights: number): void {
    this.#change(root, dfn, () => {
      super.map(root, dfn, pages, gfn, rights);
    });
  }

  override unmap(root: number, dfn: number, pages: number): void {
    this.#change(root, dfn, () => {
      super.unmap(root, dfn, pages);
    });
  }

  /** `caching`: the device has a cache of its own. */
  assignDevice(sourceId: number, caching: boolean): void {
    this.#devices.push(sourceId);
    if (caching) this.#caching.add(sourceId);
    else this.#caching.delete(sourceId);
    for (const id of this.#requestersOf(sourceId)) this.seen.set(id, NONE);
    this.evaluate(this.#requestersOf(sourceId));
  }

  unassignDevice(sourceId: number): void {
    this.#devices.splice(this.#devices.indexOf(sourceId), 1);
    for (const id of this.#requestersOf(sourceId)) {
      this.unassign(id);
      this.#histories.delete(id);
    }
  }

  /** Entries of some devices, or of all, are read anew. */
  evaluateDevices(sourceIds: readonly number[] = this.#devices): void {
    const meant = this.#devices.filter((sourceId) => sourceIds.includes(sourceId));
    this.evaluate([
      ...meant.map((sourceId) => requester(sourceId, NO_PASID)),
      ...meant.flatMap((sourceId) => this.#requestersOf(sourceId).slice(1)),
    ]);
  }

  evaluatePasid(pasid: number): void {
    const pasids = this.#pasids.includes(pasid) ? [NO_PASID, pasid] : [NO_PASID];
    this.evaluate(this.#devices.flatMap((device) => pasids.map((each) => requester(device, each))));
  }

  override everything(): void {
    this.evaluateDevices();
    super.everything();
    this.#refresh(() => true);
  }

  override evaluate(ids: readonly number[]): void {
    super.evaluate(ids);
    for (const id of ids) {
      this.#ridPasids.set(id, this.#ridPasidNow(id));
      this.#deviceTlbs.set(id, this.entries.get(deviceOf(id))?.deviceTlb ?? false);
    }
    const before = new Map(this.#histories);
    for (const [id, context] of this.seen) {
      if (!this.translation || context.kind !== "first") {
        this.#histories.delete(id);
        continue;
      }
      const key = `${context.domainId},${context.root},${context.second},${pasidOf(id)}`;
      if (before.get(id)?.key === key) {
        if (!this.#deviceTlbs.get(id)!) refill(before.get(id)!);
        continue;
      }
      this.#histories.set(id, this.#joined(context, key, [...before.values()]));
    }
  }

  override iotlb(domainId: number | null, first = 0, pages = Infinity, leafOnly = false): void {
    super.iotlb(domainId, first, pages);
    // what went through a first stage is invalidated with its whole domain
    this.#refresh((_id, context) => domainId === null || context.domainId === domainId, {
      leafOnly,
    });
  }

  pasidIotlb(
    domainId: number,
    pasid: number,
    range: { first: number; pages: number; leafOnly: boolean } | null = null,
  ): void {
    const isMeant = (id: number, context: FirstStageContext): boolean => {
      const own = pasidOf(id);
      if (context.domainId !== domainId) return false;
      if (own !== NO_PASID) return own === pasid;
      // an invalidation by RID_PASID counts if that is the same before and now
      return this.#ridPasids.get(id) === pasid && this.#ridPasidNow(id) === pasid;
    };
    this.#refresh(isMeant, range ?? {});
  }

  /** The guest invalidates what a device has cached itself; null: of all PASIDs. */
  deviceTlb(sourceId: number, pasid: number | null, first: number, pages: number): void {
    for (const [id, history] of this.#histories) {
      if (deviceOf(id) !== sourceId || (pasid !== null && pasidOf(id) !== pasid)) continue;
      refill(history, first, pages);
    }
  }

  protected override contextNow(id: number): Context {
    const entry = this.entries.get(deviceOf(id));
    if (entry === undefined) return NONE;
    const pasid = pasidOf(id);
    if (pasid !== NO_PASID && (!entry.withPasid || pasid === entry.ridPasid)) return NONE;
    const index = pasid === NO_PASID ? entry.ridPasid : pasid;
    const found = this.directories.get(entry.directory)!.get(index) ?? NONE;
    return found.kind === "broken" ? NONE : found;
  }

  #ridPasidNow(id: number): number {
    return this.entries.get(deviceOf(id))?.ridPasid ?? -1;
  }

  /** Without PASID; then PASIDs that are present, as they are found; then the others. */
  #requestersOf(sourceId: number): number[] {
    const entry = this.entries.get(sourceId);
    const present = (pasid: number): boolean => {
      if (entry?.withPasid !== true || pasid === entry.ridPasid) return false;
      return (this.directories.get(entry.directory)!.get(pasid) ?? NONE).kind !== "none";
    };
    const pasids = this.#pasids.filter((pasid) => pasid !== NO_PASID);
    return [
      NO_PASID,
      ...pasids.filter((pasid) => present(pasid)),
      ...pasids.filter((pasid) => !present(pasid)),
    ].map((pasid) => requester(sourceId, pasid));
  }

  #throughFirst(id: number, page: number, need: number, below: (gfn: number) => number): number[] {
    const { own, pages } = this.#histories.get(id)!;
    const states = (this.#caching.has(deviceOf(id)) ? own : pages).get(page)!;
    const gfns = states.map((state) =>
      state !== null && (state.rights & need) === need ? below(state.gfn) : -1,
    );
    return [...new Set(gfns)];
  }

  /** What a requester meets that comes to these tables: others may have filled the cache. */
  #joined(context: FirstStageContext, key: string, others: readonly History[]): History {
    const known = others.filter((other) => other.key === key);
    const pages = new Map<number, State[]>();
    for (const page of this.#probes) {
      const states = known.flatMap((other) => other.pages.get(page)!);
      pages.set(page, [...states, this.#stateOf(context.root, page)]);
    }
    const restructured = new Set(known.flatMap((other) => [...other.restructured]));
    return { key, context, pages, own: new Map(pages), restructured };
  }

  #stateOf(root: number, page: number): State {
    const block = this.tables.get(root)!.get(Math.floor(page / 512));
    const leaf = block instanceof Map ? block.get(page) : block;
    return leaf === undefined ? null : { gfn: leaf.gfn + page - leaf.first, rights: leaf.rights };
  }

  #change(root: number, dfn: number, apply: () => void): void {
    const block = Math.floor(dfn / 512);
    const before = this.tables.get(root)!.get(block);
    apply();
    const isRestructured = this.tables.get(root)!.get(block) !== before;
    for (const { context, own, pages, restructured } of this.#histories.values()) {
      if (context.root !== root) continue;
      if (isRestructured) restructured.add(block);
      for (const known of [own, pages]) {
        for (const [page, states] of known) known.set(page, [...states, this.#stateOf(root, page)]);
      }
    }
  }

  /** The unit reads tables anew: all, or a range of pages, or only the leaves. */
  #refresh(
    isMeant: (id: number, context: FirstStageContext) => boolean,
    range: { first?: number; pages?: number; leafOnly?: boolean } = {},
  ): void {
    const { first = 0, pages: count = Infinity, leafOnly = false } = range;
    for (const [id, history] of this.#histories) {
      const { context, pages, restructured } = history;
      if (!isMeant(id, context)) continue;
      for (const page of pages.keys()) {
        if (page < first || page >= first + count) continue;
        if (leafOnly && restructured.has(Math.floor(page / 512))) continue;
        pages.set(page, [this.#stateOf(context.root, page)]);
      }
      // the host sees to devices that the guest has not allowed to cache
      if (!this.#deviceTlbs.get(id)!) refill(history, first, count);
      if (leafOnly) continue;
      for (const block of restructured) {
        if (512 * block < first + count && 512 * (block + 1) > first) restructured.delete(block);
      }
    }
  }
}

/** A device has dropped some pages: it may get anew what the unit may have of them. */
function refill({ own, pages }: History, first = 0, count = Infinity): void {
  for (const [page, states] of pages) {
    if (page >= first && page < first + count) own.set(page, states);
  }
}
