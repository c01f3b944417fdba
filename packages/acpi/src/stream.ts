import type { Place, Problem } from "./problem.ts";

/** A table being read, front to back. Callers check that the bytes they take are there. */
export class Cursor {
  offset = 0;
  /** Name of the structure that is being read. */
  structure: string;
  readonly problems: Problem[] = [];
  readonly places: Map<object, Place> = new Map<object, Place>();
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, structure: string) {
    this.#bytes = bytes;
    this.structure = structure;
  }

  /** Takes a little-endian number of up to 6 bytes. */
  uint(size: number): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 0x100 + this.#bytes[this.offset + i]!;
    this.offset += size;
    return value;
  }

  /** Takes a copy of the next bytes. */
  bytes(count: number): Uint8Array {
    // Not slice(): that of a Node Buffer is a view.
    const copy = new Uint8Array(this.#bytes.subarray(this.offset, this.offset + count));
    this.offset += count;
    return copy;
  }

  report(offset: number, text: string): void {
    this.problems.push({ offset, structure: this.structure, text });
  }
}

/** A table being written, front to back. */
export class Output {
  readonly places: Map<object, Place> = new Map<object, Place>();
  readonly #bytes: number[] = [];

  get length(): number {
    return this.#bytes.length;
  }

  /** Puts down a little-endian number: at the end, or over bytes written before. */
  uint(size: number, value: number, offset: number = this.length): void {
    let rest = value;
    for (let i = 0; i < size; i++) {
      this.#bytes[offset + i] = rest % 0x100;
      rest = Math.floor(rest / 0x100);
    }
  }

  bytes(bytes: Uint8Array): void {
    for (const byte of bytes) this.#bytes.push(byte);
  }

  toBytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}
