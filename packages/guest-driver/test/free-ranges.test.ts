import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FreeRanges, powerOfTwoFrom } from "../src/free-ranges.ts";
import { enclosingBlock } from "../src/invalidation.ts";
import { IovaAllocator } from "../src/iova-allocator.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_260_801);

/** The same with one flag for each number, found by looking at all of them. */
class SlowRanges {
  readonly #free: boolean[];

  constructor(size: number) {
    this.#free = new Array<boolean>(size).fill(true);
  }

  isFree(start: number, count: number): boolean {
    for (let i = start; i < start + count; i += 1) if (this.#free[i] !== true) return false;
    return true;
  }

  set(start: number, count: number, free: boolean): void {
    this.#free.fill(free, start, start + count);
  }

  candidates(count: number, alignment: number, limit: number): number[] {
    return this.#free
      .map((_, i) => i)
      .filter((i) => i % alignment === 0 && i + count <= limit && this.isFree(i, count));
  }
}

describe("free numbers", () => {
  it("are what a flag for each number says, whatever is taken and given back", () => {
    const step = fc.record({
      kind: fc.constantFrom("lowest", "highest", "exact", "give"),
      count: fc.integer({ min: 1, max: 12 }),
      order: fc.integer({ min: 0, max: 4 }),
      where: fc.integer({ min: 0, max: 99 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const ranges = new FreeRanges(0, 100);
        const slow = new SlowRanges(100);
        const taken: [number, number][] = [];
        for (const { kind, count, order, where } of steps) {
          if (kind === "give") {
            const [range] = taken.splice(where % (taken.length + 1), 1);
            if (range === undefined) continue;
            ranges.give(...range);
            slow.set(...range, true);
            continue;
          }
          const alignment = 2 ** order;
          const [found, expected] =
            kind === "lowest"
              ? [ranges.takeLowest(count, alignment), slow.candidates(count, alignment, 100).at(0)]
              : kind === "highest"
                ? [
                    ranges.takeHighest(count, alignment, where),
                    slow.candidates(count, alignment, where).at(-1),
                  ]
                : [ranges.take(where, count) ? where : -1, slow.isFree(where, count) ? where : -1];
          expect(found).toBe(expected ?? -1);
          if (found < 0) continue;
          slow.set(found, count, false);
          taken.push([found, count]);
        }
      }),
      { seed, numRuns: 500 },
    );
  });

  it("rounds up to powers of two", () => {
    expect([1, 2, 3, 4, 5, 4096, 4097].map(powerOfTwoFrom)).toEqual([1, 2, 4, 4, 8, 4096, 8192]);
  });
});

describe("I/O virtual addresses", () => {
  it("never overlap, are aligned, and keep out of page 0 and the interrupt range", () => {
    const step = fc.record({
      count: fc.integer({ min: 1, max: 70_000 }),
      release: fc.integer({ min: 0, max: 20 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const iova = new IovaAllocator(2 ** 21);
        const live: { first: number; count: number }[] = [];
        for (const { count, release } of steps) {
          const gone = live.splice(release, 1)[0];
          if (gone !== undefined) iova.reuse(gone.first, iova.release(gone.first));
          const first = iova.allocate(count);
          expect(first % powerOfTwoFrom(count)).toBe(0);
          expect(first).toBeGreaterThan(0);
          expect(first + count <= 0xf_ee00 || first >= 0xf_ef00).toBe(true); // FEEx_xxxxh
          for (const other of live) {
            const apart = first + count <= other.first || other.first + other.count <= first;
            expect(apart).toBe(true);
          }
          live.push({ first, count });
        }
        expect(iova.size).toBe(live.length);
      }),
      { seed, numRuns: 100 },
    );
  });
});

describe("the block of pages for an invalidation", () => {
  it("is the smallest aligned power of two around them", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 ** 36 }),
        fc.integer({ min: 1, max: 5000 }),
        (page, count) => {
          const { address, order } = enclosingBlock(page, count);
          const size = 4096 * 2 ** order;
          expect(address % size).toBe(0);
          expect(address).toBeLessThanOrEqual(page * 4096);
          expect(address + size).toBeGreaterThanOrEqual((page + count) * 4096);
          if (order === 0) return;
          const half = size / 2;
          const fits =
            Math.floor((page * 4096) / half) === Math.floor(((page + count) * 4096 - 1) / half);
          expect(fits).toBe(false);
        },
      ),
      { seed },
    );
  });
});
