import { MapFlag } from "@viommu/plugin";
import type { PagingSpace, PhysicalMapping } from "@viommu/plugin";
import { pagesIn } from "../page-order.ts";
import type { DirtyPages } from "./dirty-pages.ts";
import type { FrameAccount } from "./frame-account.ts";
import { GuestLeaves } from "./guest-leaves.ts";
import type { GuestLeaf } from "./guest-leaves.ts";
import type { SecondStage } from "./guest-stage.ts";
import { NO_FRAMES } from "./projection.ts";
import type { Projection } from "./projection.ts";
import { EntryKind } from "./second-stage-reader.ts";
import type { SecondStageReader } from "./second-stage-reader.ts";

/** Ranges that wait; with more of them the whole input is synchronised instead. */
const MOST_RANGES = 64;
/** Frames that a table of {@link GuestLeaves} costs. */
const LEAF_TABLE_FRAMES = 2;
const ENTRIES = 512;

/** Pages to synchronise: the next one, and the one after the last. */
interface Range {
  at: number;
  end: number;
}

/** What a shadow works with. */
export interface ShadowParts {
  readonly stage: SecondStage;
  readonly space: PagingSpace;
  readonly reader: SecondStageReader;
  readonly projection: Projection;
  readonly account: FrameAccount;
  /** Pages that devices may have written and which no D bit tells of any more. */
  readonly dirty: DirtyPages;
  /** Guest tables that one synchronisation may visit. */
  readonly tableLimit: number;
}

/**
 * The shadow of one guest second stage: IOVA→HPA tables in the physical IOMMU, made from the guest's
 * IOVA→GPA tables and the p2m. It is behind the guest until the guest invalidates, and is then
 * brought up to date range by range, in steps of one guest table.
 */
export class Shadow {
  readonly #parts: ShadowParts;
  readonly #leaves: GuestLeaves;
  readonly #end: number;
  /** Ranges to synchronise, first page and end; the first one is under way. */
  #ranges: Range[] = [];
  /** First page of a leaf whose pages are being written. */
  #partial = -1;
  #tables = 0;
  #charged = 0;
  /** It has not run: frames of shadows that are taken down come back before it does. */
  #isNew = true;
  readonly #leaf: GuestLeaf = { dfn: 0, gfn: 0, order: 0, flags: 0 };
  readonly #old: GuestLeaf = { dfn: 0, gfn: 0, order: 0, flags: 0 };
  /** Out of frames, or too large to walk: what it maps is no longer to be used. */
  failed = false;
  /** D bits count: what loses its mapping is noted. */
  tracking = false;

  constructor(parts: ShadowParts) {
    this.#parts = parts;
    this.#leaves = new GuestLeaves(parts.stage.levels);
    this.#end = 2 ** (parts.stage.inputWidth - 12);
    this.#account();
    this.synchroniseAll();
  }

  get stage(): SecondStage {
    return this.#parts.stage;
  }

  get space(): PagingSpace {
    return this.#parts.space;
  }

  /** True while something the guest has invalidated is not synchronised. */
  get behind(): boolean {
    return this.#ranges.length > 0;
  }

  /** Leaves of the guest that it shows. */
  get leafCount(): number {
    return this.#leaves.count;
  }

