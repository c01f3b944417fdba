import type { ChunkedMemory } from "@viommu/memory";
import type { GuestMemory } from "@viommu/plugin";

/** Guest memory that counts the accesses of units to it: what a guest makes its host do. */
export class CountingMemory implements GuestMemory {
  readonly chunks = [];
  readonly shared = false;
  readonly inner: ChunkedMemory;
  accesses = 0;

  constructor(inner: ChunkedMemory) {
    this.inner = inner;
  }

  readWords(hi: number, lo: number, count: number, out: Int32Array): boolean {
    this.accesses += 1;
    return this.inner.readWords(hi, lo, count, out);
  }

  writeWord(hi: number, lo: number, value: number): boolean {
    this.accesses += 1;
    return this.inner.writeWord(hi, lo, value);
  }

  exchangeWord(hi: number, lo: number, expected: number, value: number): number {
    this.accesses += 1;
    return this.inner.exchangeWord(hi, lo, expected, value);
  }

  readBytes(hi: number, lo: number, target: Uint8Array): boolean {
    this.accesses += 1;
    return this.inner.readBytes(hi, lo, target);
  }

  writeBytes(hi: number, lo: number, source: Uint8Array): boolean {
    this.accesses += 1;
    return this.inner.writeBytes(hi, lo, source);
  }

  view(hi: number, lo: number, length: number, write: boolean): Uint8Array | null {
    return this.inner.view(hi, lo, length, write);
  }
}
