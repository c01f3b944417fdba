import { hiFromNumber, loFromNumber } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";
import { hex, memoryFailed } from "./errors.ts";

/** Bytes of a page of tables. */
export const PAGE_SIZE = 4096;

/**
 * Guest memory as the driver uses it: by byte address, in words, and with no way for an access to
 * fail silently. Throws ERR_VIOMMU_DRIVER_MEMORY.
 */
export class TableMemory {
  readonly #memory: GuestMemory;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /** Fills `out` from an address. */
  read(address: number, out: Int32Array): Int32Array {
    if (this.tryRead(address, out)) return out;
    throw memoryFailed(
      `${hex(address)} is no readable memory`,
      "give the driver a range that lies in guest memory",
    );
  }

  /** As {@link read}, for addresses that others have written; false when there is no memory. */
  tryRead(address: number, out: Int32Array): boolean {
    return this.#memory.readWords(hiFromNumber(address), loFromNumber(address), out.length, out);
  }

  /** Bytes for a parser of tables, or undefined where there is no memory. */
  readBytes(address: number, length: number): Uint8Array | undefined {
    const bytes = new Uint8Array(length);
    const found = this.#memory.readBytes(hiFromNumber(address), loFromNumber(address), bytes);
    return found ? bytes : undefined;
  }

  /** Stores a structure in one piece. */
  write(address: number, words: Int32Array): void {
    const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
    const stored = this.#memory.writeBytes(hiFromNumber(address), loFromNumber(address), bytes);
    if (!stored) throw this.#notWritable(address);
  }

  /** Stores one word. */
  writeWord(address: number, value: number): void {
    const stored = this.#memory.writeWord(hiFromNumber(address), loFromNumber(address), value);
    if (!stored) throw this.#notWritable(address);
  }

  #notWritable(address: number): Error {
    return memoryFailed(
      `${hex(address)} is no writable memory`,
      "give the driver a range that lies in guest memory",
    );
  }
}
