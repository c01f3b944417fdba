/** A block of memory-mapped registers. */
export interface MmioRegion {
  readonly name: string;
  /** Guest-physical byte address. */
  readonly base: number;
  /** Bytes. */
  readonly size: number;
  /** Reads `size` bytes (1, 2, 4, 8) at `offset` from the base: `out[0]` low word, `out[1]` high word. */
  read(offset: number, size: number, out: Int32Array): void;
  /** Writes `size` bytes; `high` counts for 8-byte accesses only. */
  write(offset: number, size: number, low: number, high: number): void;
}
