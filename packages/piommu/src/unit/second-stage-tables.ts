import { MapResult } from "@viommu/plugin";
import type { PhysicalMapping } from "@viommu/plugin";
import { pagesIn } from "../page-order.ts";
import type { FrameAllocator } from "./frame-allocator.ts";
import { refusal } from "./refusal.ts";
import { DIRTY, entryHigh, ENTRIES, flagsOf, frameOf, indexOf } from "./second-stage-entry.ts";
import { isPresent, isTable, keptMarks, pageLow, pagesOf } from "./second-stage-entry.ts";
import { pieceLow, tableLow } from "./second-stage-entry.ts";
import type { TableMemory } from "./table-memory.ts";

/** What second-stage tables are made of. */
export interface SecondStageTablesOptions {
  readonly frames: FrameAllocator;
  readonly tables: TableMemory;
  /** 3, 4 or 5. */
  readonly levels: number;
  /** Table frames at most, the root included. */
  readonly quota: number;
  /** Ends with {@link SecondStageTables.freeRemoved}; called when frames run short. */
  readonly flush: () => void;
}

/**
 * Second-stage paging structures of one space in host memory (VT-d 3.7, 9.8).
 *
 * Every change becomes visible with one write of a whole entry: new tables are filled before anything
 * leads to them, so that a walk at any moment finds the old mapping or the new one. The frames of
 * tables that were taken away are kept until {@link freeRemoved}: caches may still lead there.
 */
export class SecondStageTables {
  /** Frame of the root table. */
  readonly root: number;
  /** Frames in use, with those of tables that were taken away. */
  frames = 1;
  /** Whether anything that was mapped was changed; for the owner to reset. */
  hasReplaced = false;
  private readonly options: SecondStageTablesOptions;
  private readonly levels: number;
  private readonly tables: TableMemory;
  /** Present entries in each table. */
  private readonly present = new Map<number, number>();
  private removed: number[] = [];
  /** Tables on the way to the entry that `find` found, by level. */
  private readonly path: number[] = [];

  /** Throws ERR_VIOMMU_PIOMMU when there is no frame for the root. */
  constructor(options: SecondStageTablesOptions) {
    const { frames, levels, quota, tables } = options;
    this.options = options;
    this.levels = levels;
    this.tables = tables;
    if (!(quota >= 1))
      throw refusal(`a space of ${quota} table frames has no root; give 1 or more`);
    this.root = frames.allocate();
    if (this.root < 0) throw refusal("no table frame is left for a root; destroy a space");
    this.present.set(this.root, 0);
  }

  /** Whether tables were taken away since {@link freeRemoved}. */
  get hasRemoved(): boolean {
    return this.removed.length > 0;
  }

  /** Maps one page of a level; a {@link MapResult}. */
  map(dfn: number, mfn: number, level: number, flags: number): number {
    const at = this.find(dfn, level);
    if (!this.reserve(at - level)) return MapResult.NO_FRAMES;
    this.replace(dfn, at, level, pageLow(mfn, level, flags), entryHigh(mfn), 1);
    return MapResult.MAPPED;
  }

  /** As {@link PagingSpace.unmap}. */
  unmap(dfn: number, order: number): number {
    const level = this.levelFor(order);
    const count = Math.min(ENTRIES, pagesIn(order) / pagesOf(level));
    const at = this.find(dfn, level);
    if (!isPresent(this.tables.low) && at > level) return MapResult.MAPPED;
    const splits = at > level;
    const reserved = !splits || this.reserve(at - level);
    if (reserved) this.replace(dfn, at, level, 0, 0, count);
    else this.set(this.path[at]!, indexOf(dfn, at), at, 0, 0);
    this.prune(dfn, splits ? at : level);
    return reserved ? MapResult.MAPPED : MapResult.NO_FRAMES;
  }

  /** As {@link PagingSpace.lookup}. */
  lookup(dfn: number, out: PhysicalMapping): boolean {
    const level = this.find(dfn, 1);
    const { low, high } = this.tables;
    if (!isPresent(low)) return false;
    out.mfn = frameOf(low, high) + (dfn % pagesOf(level));
    out.order = 9 * (level - 1);
    out.flags = flagsOf(low);
    return true;
  }

  /** Clears the dirty marks of all pages in 2^order pages and tells of each. */
  takeDirty(dfn: number, order: number, found: (dfn: number, order: number) => void): void {
    const level = this.levelFor(order);
    const at = this.find(dfn, level);
    const count = at > level ? 1 : Math.min(ENTRIES, pagesIn(order) / pagesOf(level));
    const table = this.path[at]!;
    const index = indexOf(dfn, at);
    const first = dfn - (dfn % pagesOf(at));
    for (let i = 0; i < count; i += 1) {
      this.takeDirtyEntry(table, index + i, at, first + i * pagesOf(at), found);
    }
  }

  /** Gives the frames of tables back that were taken away; nothing leads to them any more. */
  freeRemoved(): void {
    for (const frame of this.removed) this.options.frames.free(frame);
    this.frames -= this.removed.length;
    this.removed = [];
  }

  /** Gives all frames back. */
  destroy(): void {
    this.remove(this.root, this.levels);
    this.freeRemoved();
  }

  /** The level whose tables hold 2^order pages in one table. */
  private levelFor(order: number): number {
    return Math.min(this.levels, Math.floor(order / 9) + 1);
  }

