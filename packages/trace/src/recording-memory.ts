import { Exchange, toBigint } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";
import type { MemoryBytes } from "./format.ts";

/** The unit's view of a guest memory: passes everything on, and keeps what a trace has to tell. */
export class RecordingMemory implements GuestMemory {
  readonly chunks: readonly (Int32Array | undefined)[] = [];
  readonly #memory: GuestMemory;
  readonly #word = new Int32Array(1);
  /** Bytes that this event has read or written: only what was there before it counts as read. */
  #touched = new Set<bigint>();
  #reads: MemoryBytes[] = [];
  #writes: MemoryBytes[] = [];

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  get shared(): boolean {
    return this.#memory.shared;
  }

  /** What was read and written since the last call. */
  take(): { reads: MemoryBytes[]; writes: MemoryBytes[] } {
    const taken = { reads: this.#reads, writes: this.#writes };
    this.#touched = new Set();
    this.#reads = [];
    this.#writes = [];
    return taken;
  }

  readWords(hi: number, lo: number, count: number, out: Int32Array): boolean {
    const done = this.#memory.readWords(hi, lo, count, out);
    this.#noteRead(hi, lo, done ? wordBytes(out.subarray(0, count)) : null);
    return done;
  }

  readBytes(hi: number, lo: number, target: Uint8Array): boolean {
    const done = this.#memory.readBytes(hi, lo, target);
    this.#noteRead(hi, lo, done ? target : null);
    return done;
  }

  writeWord(hi: number, lo: number, value: number): boolean {
    const done = this.#memory.writeWord(hi, lo, value);
    this.#noteWrite(hi, lo, wordBytes(Int32Array.of(value)), done);
    return done;
  }

  writeBytes(hi: number, lo: number, source: Uint8Array): boolean {
    const done = this.#memory.writeBytes(hi, lo, source);
    this.#noteWrite(hi, lo, source.slice(), done);
    return done;
  }

  exchangeWord(hi: number, lo: number, expected: number, value: number): number {
    this.readWords(hi, lo, 1, this.#word);
    const result = this.#memory.exchangeWord(hi, lo, expected, value);
    if (result === Exchange.DONE) {
      this.#noteWrite(hi, lo, wordBytes(Int32Array.of(value)), true);
    }
    return result;
  }

  view(): null {
    return null;
  }

  #noteRead(hi: number, lo: number, bytes: Uint8Array | null): void {
    const address = toBigint(hi, lo);
    if (bytes === null) {
      this.#reads.push({ address, bytes });
      return;
    }
    let run: number[] = [];
    for (let i = 0; i <= bytes.length; i += 1) {
      const at = address + BigInt(i);
      if (i < bytes.length && !this.#touched.has(at)) {
        this.#touched.add(at);
        run.push(bytes[i]!);
      } else if (run.length > 0) {
        this.#reads.push({ address: at - BigInt(run.length), bytes: Uint8Array.from(run) });
        run = [];
      }
    }
  }

  #noteWrite(hi: number, lo: number, bytes: Uint8Array, done: boolean): void {
    const address = toBigint(hi, lo);
    this.#writes.push({ address, bytes: done ? bytes : null });
    if (done) bytes.forEach((_, i) => this.#touched.add(address + BigInt(i)));
  }
}

/** Little-endian, whatever the host is. */
function wordBytes(words: Int32Array): Uint8Array {
  const bytes = new Uint8Array(4 * words.length);
  const view = new DataView(bytes.buffer);
  words.forEach((word, i) => {
    view.setInt32(4 * i, word, true);
  });
  return bytes;
}
