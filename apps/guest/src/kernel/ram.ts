import { hiFromNumber, loFromNumber, ViommuError } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";
import type { AddressRange } from "../config/guest-config.ts";

/** Bytes of a page. */
export const PAGE = 4096;

/** Bytes of a large page. */
export const LARGE_PAGE = 2 ** 21;

/** Which pages nobody has: those given back, and all from `next` in a range on. */
export interface RamState {
  readonly free: readonly number[];
  readonly range: number;
  readonly next: number;
}

/** Guest memory as the guest's processors see it, and the pages that nobody has yet. */
export class Ram {
  /** All memory of the kernel. */
  readonly ranges: readonly AddressRange[];
  readonly #memory: GuestMemory;
  readonly #free: number[] = [];
  readonly #words = new Int32Array(1);
  #range = 0;
  #next: number;

  /** `ranges` belong to the kernel. */
  constructor(memory: GuestMemory, ranges: readonly AddressRange[]) {
    this.#memory = memory;
    this.ranges = ranges;
    this.#next = ranges[0]!.base;
  }

  /** The bytes themselves; inside one page. They count as written now: not to be kept. */
  bytes(address: number, length: number): Uint8Array {
    const view = this.#memory.view(hiFromNumber(address), loFromNumber(address), length, true);
    if (view !== null) return view;
    throw new ViommuError(
      "ERR_VIOMMU_GUEST",
      `the guest has no memory at 0x${address.toString(16)}; give it what its memory map promises`,
    );
  }

  /** The word at an address. */
  word(address: number): number {
    this.#memory.readWords(hiFromNumber(address), loFromNumber(address), 1, this.#words);
    return this.#words[0]! >>> 0;
  }

  setWord(address: number, value: number): void {
    this.#memory.writeWord(hiFromNumber(address), loFromNumber(address), value | 0);
  }

  /** Address of a page of zeros. */
  allocate(): number {
    const page = this.#free.pop() ?? this.#takeNext();
    this.bytes(page, PAGE).fill(0);
    return page;
  }

  /** Address of a large page, which is not given back. */
  allocateLarge(): number {
    for (;;) {
      const first = this.#takeNext(); // throws at the end of all ranges
      const { base, size } = this.ranges[this.#range]!;
      if (first % LARGE_PAGE === 0 && first + LARGE_PAGE <= base + size) {
        this.#next = first + LARGE_PAGE;
        return first;
      }
      this.#free.push(first);
    }
  }

  free(page: number): void {
    this.#free.push(page);
  }

  save(): RamState {
    return { free: [...this.#free], range: this.#range, next: this.#next };
  }

  restore({ free, range, next }: RamState): void {
    this.#free.splice(0, Infinity, ...free);
    this.#range = range;
    this.#next = next;
  }

  #takeNext(): number {
    for (;;) {
      const range = this.ranges[this.#range];
      if (range === undefined) {
        throw new ViommuError(
          "ERR_VIOMMU_GUEST",
          "the guest has no page left; give it more memory",
        );
      }
      if (this.#next + PAGE <= range.base + range.size) break;
      this.#range += 1;
      this.#next = this.ranges[this.#range]?.base ?? 0;
    }
    const page = this.#next;
    this.#next += PAGE;
    return page;
  }
}