  /** Finds the entry for a page at a level, or the one above where the tables end; its level. */
  private find(dfn: number, level: number): number {
    let table = this.root;
    for (let at = this.levels; ; at -= 1) {
      this.path[at] = table;
      this.tables.read(table, indexOf(dfn, at));
      const { low, high } = this.tables;
      if (at === level || !isTable(low, at)) return at;
      table = frameOf(low, high);
    }
  }

  /** Whether that many new tables can be had. */
  private reserve(count: number): boolean {
    if (this.fits(count)) return true;
    if (!this.hasRemoved) return false;
    this.options.flush();
    return this.fits(count);
  }

  private fits(count: number): boolean {
    const { frames, quota } = this.options;
    return this.frames + count <= quota && count <= frames.available;
  }

  /**
   * Gives `count` entries of a level new contents. Where the tables end above it, at level `at`, the
   * missing ones are made; a larger page that lies there goes on in their other entries.
   */
  private replace(
    dfn: number,
    at: number,
    level: number,
    low: number,
    high: number,
    count: number,
  ): void {
    const index = indexOf(dfn, level);
    if (at === level) {
      for (let i = 0; i < count; i += 1) this.set(this.path[level]!, index + i, level, low, high);
      return;
    }
    const made = Array.from({ length: at - level }, () => this.take());
    const place = indexOf(dfn, at);
    let whole: number;
    do {
      // the unit may mark the page as accessed or dirty meanwhile: begin again
      this.tables.read(this.path[at]!, place);
      whole = this.tables.low;
      this.build(dfn, at, level, made, low, high, count);
      this.tables.read(this.path[at]!, place);
    } while (this.tables.low !== whole);
    const top = made.at(-1)!;
    this.set(this.path[at]!, place, at, tableLow(top), entryHigh(top));
  }

  /** Fills new tables, the lowest first; in `tables` is the entry that they will replace. */
  private build(
    dfn: number,
    at: number,
    level: number,
    made: readonly number[],
    low: number,
    high: number,
    count: number,
  ): void {
    const { low: wholeLow, high: wholeHigh } = this.tables;
    const split = isPresent(wholeLow);
    const wholeFrame = frameOf(wholeLow, wholeHigh);
    made.forEach((table, i) => {
      const own = level + i;
      const size = pagesOf(own);
      // first page of the new table, counted from the beginning of the larger page
      const first = (dfn % pagesOf(at)) - (dfn % pagesOf(own + 1));
      this.tables.fillFrame(table, (words, word, entry) => {
        const mfn = wholeFrame + first + entry * size;
        words[word] = split ? pieceLow(mfn, own, wholeLow) : 0;
        words[word | 1] = split ? entryHigh(mfn) : 0;
      });
      this.present.set(table, split ? ENTRIES : 0);
      const index = indexOf(dfn, own);
      if (i === 0) {
        for (let n = 0; n < count; n += 1) this.set(table, index + n, own, low, high);
      } else {
        this.set(table, index, own, tableLow(made[i - 1]!), entryHigh(made[i - 1]!));
      }
    });
  }

  /** Writes an entry and keeps account of what was there. */
  private set(table: number, index: number, level: number, low: number, high: number): void {
    this.tables.read(table, index);
    const { low: oldLow, high: oldHigh } = this.tables;
    const newLow = low | keptMarks(oldLow, oldHigh, low, high, level);
    if (oldLow === newLow && oldHigh === high) return;
    this.tables.write(table, index, newLow, high);
    if (isPresent(oldLow)) this.hasReplaced = true;
    const gained = Number(isPresent(low)) - Number(isPresent(oldLow));
    this.present.set(table, this.present.get(table)! + gained);
    if (isTable(oldLow, level)) this.remove(frameOf(oldLow, oldHigh), level - 1);
  }

  /** Takes away the tables without entries on the way to a page, from a level up. */
  private prune(dfn: number, level: number): void {
    for (let at = level; at < this.levels && this.present.get(this.path[at]!) === 0; at += 1) {
      this.set(this.path[at + 1]!, indexOf(dfn, at + 1), at + 1, 0, 0);
    }
  }

  private take(): number {
    this.frames += 1;
    return this.options.frames.allocate();
  }

  /** A table that nothing leads to any more, with those below it. */
  private remove(table: number, level: number): void {
    for (let index = 0; level > 1 && index < ENTRIES; index += 1) {
      this.tables.read(table, index);
      const { low, high } = this.tables;
      if (isTable(low, level)) this.remove(frameOf(low, high), level - 1);
    }
    this.present.delete(table);
    this.removed.push(table);
  }

  private takeDirtyEntry(
    table: number,
    index: number,
    level: number,
    dfn: number,
    found: (dfn: number, order: number) => void,
  ): void {
    this.tables.read(table, index);
    const { low, high } = this.tables;
    if (isTable(low, level)) {
      const below = frameOf(low, high);
      const size = pagesOf(level - 1);
      for (let i = 0; i < ENTRIES; i += 1) {
        this.takeDirtyEntry(below, i, level - 1, dfn + i * size, found);
      }
    } else if (isPresent(low) && (low & DIRTY) !== 0) {
      this.tables.clearBits(table, index, DIRTY);
      found(dfn, 9 * (level - 1));
    }
  }
}
