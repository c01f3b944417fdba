import type { GuestMemory } from "@viommu/plugin";

/** Memory that calls `afterWrite` after each single write. */
export class ObservedMemory implements GuestMemory {
  afterWrite: (() => void) | null = null;
  writes = 0;
  readonly shared: boolean = false;
  readonly #memory: GuestMemory;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  get chunks(): GuestMemory["chunks"] {
    return this.#memory.chunks;
  }

  readWords(hi: number, lo: number, count: number, out: Int32Array): boolean {
    return this.#memory.readWords(hi, lo, count, out);
  }

  readBytes(hi: number, lo: number, target: Uint8Array): boolean {
    return this.#memory.readBytes(hi, lo, target);
  }

  view(hi: number, lo: number, length: number, write: boolean): Uint8Array | null {
    return this.#memory.view(hi, lo, length, write);
  }

  writeWord(hi: number, lo: number, value: number): boolean {
    return this.#written(this.#memory.writeWord(hi, lo, value));
  }

  exchangeWord(hi: number, lo: number, expected: number, value: number): number {
    return this.#written(this.#memory.exchangeWord(hi, lo, expected, value));
  }

  writeBytes(hi: number, lo: number, source: Uint8Array): boolean {
    return this.#written(this.#memory.writeBytes(hi, lo, source));
  }

  #written<T>(result: T): T {
    this.writes += 1;
    const probe = this.afterWrite;
    if (probe !== null) {
      this.afterWrite = null; // what the probe itself makes the unit write is no step
      probe();
      this.afterWrite = probe;
    }
    return result;
  }
}
