import { hiFromNumber, loFromNumber } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";

/** Bytes of a page. */
export const PAGE = 4096;

/** Writable memory of a domain; multiples of 4096. */
export interface SavedRegion {
  /** Guest-physical byte address. */
  readonly base: number;
  /** Bytes. */
  readonly size: number;
}

/** Guest memory which remembers what was written to it since it was made; all zeros at first. */
export interface LoggedMemory extends Pick<GuestMemory, "readBytes" | "writeBytes"> {
  /** Addresses of the pages in a range that were written since this was last asked. */
  dirtyPages(base: number, size: number): number[];
}

/**
 * The pages of a domain, numbered from 0 through all regions: which of them may hold something, and
 * which were written since they were last taken. Made once, with the machine: nobody else may take
 * the memory's dirty pages.
 */
export class DomainPages {
  readonly regions: readonly SavedRegion[];
  /** Pages in all. */
  readonly count: number;
  readonly #memory: LoggedMemory;
  /** First page number of each region. */
  readonly #firsts: readonly number[];
  readonly #touched: Uint8Array;
  #dirty: number[] = [];
  /** 1 for the pages in `#dirty`. */
  readonly #isDirty: Uint8Array;

  constructor(memory: LoggedMemory, regions: readonly SavedRegion[]) {
    let count = 0;
    this.#firsts = regions.map(({ size }) => {
      count += size / PAGE;
      return count - size / PAGE;
    });
    this.count = count;
    this.#memory = memory;
    this.regions = regions;
    this.#touched = new Uint8Array(count);
    this.#isDirty = new Uint8Array(count);
  }

  /** Pages that were written since {@link takeDirty}. */
  get dirty(): number {
    this.#look();
    return this.#dirty.length;
  }

  /** The pages that were written since this was last called; at first, since the machine was made. */
  takeDirty(): readonly number[] {
    this.#look();
    const taken = this.#dirty;
    this.#dirty = [];
    for (const page of taken) this.#isDirty[page] = 0;
    return taken;
  }

  /** All pages that were ever written: the others hold zeros. */
  *touched(): Generator<number, void> {
    this.#look();
    for (
      let page = this.#touched.indexOf(1);
      page >= 0;
      page = this.#touched.indexOf(1, page + 1)
    ) {
      yield page;
    }
  }

  read(page: number, bytes: Uint8Array): void {
    const address = this.#addressOf(page);
    this.#memory.readBytes(hiFromNumber(address), loFromNumber(address), bytes);
  }

  write(page: number, bytes: Uint8Array): void {
    const address = this.#addressOf(page);
    this.#memory.writeBytes(hiFromNumber(address), loFromNumber(address), bytes);
  }

  /** Takes over what the memory has logged. */
  #look(): void {
    this.regions.forEach(({ base, size }, i) => {
      for (const address of this.#memory.dirtyPages(base, size)) {
        const page = this.#firsts[i]! + (address - base) / PAGE;
        this.#touched[page] = 1;
        if (this.#isDirty[page] === 0) this.#dirty.push(page);
        this.#isDirty[page] = 1;
      }
    });
  }

  #addressOf(page: number): number {
    let region = this.#firsts.length - 1;
    while (this.#firsts[region]! > page) region -= 1;
    return this.regions[region]!.base + (page - this.#firsts[region]!) * PAGE;
  }
}
