import { hiFromNumber, loFromNumber } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";
import { MemoryLayout } from "./memory-layout.ts";
import type { MemoryRange } from "./memory-layout.ts";

/** A memory to prove, and what it should hold. */
export interface GuestMemoryHarness {
  readonly memory: GuestMemory;
  /**
   * All memory there is; everything else is a hole. The suite writes into it. It proves most with a
   * range that crosses a 1 GiB border, a hole between two ranges, and read-only memory that touches
   * writable memory.
   */
  readonly ranges: readonly MemoryRange[];
}

/** A memory with its layout, and with byte addresses as numbers instead of `hi` and `lo`. */
export class MemoryUnderTest {
  readonly port: GuestMemory;
  readonly layout: MemoryLayout;

  constructor({ memory, ranges }: GuestMemoryHarness) {
    this.port = memory;
    this.layout = new MemoryLayout(ranges);
  }

  readWords(address: number, count: number, out: Int32Array): boolean {
    return this.port.readWords(hiFromNumber(address), loFromNumber(address), count, out);
  }

  /** The word, or undefined where the memory refuses. */
  word(address: number): number | undefined {
    const out = new Int32Array(1);
    return this.readWords(address, 1, out) ? out[0] : undefined;
  }

  writeWord(address: number, value: number): boolean {
    return this.port.writeWord(hiFromNumber(address), loFromNumber(address), value);
  }

  exchange(address: number, expected: number, value: number): number {
    const { port } = this;
    return port.exchangeWord(hiFromNumber(address), loFromNumber(address), expected, value);
  }

  readBytes(address: number, target: Uint8Array): boolean {
    return this.port.readBytes(hiFromNumber(address), loFromNumber(address), target);
  }

  /** The bytes, or none where the memory refuses. */
  bytes(address: number, length: number): Uint8Array {
    const target = new Uint8Array(length);
    return this.readBytes(address, target) ? target : new Uint8Array(0);
  }

  writeBytes(address: number, source: Uint8Array): boolean {
    return this.port.writeBytes(hiFromNumber(address), loFromNumber(address), source);
  }

  view(address: number, length: number, write: boolean): Uint8Array | null {
    return this.port.view(hiFromNumber(address), loFromNumber(address), length, write);
  }
}
