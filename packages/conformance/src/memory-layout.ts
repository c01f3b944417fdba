/** A run of memory, in bytes; both numbers are multiples of 4. */
export interface MemoryRange {
  readonly base: number;
  readonly size: number;
  /** It can be read, but not written. */
  readonly readOnly?: boolean;
}

/** Bytes of memory with one `hi`. */
export const GIB: number = 2 ** 30;

/** What is memory and what is not. */
export class MemoryLayout {
  /** By address; neighbours may touch. */
  readonly ranges: readonly MemoryRange[];
  /** Where a range begins or ends, and where one crosses a 1 GiB border. */
  readonly edges: readonly number[];

  constructor(ranges: readonly MemoryRange[]) {
    this.ranges = [...ranges].sort((a, b) => a.base - b.base);
    const edges = new Set<number>();
    for (const { base, size } of this.ranges) {
      for (let at = base; at < base + size; at = (Math.floor(at / GIB) + 1) * GIB) edges.add(at);
      edges.add(base + size);
    }
    this.edges = [...edges].sort((a, b) => a - b);
  }

  /** Whether every byte of `length` bytes can be read, or with `write` written. */
  covers(address: number, length: number, write = false): boolean {
    let at = address;
    for (const { base, size, readOnly } of this.ranges) {
      const usable = at >= base && at < base + size && !(write && readOnly === true);
      if (usable) at = base + size;
    }
    return at >= address + length;
  }

  /** Runs of a few bytes up to more than a page around every edge, for accesses of any alignment. */
  runsAroundEdges(): readonly { address: number; length: number }[] {
    return this.edges.flatMap((edge) =>
      RUNS.map(([before, length]) => ({ address: edge - before, length })).filter(
        ({ address }) => address >= 0,
      ),
    );
  }

  /** Places of words at every edge, on both sides of it. */
  wordsAtEdges(): readonly number[] {
    const words = new Set(this.edges.flatMap((edge) => [edge - 4, edge]));
    return [...words].filter((address) => address >= 0);
  }

  /** The words at edges which can be written. */
  writableWords(): readonly number[] {
    return this.wordsAtEdges().filter((address) => this.covers(address, 4, true));
  }

  /** Names an address in a finding. */
  describe(address: number, length: number): string {
    const range = this.ranges.find(({ base, size }) => address >= base && address < base + size);
    const kind =
      range === undefined ? "no memory" : range.readOnly === true ? "read-only" : "memory";
    return `${length} bytes at 0x${address.toString(16)} (${kind})`;
  }
}

/** Bytes before the edge, and length. */
const RUNS = [
  [1, 1],
  [0, 1],
  [1, 2],
  [2, 3],
  [3, 4],
  [4, 4],
  [0, 4],
  [4, 8],
  [5, 13],
  [64, 64],
  [64, 65],
  [0, 65],
  [63, 200],
  [4096, 4096],
  [2000, 4097],
] as const;