  /** The guest invalidated 2^order pages. */
  synchronise(dfn: number, order: number): void {
    if (this.failed || dfn >= this.#end) return;
    if (order > 36 || this.#ranges.length >= MOST_RANGES) {
      this.synchroniseAll();
      return;
    }
    this.#add({ at: dfn, end: Math.min(dfn + pagesIn(order), this.#end) });
  }

  /** The guest invalidated everything. */
  synchroniseAll(): void {
    if (this.failed) return;
    this.#ranges.length = 0;
    if (this.#partial >= 0) {
      // half written: forgotten, so that it is written from its beginning
      const leaf = { at: this.#partial, end: this.#partial + 1 };
      this.#clear(leaf, leaf.end, 1);
    }
    this.#add({ at: 0, end: this.#end });
  }

  /** Takes at most `budget` steps; returns how many. */
  run(budget: number): number {
    const { projection } = this.#parts;
    let steps = 0;
    while (this.#ranges.length > 0 && steps < budget && !this.failed) {
      steps += this.#step(budget - steps);
      const [range] = this.#ranges;
      if (range !== undefined && range.at >= range.end) this.#ranges.shift();
    }
    projection.flush();
    this.#charge(this.#isNew);
    this.#isNew = false;
    return steps;
  }

  /** Gives up: the guest has asked for more than it may have. */
  fail(): void {
    this.failed = true;
    this.#ranges.length = 0;
  }

  /** `count` guest frames from `gfn` on have changed: effective when this returns. */
  frames(gfn: number, count: number): void {
    const { dirty, projection } = this.#parts;
    this.#leaves.forFrames(gfn, count, (leaf) => {
      const first = Math.max(leaf.gfn, gfn);
      const end = Math.min(leaf.gfn + pagesIn(leaf.order), gfn + count);
      const dfn = leaf.dfn + first - leaf.gfn;
      if (this.tracking && (leaf.flags & MapFlag.WRITE) !== 0) dirty.add(first, end - first);
      // pages that become one page lose their D bits
      const room = this.tracking ? 0 : leaf.order;
      if (projection.renew(dfn, first, end - first, leaf.flags, room) === NO_FRAMES) {
        // the frame must go even if the rest can't stay
        projection.clear(dfn, end - first);
        this.fail();
      }
    });
    projection.flush();
    this.#charge();
  }

  /** Moves what the D bits tell to the dirty pages of the guest. */
  collectDirty(): void {
    const { dirty, space, stage } = this.#parts;
    const leaf = this.#leaf;
    space.readAndClearDirty(0, stage.inputWidth - 12, (dfn, order) => {
      const end = dfn + pagesIn(order);
      for (let at = dfn; at < end;) {
        if (!this.#leaves.findFrom(at, end, leaf)) return;
        const first = Math.max(at, leaf.dfn);
        const last = Math.min(end, leaf.dfn + pagesIn(leaf.order));
        dirty.add(leaf.gfn + first - leaf.dfn, last - first);
        at = last;
      }
    });
  }

  /**
   * Takes down at most `budget` leaves; returns how many. When none is left, `space.destroy` gives
   * the last frames back.
   */
  takeDown(budget: number): number {
    const taken = this.#clear({ at: 0, end: this.#end }, this.#end, budget);
    this.#parts.projection.flush();
    this.#charge();
    return taken;
  }

  /** All frames are given back; no device uses it. */
  destroy(): void {
    this.#parts.space.destroy();
    this.#parts.account.change(this.#charged, 0);
    this.#charged = 0;
  }

  /** Pages of each order in its tables, by looking at all of them: for reports and tests. */
  census(out: Map<number, number>): void {
    const { space } = this.#parts;
    const mapping: PhysicalMapping = { mfn: 0, order: 0, flags: 0 };
    const leaf = this.#leaf;
    for (let at = 0; this.#leaves.findFrom(at, this.#end, leaf);) {
      const end = leaf.dfn + pagesIn(leaf.order);
      for (at = leaf.dfn; at < end;) {
        const found = space.lookup(at, mapping);
        if (found) out.set(mapping.order, (out.get(mapping.order) ?? 0) + 1);
        at += found ? pagesIn(mapping.order) : 1;
      }
    }
  }

  #add(range: Range): void {
    if (this.#ranges.length === 0) this.#tables = 0;
    const last = this.#ranges.at(-1);
    if (last?.end === range.at) last.end = range.end;
    else this.#ranges.push(range);
  }

  /**
   * Goes from the root to the table that maps the place under way, and through its entries: a step,
   * and one more for each page that is written or removed.
   */
  #step(budget: number): number {
    const { reader, stage, tableLimit } = this.#parts;
    const range = this.#ranges[0]!;
    let table = stage.rootFrame;
    let rights = MapFlag.READ | MapFlag.WRITE;
    this.#tables += 1;
    if (this.#tables > tableLimit) {
      this.fail();
      return 1;
    }
    let level = stage.levels;
    const start = range.at;
    for (let steps = 1; ;) {
      const pages = pagesIn(9 * (level - 1));
      const index = Math.floor(range.at / pages) % ENTRIES;
      const first = range.at - (range.at % pages);
      const kind = reader.read(table, index, level);
      const granted = rights & reader.flags;
      if (kind === EntryKind.TABLE && granted !== 0) {
        if (range.at !== start) return steps; // the next step goes down
        table = reader.frame;
        rights = granted;
        level -= 1;
        continue;
      }
      if (kind === EntryKind.PAGE && granted !== 0) {
        const flags = granted | (reader.flags & MapFlag.SNOOP);
        steps += this.#page(range, first, reader.frame, 9 * (level - 1), flags, budget - steps);
      } else {
        steps += this.#nothing(range, first + pages, budget - steps);
      }
      if (this.failed || steps >= budget || range.at >= range.end) return steps;
      if (range.at % (pages * ENTRIES) === 0) return steps; // the end of this table
      if (range.at < first + pages) return steps;
    }
  }

