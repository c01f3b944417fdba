import type { GuestMemory } from "@viommu/plugin";

const CHUNK_FRAMES = 2 ** 18;

/** Reads entries of guest tables; frames are in units of 4 KiB. */
export class EntryReader {
  readonly #memory: GuestMemory;
  /** The words of the entry read last. */
  readonly words: Int32Array = new Int32Array(16);

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /** Reads entry `index` of `size` words (up to 16) in the table at `frame`. False: no memory. */
  read(frame: number, index: number, size: number): boolean {
    const byte = index * size * 4;
    const at = frame + Math.floor(byte / 4096);
    const hi = Math.floor(at / CHUNK_FRAMES);
    const lo = (at % CHUNK_FRAMES) * 4096 + (byte % 4096);
    const chunk = this.#memory.chunks[hi];
    if (size === 2 && chunk !== undefined && !this.#memory.shared && lo >>> 2 < chunk.length - 1) {
      this.words[0] = chunk[lo >>> 2]!;
      this.words[1] = chunk[(lo >>> 2) | 1]!;
      return true;
    }
    return this.#memory.readWords(hi, lo, size, this.words);
  }
}

/** Frame number in an entry of 64 bits that starts at word `at`. */
export function frameIn(words: Int32Array, at: number): number {
  return (words[at + 1]! & 0xf_ffff) * 2 ** 20 + (words[at]! >>> 12);
}

/** Whether an entry has a bit of the mask set. */
export function hasReserved(words: Int32Array, mask: Int32Array, from = 0): boolean {
  let set = 0;
  for (let i = 0; i < mask.length; i++) set |= words[from + i]! & mask[i]!;
  return set !== 0;
}
