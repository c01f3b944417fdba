import { PAGE } from "./region.ts";

/** One bit for each page of a piece of memory: set by a write, cleared by whoever reads it. */
export class DirtyPages {
  readonly #bits: Int32Array;

  /** @param size bytes of the memory */
  constructor(size: number) {
    this.#bits = new Int32Array(Math.ceil(size / PAGE / 32));
  }

  /** `length` (at least 1) bytes from byte `from` on were written. */
  mark(from: number, length: number): void {
    const last = (from + length - 1) >>> 12;
    for (let page = from >>> 12; page <= last; page += 1) {
      this.#bits[page >>> 5]! |= 1 << (page & 31);
    }
  }

  /** The dirty ones among the pages from `first` up to `end`, which then are clean. */
  take(first: number, end: number): number[] {
    const dirty: number[] = [];
    for (let page = first; page < end; page += 1) {
      const bits = this.#bits[page >>> 5]!;
      if (bits === 0) {
        page |= 31; // none of these 32
      } else if ((bits & (1 << (page & 31))) !== 0) {
        this.#bits[page >>> 5] = bits & ~(1 << (page & 31));
        dirty.push(page);
      }
    }
    return dirty;
  }
}
