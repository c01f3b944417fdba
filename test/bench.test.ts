import { describe, expect, it } from "vitest";

/** The harness is plain JavaScript, run by Node without a build; these are the parts under test. */
interface Stats {
  median: (values: readonly number[]) => number;
  shuffled: (count: number, seed?: number) => number[];
}
interface Guest {
  readonly words: Int32Array;
  allocate(order?: number): number;
  map(
    root: number,
    levels: number,
    address: number,
    target: number,
    options?: { pageShift?: number },
  ): void;
  legacyRootTable(
    devices: { sourceId: number; domainId: number; root: number; levels: number }[],
  ): number;
  scalableRootTable(device: {
    sourceId: number;
    domainId: number;
    pgtt: number;
    firstStage: number;
    secondStage: number;
  }): number;
}
interface Verdict {
  readonly goals: { median: number; ok: boolean }[];
}
interface Row {
  id: string;
  title: string;
  goals: { against?: string; row?: string; atMost: number }[];
}

async function harness(name: string): Promise<unknown> {
  return (await import(new URL(`../bench/lib/${name}.mjs`, import.meta.url).href)) as unknown;
}
const { median, shuffled } = (await harness("stats")) as Stats;
const { Guest } = (await harness("guest-tables")) as { Guest: new (bytes: number) => Guest };
const { judgeRow } = (await harness("verdicts")) as {
  judgeRow: (row: Row, runs: Record<string, Record<string, number>>[]) => Verdict | null;
};
const { randomPages } = (await harness("addresses")) as {
  randomPages: (base: number, count: number) => { pairs: Int32Array; values: BigUint64Array };
};

/** A 64-bit word of guest memory. */
function word(guest: Guest, address: bigint): bigint {
  const at = Number(address / 4n);
  return (BigInt(guest.words[at + 1]! >>> 0) << 32n) | BigInt(guest.words[at]! >>> 0);
}

/** The walk of VT-d 3.7 as slowly as it can be written. */
function walk(guest: Guest, root: number, levels: number, address: bigint): bigint | null {
  let table = BigInt(root);
  for (let level = levels; level >= 1; level--) {
    const shift = BigInt(12 + 9 * (level - 1));
    const entry = word(guest, table + ((address >> shift) & 511n) * 8n);
    if ((entry & 3n) === 0n) return null;
    const target = entry & 0xf_ffff_ffff_f000n;
    if (level === 1 || (entry & 0x80n) !== 0n) return target | (address & ((1n << shift) - 1n));
    table = target;
  }
  return null;
}

describe("the numbers of the benchmarks", () => {
  it("takes the middle value, or the mean of the two in the middle", () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });

  it("shuffles to a permutation that is the same each time", () => {
    expect(shuffled(100, 3)).toEqual(shuffled(100, 3));
    expect(shuffled(100, 3)).not.toEqual(shuffled(100, 4));
    expect([...shuffled(100)].sort((a, b) => a - b)).toEqual(
      Array.from({ length: 100 }, (_, i) => i),
    );
  });

  it("judges the median of the ratios of single processes", () => {
    const row: Row = { id: "a", title: "a", goals: [{ against: "ideal", atMost: 2 }] };
    const runs = [
      { a: { viommu: 10, ideal: 10 } },
      { a: { viommu: 30, ideal: 10 } },
      { a: { viommu: 40, ideal: 20 } },
    ];
    expect(judgeRow(row, runs)?.goals).toMatchObject([{ median: 2, least: 1, most: 3, ok: true }]);
  });

  it("leaves out a goal whose other side was not measured, and a row that was not", () => {
    const row: Row = { id: "a", title: "a", goals: [{ against: "glib", atMost: 1 }] };
    expect(judgeRow(row, [{ a: { viommu: 1 } }])?.goals).toEqual([]);
    expect(judgeRow(row, [{}])).toBeNull();
  });

  it("gives both sides the same addresses", () => {
    const { pairs, values } = randomPages(0x1234_5678_9000, 8);
    const fromPairs = Array.from(
      values,
      (_, i) => (BigInt(pairs[2 * i]!) << 30n) | BigInt(pairs[2 * i + 1]!),
    );
    expect(fromPairs).toEqual([...values]);
    expect(new Set(fromPairs.map((address) => address >> 12n)).size).toBe(8);
  });
});

describe("the tables of the benchmarks", () => {
  for (const levels of [3, 4, 5])
    it(`maps what a walk of ${levels} levels finds, and nothing else`, () => {
      const guest = new Guest(2 ** 20);
      const root = guest.allocate();
      guest.map(root, levels, 0x12_3456_7000, 0x3_89ab_c000);
      guest.map(root, levels, 0x20_0000_0000, 0x2_0020_0000, { pageShift: 21 });
      expect(walk(guest, root, levels, 0x12_3456_7abcn)).toBe(0x3_89ab_cabcn);
      expect(walk(guest, root, levels, 0x12_3456_8000n)).toBeNull();
      expect(walk(guest, root, levels, 0x20_001f_fff8n)).toBe(0x2_003f_fff8n);
      expect(walk(guest, root, levels, 0x20_0020_0000n)).toBeNull();
    });

  it("leads a device from the root table to its paging structure (VT-d 9.1, 9.3)", () => {
    const guest = new Guest(2 ** 20);
    const root = guest.allocate();
    const devices = [{ sourceId: 0x0308, domainId: 7, root, levels: 4 }];
    const rootEntry = word(guest, BigInt(guest.legacyRootTable(devices) + 16 * 3));
    expect(rootEntry & 0xfffn).toBe(1n);
    const context = (rootEntry & ~0xfffn) + 16n * 8n;
    expect(word(guest, context)).toBe(BigInt(root) | 1n);
    expect(word(guest, context + 8n)).toBe((7n << 8n) | 2n);
  });

  it("leads a device in scalable mode to a PASID table entry (VT-d 9.2, 9.4 to 9.6)", () => {
    const guest = new Guest(2 ** 20);
    const device = {
      sourceId: 0x0285,
      domainId: 9,
      pgtt: 3,
      firstStage: 0x8000,
      secondStage: 0x9000,
    };
    const root = BigInt(guest.scalableRootTable(device));
    const table = (entry: bigint): bigint => entry & ~0xfffn;
    const contexts = word(guest, root + 16n * 2n + 8n); // device-function 85h: the upper half
    const directory = word(guest, table(contexts) + 32n * 5n);
    const entries = word(guest, table(directory));
    expect([contexts, directory, entries].map((entry) => entry & 0xfffn)).toEqual([1n, 1n, 1n]);
    const words = [0n, 8n, 16n].map((offset) => word(guest, table(entries) + offset));
    expect(words).toEqual([0x9000n | (3n << 6n) | (2n << 2n) | 1n, 9n, 0x8000n]);
  });
});
