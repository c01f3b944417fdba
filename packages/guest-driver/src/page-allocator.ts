import type { DriverState } from "./driver-state.ts";
import { hex, memoryFailed } from "./errors.ts";
import { FreeRanges } from "./free-ranges.ts";
import { PAGE_SIZE } from "./table-memory.ts";
import type { TableMemory } from "./table-memory.ts";

/** A run of guest memory. */
export interface MemoryRange {
  /** Guest-physical byte address, a multiple of 4096. */
  readonly base: number;
  /** Bytes, a multiple of 4096. */
  readonly size: number;
}

/** Pages for tables, queues and status words, out of the range that the guest gave its driver. */
export class PageAllocator {
  readonly #memory: TableMemory;
  readonly #range: MemoryRange;
  readonly #free: FreeRanges;
  readonly #zeros = new Int32Array(PAGE_SIZE / 4);
  #used = 0;

  constructor(memory: TableMemory, range: MemoryRange) {
    const { base, size } = range;
    if (base % PAGE_SIZE !== 0 || size % PAGE_SIZE !== 0 || size <= 0) {
      throw memoryFailed(
        `the driver's memory is ${hex(size)} bytes at ${hex(base)}`,
        "give whole pages of 4096 bytes",
      );
    }
    this.#memory = memory;
    this.#range = range;
    this.#free = new FreeRanges(base / PAGE_SIZE, (base + size) / PAGE_SIZE);
  }

  /** Pages in use. */
  get used(): number {
    return this.#used;
  }

  /** The address of fresh zeroed pages, one after the other. */
  allocate(count = 1): number {
    const page = this.#free.takeLowest(count);
    if (page < 0) {
      const { base, size } = this.#range;
      throw memoryFailed(
        `no ${count} pages in a row are left of the ${size / PAGE_SIZE} pages at ${hex(base)}`,
        "give the driver more memory, or map less at a time",
      );
    }
    this.#used += count;
    for (let i = 0; i < count; i += 1) {
      this.#memory.write((page + i) * PAGE_SIZE, this.#zeros);
    }
    return page * PAGE_SIZE;
  }

  /** Takes back pages that no unit can reach any more. */
  free(address: number, count = 1): void {
    this.#used -= count;
    this.#free.give(address / PAGE_SIZE, count);
  }

  save(): DriverState["pages"] {
    return { used: this.#used, free: this.#free.save() };
  }

  restore({ used, free }: DriverState["pages"]): void {
    this.#used = used;
    this.#free.restore(free);
  }
}
