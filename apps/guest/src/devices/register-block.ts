import type { MmioRegion } from "@viommu/plugin";
import { DeviceRegister, REGISTER_BYTES } from "./layout.ts";

/** What a {@link RegisterBlock} is made of. */
export interface RegisterBlockOptions {
  readonly name: string;
  readonly base: number;
  /** Read-only words by their offset. */
  readonly fixed: Readonly<Record<number, number>>;
  /** A word was written; the new value is in the block. */
  readonly written: (offset: number) => void;
  /** Answers reads of CAUSE. */
  readonly takeCause: () => number;
}

/** The registers of a device: words that a driver writes and reads, 4 or 8 aligned bytes at a time. */
export class RegisterBlock implements MmioRegion {
  readonly name: string;
  readonly base: number;
  readonly size: number = REGISTER_BYTES;
  readonly #words = new Int32Array(REGISTER_BYTES / 4);
  readonly #options: RegisterBlockOptions;

  constructor(options: RegisterBlockOptions) {
    this.name = options.name;
    this.base = options.base;
    this.#options = options;
    for (const [offset, value] of Object.entries(options.fixed)) {
      this.#words[Number(offset) / 4] = value;
    }
  }

  /** The word at an offset, as a whole number. */
  word(offset: number): number {
    return this.#words[offset / 4]! >>> 0;
  }

  /** The address in the two words at an offset; out of reach of every mapping from 2^53 on. */
  address(offset: number): number {
    return this.word(offset + 4) * 2 ** 32 + this.word(offset);
  }

  read(offset: number, size: number, out: Int32Array): void {
    out.fill(0, 0, 2);
    if ((size !== 4 && size !== 8) || offset % size !== 0) return;
    for (let i = 0; i < size / 4; i += 1) {
      const at = offset + 4 * i;
      out[i] = at === DeviceRegister.CAUSE ? this.#options.takeCause() : this.#words[at / 4]!;
    }
  }

  write(offset: number, size: number, low: number, high: number): void {
    if ((size !== 4 && size !== 8) || offset % size !== 0) return;
    this.#store(offset, low);
    if (size === 8) this.#store(offset + 4, high);
  }

  /** Offset and value of all words that are not 0. */
  save(): [offset: number, value: number][] {
    const words: [number, number][] = [];
    this.#words.forEach((value, i) => {
      if (value !== 0) words.push([4 * i, value]);
    });
    return words;
  }

  /** The words as they were; the device is not told. */
  restore(words: readonly (readonly [offset: number, value: number])[]): void {
    this.#words.fill(0);
    for (const [offset, value] of words) this.#words[offset / 4] = value;
  }

  #store(offset: number, value: number): void {
    if (offset in this.#options.fixed) return;
    this.#words[offset / 4] = value;
    this.#options.written(offset);
  }
}
