import type { RangesState } from "./driver-state.ts";
import { badInterrupt } from "./errors.ts";
import { FreeRanges, powerOfTwoFrom } from "./free-ranges.ts";
import type { PageAllocator } from "./page-allocator.ts";
import { PAGE_SIZE } from "./table-memory.ts";
import type { TableMemory } from "./table-memory.ts";

const ENTRY_BYTES = 16;
const WORDS = ENTRY_BYTES / 4;
const ABSENT = new Int32Array(WORDS);
const PRESENT = 1;

/** The interrupt remapping table of one unit (VT-d 9.9): which entries are in use, and their bytes. */
export class InterruptTable {
  /** Guest-physical address. */
  readonly address: number;
  /** Entries, a power of two. */
  readonly size: number;
  readonly #memory: TableMemory;
  readonly #free: FreeRanges;
  readonly #unit: string;

  constructor(memory: TableMemory, pages: PageAllocator, size: number, unit: string) {
    this.#memory = memory;
    this.#unit = unit;
    this.size = size;
    this.address = pages.allocate(Math.ceil((size * ENTRY_BYTES) / PAGE_SIZE));
    this.#free = new FreeRanges(0, size);
  }

  /** The first of `count` entries, aligned so that one invalidation covers them. */
  allocate(count: number): number {
    const size = powerOfTwoFrom(count);
    const index = this.#free.takeLowest(size, size);
    if (index >= 0) return index;
    throw badInterrupt(
      `${this.#unit}: no ${size} entries in a row are free of the ${this.size} of the interrupt ` +
        "remapping table",
      "release interrupts, or give the driver a larger table (interruptEntries)",
    );
  }

  /** Writes an entry in one piece: a unit sees the old one or the new one. */
  write(index: number, entry: Int32Array): void {
    this.#memory.write(this.address + index * ENTRY_BYTES, entry);
  }

  clear(index: number): void {
    this.write(index, ABSENT);
  }

  /** The unit has forgotten these entries, which were allocated together. */
  release(index: number, count: number): void {
    this.#free.give(index, powerOfTwoFrom(count));
  }

  /** Which entries are free; what the others hold is in guest memory. */
  save(): RangesState {
    return this.#free.save();
  }

  restore(state: RangesState): void {
    this.#free.restore(state);
  }

  /** Copies the entries of a predecessor's table; those in use are not given out. False: unreadable. */
  adopt(address: number, count: number): boolean {
    const entries = new Int32Array(count * WORDS);
    if (!this.#memory.tryRead(address, entries)) return false;
    this.#memory.write(this.address, entries);
    for (let index = 0; index < count; index += 1) {
      if ((entries[index * WORDS]! & PRESENT) !== 0) this.#free.take(index, 1);
    }
    return true;
  }
}
