/** Results of {@link GuestMemory.exchangeWord}. */
export const Exchange = { DONE: 0, DIFFERS: 1, FAILED: 2 } as const;

/**
 * Guest-physical memory as a unit and its devices see it. Addresses follow the convention of
 * `address.ts`. Word accesses are naturally aligned (4 bytes), little-endian, and single-copy atomic.
 */
export interface GuestMemory {
  /**
   * Fast views, indexed by `hi`: `chunks[hi][lo >>> 2]` is the word at that address. A view holds
   * readable memory from its first byte to its last; it may be shorter than 1 GiB. What no view
   * covers is read by {@link readWords}. Views are for reading: writes go through the methods.
   */
  readonly chunks: readonly (Int32Array | undefined)[];
  /** True when other threads (a guest CPU in a worker) write this memory at the same time. */
  readonly shared: boolean;
  /** Reads `count` words into `out` from index 0. False, when any byte is no readable memory. */
  readWords(hi: number, lo: number, count: number, out: Int32Array): boolean;
  /** Writes one word. False, when it is no writable memory. */
  writeWord(hi: number, lo: number, value: number): boolean;
  /** Replaces a word if it still holds `expected`; the result is one of {@link Exchange}. */
  exchangeWord(hi: number, lo: number, expected: number, value: number): number;
  /** Fills `target`, from any byte address. False (target undefined) when any byte is unreadable. */
  readBytes(hi: number, lo: number, target: Uint8Array): boolean;
  /** Stores `source` at any byte address. False (nothing stored) when any byte is not writable. */
  writeBytes(hi: number, lo: number, source: Uint8Array): boolean;
  /**
   * A zero-copy view of `length` bytes (at most up to the next 1 GiB border), or null where the
   * range is not plain memory. A view asked for with `write` counts as written (dirty log).
   */
  view(hi: number, lo: number, length: number, write: boolean): Uint8Array | null;
}
