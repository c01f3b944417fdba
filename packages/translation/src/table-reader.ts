import type { GuestMemory } from "@viommu/plugin";

/** Largest entry: a PASID table entry. */
const MOST_WORDS = 16;
/** How often an entry that changes while it is read is read again. */
const TRIES = 4;

/**
 * Reads the entries of tables in guest memory. Entries of up to 128 bits are read as one (VT-d 9):
 * where guest processors write at the same time, an entry counts as read when two readings agree.
 */
export class TableReader {
  /** The entry read last. */
  readonly words: Int32Array = new Int32Array(MOST_WORDS);
  private readonly again = new Int32Array(MOST_WORDS);
  private readonly memory: GuestMemory;

  constructor(memory: GuestMemory) {
    this.memory = memory;
  }

  /** Reads an entry of `count` words into `words`; false when it lies outside of memory. */
  read(hi: number, lo: number, count: number): boolean {
    if (!this.memory.readWords(hi, lo, count, this.words)) return false;
    for (let tries = 1; this.memory.shared && tries < TRIES; tries += 1) {
      if (!this.memory.readWords(hi, lo, count, this.again)) return false;
      if (this.isEqual(count)) break;
      this.words.set(this.again);
    }
    return true;
  }

  /** Reads the 64-bit entry at a word index of a 1 GiB chunk, first by way of the fast view. */
  readEntry(hi: number, word: number): boolean {
    const chunk = this.memory.chunks[hi];
    if (chunk !== undefined && (word | 1) < chunk.length) {
      const low = chunk[word]!;
      this.words[0] = low;
      this.words[1] = chunk[word | 1]!;
      if (chunk[word] === low) return true; // as on both sides of the other half
    }
    return this.read(hi, word << 2, 2);
  }

  private isEqual(count: number): boolean {
    for (let i = 0; i < count; i += 1) if (this.words[i] !== this.again[i]) return false;
    return true;
  }
}
