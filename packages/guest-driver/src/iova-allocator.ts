import type { DomainState } from "./driver-state.ts";
import { badIova, hex } from "./errors.ts";
import { FreeRanges, powerOfTwoFrom } from "./free-ranges.ts";
import { PAGE_SIZE } from "./table-memory.ts";

/** Page 0 is never given out: a null pointer in a device shall not reach anything. */
const FIRST = 1;
/** Devices with 32-bit addresses are served from here, and all others while there is room. */
const FOUR_GIB = 2 ** 32 / PAGE_SIZE;
/** Writes to FEEx_xxxxh are interrupts and never translated (VT-d 3.15). */
const INTERRUPT_PAGES = { first: 0xfee0_0000 / PAGE_SIZE, count: 0x10_0000 / PAGE_SIZE };

/**
 * I/O virtual pages of a domain, given out from the top down as Linux does it: below 4 GiB first,
 * aligned to their size rounded up to a power of two. Page 0 and the interrupt range are never given
 * out. Page numbers, not addresses.
 */
export class IovaAllocator {
  readonly #free: FreeRanges;
  readonly #limit: number;
  /** Number of pages, by first page. */
  readonly #allocated = new Map<number, number>();

  /** `limit`: the page after the last one that the tables and the devices can reach. */
  constructor(limit: number) {
    this.#free = new FreeRanges(FIRST, limit);
    this.#limit = limit;
    this.#free.take(INTERRUPT_PAGES.first, INTERRUPT_PAGES.count);
  }

  /** Ranges in use. */
  get size(): number {
    return this.#allocated.size;
  }

  /** The first of `count` pages. Throws ERR_VIOMMU_DRIVER_IOVA. */
  allocate(count: number): number {
    const alignment = powerOfTwoFrom(count);
    let first = this.#free.takeHighest(count, alignment, Math.min(FOUR_GIB, this.#limit));
    if (first < 0) first = this.#free.takeHighest(count, alignment, this.#limit);
    if (first < 0) {
      throw badIova(
        `no ${count} pages in a row are free below ${hex(this.#limit * PAGE_SIZE)}`,
        "unmap something, or raise the domain's addressLimit",
      );
    }
    this.#allocated.set(first, count);
    return first;
  }

  /** Takes pages out of use for good. False when one of them is given out, or beyond the limit. */
  reserve(first: number, count: number): boolean {
    const start = Math.max(first, FIRST);
    return this.#free.take(start, first + count - start);
  }

  /** Ends an allocation; its pages are not given out before {@link reuse}. Returns how many they are. */
  release(first: number): number {
    const count = this.#allocated.get(first);
    if (count === undefined) {
      throw badIova(
        `${hex(first * PAGE_SIZE)} is not the start of a mapping`,
        "unmap what map() has returned, once",
      );
    }
    this.#allocated.delete(first);
    return count;
  }

  /** No unit knows the old mapping any more. */
  reuse(first: number, count: number): void {
    this.#free.give(first, count);
  }

  save(): Pick<DomainState, "free" | "allocated"> {
    return { free: this.#free.save(), allocated: [...this.#allocated] };
  }

  restore({ free, allocated }: Pick<DomainState, "free" | "allocated">): void {
    this.#free.restore(free);
    this.#allocated.clear();
    for (const [first, count] of allocated) this.#allocated.set(first, count);
  }
}