  /** The guest maps nothing up to `end`. */
  #nothing(range: Range, end: number, budget: number): number {
    const last = Math.min(end, range.end);
    const taken = this.#clear(range, last, Math.max(1, budget));
    if (taken === 0) range.at = last;
    return taken;
  }

  /** The guest maps a page at `dfn`. */
  #page(
    range: Range,
    dfn: number,
    frame: number,
    order: number,
    flags: number,
    budget: number,
  ): number {
    const pages = pagesIn(order);
    const gfn = frame - (frame % pages);
    const leaf = this.#leaf;
    const isThere = this.#leaves.find(dfn, leaf) && leaf.order === order;
    const isKnown = isThere && leaf.gfn === gfn && leaf.flags === flags;
    if (isKnown && this.#partial !== dfn) {
      range.at = dfn + pages;
      return 0;
    }
    if (!isKnown) {
      // a large page is written as a whole, however little of it the guest invalidated
      range.at = dfn;
      range.end = Math.max(range.end, dfn + pages);
      if (isThere && order === 0) {
        // written at once, in the place of the old one
        this.#noteDirty(leaf);
        this.#leaves.replace({ dfn, gfn, order, flags });
      } else {
        const taken = this.#clear(range, dfn + pages, Math.max(1, budget));
        if (taken > 0) return taken;
        this.#leaves.add({ dfn, gfn, order, flags });
        this.#partial = dfn;
      }
    }
    const { projection } = this.#parts;
    const before = projection.writes;
    const offset = range.at - dfn;
    const left = Math.max(1, budget);
    const done = projection.project(range.at, gfn + offset, pages - offset, flags, left);
    if (done === NO_FRAMES) {
      this.fail();
      return 1;
    }
    range.at += done;
    if (range.at >= dfn + pages) this.#partial = -1;
    return projection.writes - before;
  }

  /**
   * Removes at most `budget` leaves from the place under way up to `end`. A page is invalidated as a
   * whole: what it covers beyond the range is synchronised too.
   */
  #clear(range: Range, end: number, budget: number): number {
    const { projection } = this.#parts;
    const leaf = this.#old;
    let taken = 0;
    let first = range.at;
    while (taken < budget && this.#leaves.findFrom(range.at, end, leaf)) {
      const pages = pagesIn(leaf.order);
      this.#leaves.remove(leaf);
      if (leaf.dfn === this.#partial) this.#partial = -1;
      this.#noteDirty(leaf);
      projection.clear(leaf.dfn, pages);
      first = Math.min(first, leaf.dfn);
      range.end = Math.max(range.end, leaf.dfn + pages);
      taken += 1;
    }
    range.at = first;
    return taken;
  }

  /** A leaf goes, and its D bits with it. */
  #noteDirty({ flags, gfn, order }: GuestLeaf): void {
    if (this.tracking && (flags & MapFlag.WRITE) !== 0) this.#parts.dirty.add(gfn, pagesIn(order));
  }

  #charge(isNew = false): void {
    const before = this.#charged;
    this.#account();
    // who grows beyond the quota goes, nobody else
    if (this.#parts.account.exceeded && (isNew || this.#charged > before)) this.fail();
  }

  #account(): void {
    const { account, space } = this.#parts;
    const before = this.#charged;
    this.#charged = space.frames + LEAF_TABLE_FRAMES * this.#leaves.tables;
    account.change(before, this.#charged);
  }
}
