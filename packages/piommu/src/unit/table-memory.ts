import { Exchange } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";
import { hex, refusal } from "./refusal.ts";

const WORDS = 1024;

/**
 * Tables in host memory, by frame and number of the 64-bit entry in it.
 *
 * A write of 8 or 16 bytes is one step: nobody sees a part of it. That is what processors offer
 * (a MOV, CMPXCHG16B) and what a unit keeps to, which reads entries of up to 128 bits in one piece
 * (VT-d 9). Larger entries are changed elsewhere: see ScalableTables.
 */
export class TableMemory {
  /** The entry read last: bits 31:0 and 63:32. */
  low = 0;
  high = 0;
  private readonly memory: GuestMemory;
  private readonly words = new Int32Array(4);
  private readonly one = new Uint8Array(this.words.buffer, 0, 8);
  private readonly two = new Uint8Array(this.words.buffer);
  private readonly page = new Int32Array(WORDS);
  private readonly pageBytes = new Uint8Array(this.page.buffer);

  constructor(memory: GuestMemory) {
    this.memory = memory;
  }

  /** Reads an entry into `low` and `high`. */
  read(frame: number, entry: number): void {
    const chunk = this.memory.chunks[hiOf(frame)];
    const at = ((frame & 0x3_ffff) << 10) | (entry << 1);
    if (chunk !== undefined && (at | 1) < chunk.length) {
      this.low = chunk[at]!;
      this.high = chunk[at | 1]!;
      return;
    }
    this.check(frame, this.memory.readWords(hiOf(frame), loOf(frame, entry), 2, this.words));
    this.low = this.words[0]!;
    this.high = this.words[1]!;
  }

  /** Writes an entry of 64 bits, in one step. */
  write(frame: number, entry: number, low: number, high: number): void {
    this.words[0] = low;
    this.words[1] = high;
    this.check(frame, this.memory.writeBytes(hiOf(frame), loOf(frame, entry), this.one));
  }

  /** Writes the first 128 bits of `words` in one step; `entry` is even. */
  writeDouble(frame: number, entry: number, words: Int32Array): void {
    this.words.set(words.subarray(0, 4));
    this.check(frame, this.memory.writeBytes(hiOf(frame), loOf(frame, entry), this.two));
  }

  /** Writes an entry of any size into a frame that nobody reads yet. */
  fill(frame: number, entry: number, words: Int32Array): void {
    for (let i = 0; i < words.length; i += 2) {
      this.write(frame, entry + (i >> 1), words[i]!, words[i + 1]!);
    }
  }

  /** Copies a frame over one that nobody reads. */
  copy(from: number, to: number): void {
    this.check(from, this.memory.readWords(hiOf(from), loOf(from, 0), WORDS, this.page));
    this.check(to, this.memory.writeBytes(hiOf(to), loOf(to, 0), this.pageBytes));
  }

  /** Fills a frame that nobody reads; `entry` writes the two words of each of the 512 entries. */
  fillFrame(frame: number, entry: (words: Int32Array, at: number, index: number) => void): void {
    for (let i = 0; i < 512; i += 1) entry(this.page, i << 1, i);
    this.check(frame, this.memory.writeBytes(hiOf(frame), loOf(frame, 0), this.pageBytes));
  }

  /** Clears bits of `low` in an entry that a unit changes at the same time. */
  clearBits(frame: number, entry: number, bits: number): void {
    for (;;) {
      this.read(frame, entry);
      const cleared = this.low & ~bits;
      const done = this.memory.exchangeWord(hiOf(frame), loOf(frame, entry), this.low, cleared);
      this.check(frame, done !== Exchange.FAILED);
      if (done === Exchange.DONE) return;
    }
  }

  private check(frame: number, done: boolean): void {
    if (done) return;
    throw refusal(`frame ${hex(frame)} is no memory any more; keep the memory of tables`);
  }
}

function hiOf(frame: number): number {
  return frame >>> 18;
}

function loOf(frame: number, entry: number): number {
  return ((frame & 0x3_ffff) << 12) | (entry << 3);
}
