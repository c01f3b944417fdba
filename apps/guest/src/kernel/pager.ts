import type { IommuDriver } from "@viommu/guest-driver";
import { Access } from "@viommu/plugin";
import { FramePool } from "./frame-pool.ts";
import type { FramePoolState } from "./frame-pool.ts";
import { fillPattern } from "./pattern.ts";
import type { PageContent, Process } from "./process.ts";
import { PAGE } from "./ram.ts";
import type { Ram } from "./ram.ts";

/** What a {@link Pager} has done. */
export interface PagerCounters {
  /** Pages brought in, and those of them that had been stored. */
  broughtIn: number;
  broughtBack: number;
  /** Pages taken away for want of frames, and those of them that had to be stored. */
  reclaimed: number;
  stored: number;
}

/** What a {@link Pager} works with. */
export interface PagerParts {
  readonly ram: Ram;
  /** Makes units and devices forget pages. */
  readonly iommu: Pick<IommuDriver, "invalidateRange">;
  /** Is told which frames processes reach; null: nobody wants to know. */
  readonly permissions: Pick<IommuDriver, "permitPages" | "forbidPages"> | null;
  /** Frames for all processes together. */
  readonly frames: number;
  /** By its slot. */
  readonly processes: readonly Process[];
  /** Null: the process has no such page. */
  readonly contentOf: (process: Process, page: number) => PageContent | null;
}

/** A {@link Pager} that was saved. */
export interface PagerState {
  readonly frames: FramePoolState;
  /** Pages with a frame, the oldest first. */
  readonly resident: readonly (readonly [slot: number, page: number, frame: number])[];
  readonly counters: PagerCounters;
}

interface Resident {
  readonly process: Process;
  readonly page: number;
  readonly frame: number;
}

/** Page numbers have fewer bits. */
const SLOT = 2 ** 36;

/**
 * Gives the pages of processes frames when they are asked for, and takes the oldest ones away when
 * there are no more. Only what was changed is stored: the dirty bit, which units set, tells.
 */
export class Pager {
  readonly counters: PagerCounters = { broughtIn: 0, broughtBack: 0, reclaimed: 0, stored: 0 };
  readonly frames: FramePool;
  readonly #parts: PagerParts;
  readonly #resident = new Map<number, Resident>();

  constructor(parts: PagerParts) {
    this.#parts = parts;
    this.frames = new FramePool(parts.ram, parts.frames);
  }

  /** Makes a page present. False when the process has none there, or none that can be written. */
  bring(process: Process, page: number, write: boolean): boolean {
    const content = this.#parts.contentOf(process, page);
    if (content === null || (write && !content.writable)) return false;
    if (this.#resident.has(keyOf(process, page))) return true;
    const frame = this.#takeFrame();
    this.#fill(frame, process, page, content.key);
    const access = accessTo(content);
    this.#parts.permissions?.permitPages(process.pasid, frame, 1, access);
    process.table.map(page * PAGE, frame, content.writable);
    this.#resident.set(keyOf(process, page), { process, page, frame });
    process.faults += 1;
    this.counters.broughtIn += 1;
    return true;
  }

  /** The bytes of a page, wherever they are; null when nobody has asked for it yet. */
  bytes(process: Process, page: number): Uint8Array | null {
    const place =
      this.#resident.get(keyOf(process, page))?.frame ?? process.stored.get(page) ?? null;
    return place === null ? null : this.#parts.ram.bytes(place, PAGE);
  }

  /** A process gives pages back: their contents are lost. */
  release(process: Process, first: number, count: number): void {
    const given: Resident[] = [];
    for (let page = first; page < first + count; page += 1) {
      this.#dropStored(process, page);
      const resident = this.#resident.get(keyOf(process, page));
      if (resident === undefined) continue;
      process.table.unmap(page * PAGE);
      this.#resident.delete(keyOf(process, page));
      given.push(resident);
    }
    this.#parts.iommu.invalidateRange(process.pasid, first * PAGE, count);
    for (const resident of given) {
      this.#forbid(resident);
      this.frames.give(resident.frame);
    }
  }

  /** What processes may do with a frame: bits of `Access`. */
  accessTo(frame: number): number {
    const resident = [...this.#resident.values()].find((one) => one.frame === frame);
    return resident === undefined ? 0 : this.#accessOf(resident);
  }

  /** All that a process had, which has ended: nobody walks its page table or reaches its frames. */
  releaseAll(process: Process): void {
    process.table.clear();
    for (const [key, resident] of this.#resident) {
      if (resident.process !== process) continue;
      this.#resident.delete(key);
      this.frames.give(resident.frame);
    }
    for (const page of [...process.stored.keys()]) this.#dropStored(process, page);
  }

  save(): PagerState {
    const resident = [...this.#resident.values()];
    return {
      frames: this.frames.save(),
      resident: resident.map(({ process, page, frame }) => [process.slot, page, frame]),
      counters: { ...this.counters },
    };
  }

  restore({ frames, resident, counters }: PagerState): void {
    this.frames.restore(frames);
    Object.assign(this.counters, counters);
    this.#resident.clear();
    for (const [slot, page, frame] of resident) {
      const process = this.#parts.processes[slot]!;
      this.#resident.set(keyOf(process, page), { process, page, frame });
    }
  }

  #takeFrame(): number {
    const frame = this.frames.take();
    if (frame !== null) return frame;
    this.#reclaimOldest();
    return this.frames.take()!;
  }

  #reclaimOldest(): void {
    const [oldest] = this.#resident;
    const [key, resident] = oldest!;
    const { process, page, frame } = resident;
    const { ram, iommu } = this.#parts;
    const { dirty } = process.table.find(page * PAGE)!;
    process.table.unmap(page * PAGE);
    iommu.invalidateRange(process.pasid, page * PAGE, 1);
    this.#forbid(resident);
    // from here on nobody reaches the frame
    this.#resident.delete(key);
    if (dirty) {
      const copy = process.stored.get(page) ?? ram.allocate();
      ram.bytes(copy, PAGE).set(ram.bytes(frame, PAGE));
      process.stored.set(page, copy);
      this.counters.stored += 1;
    }
    this.frames.give(frame);
    this.counters.reclaimed += 1;
  }

  /** Nobody's translations lead to the frame any more. */
  #forbid(resident: Resident): void {
    const { process, frame } = resident;
    this.#parts.permissions?.forbidPages(process.pasid, frame, 1, this.#accessOf(resident));
  }

  #accessOf({ process, page }: Resident): number {
    return accessTo(this.#parts.contentOf(process, page)!);
  }

  #fill(frame: number, process: Process, page: number, key: number): void {
    const { ram } = this.#parts;
    const bytes = ram.bytes(frame, PAGE);
    const copy = process.stored.get(page);
    if (copy === undefined) {
      fillPattern(bytes, key);
      return;
    }
    // the copy is kept: the page may be taken away again unchanged
    bytes.set(ram.bytes(copy, PAGE));
    this.counters.broughtBack += 1;
  }

  #dropStored(process: Process, page: number): void {
    const copy = process.stored.get(page);
    if (copy === undefined) return;
    process.stored.delete(page);
    this.#parts.ram.free(copy);
  }
}

const accessTo = ({ writable }: PageContent): number =>
  writable ? Access.READ | Access.WRITE : Access.READ;

const keyOf = ({ slot }: Process, page: number): number => slot * SLOT + page;
