import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hostLayout } from "../src/machine/host-layout.ts";

const PAGE = 4096;
const LARGE = 2 ** 21;
const seed = Number(process.env.VIOMMU_SEED ?? 20_261_122);

/** Ranges of guest memory, in pages, one behind the other. */
const memory = fc
  .array(fc.tuple(fc.nat(600_000), fc.integer({ min: 1, max: 900_000 })), {
    minLength: 1,
    maxLength: 4,
  })
  .map((parts) => {
    let next = 0;
    return parts.map(([gap, pages]) => {
      const base = next + gap * PAGE;
      next = base + pages * PAGE;
      return { base, size: pages * PAGE };
    });
  });

describe("guest memory in host memory", () => {
  it("is all there, once, nowhere at its own address, with a gap behind each piece", () => {
    const property = fc.property(memory, (ranges) => {
      const { pieces, buffers, tables } = hostLayout(ranges, 1000);
      const byGuest = [...pieces].sort((a, b) => a.base - b.base);
      const ends: number[] = [];
      for (const { base, size, hostBase, buffer, offset } of byGuest) {
        const range = ranges.find((one) => base >= one.base && base < one.base + one.size)!;
        expect(base + size).toBeLessThanOrEqual(range.base + range.size);
        if (base !== range.base) expect(ends).toContain(base);
        ends.push(base + size);
        expect(hostBase).not.toBe(base);
        expect(buffers[buffer]!.base + offset).toBe(base);
        expect(offset + size).toBeLessThanOrEqual(buffers[buffer]!.size);
      }
      for (const { base, size } of ranges) expect(ends).toContain(base + size);
      const sum = (all: readonly { size: number }[]) => all.reduce((s, { size }) => s + size, 0);
      expect(sum(pieces)).toBe(sum(ranges));
      const byHost = [...pieces].sort((a, b) => a.hostBase - b.hostBase);
      expect(byHost[0]!.hostBase).toBeGreaterThan(tables.base + tables.size);
      byHost.slice(1).forEach(({ hostBase }, i) => {
        const below = byHost[i]!;
        expect(hostBase).toBeGreaterThanOrEqual(below.hostBase + below.size + LARGE);
      });
    });
    fc.assert(property, { seed, numRuns: 200 });
  });

  it("can be mapped by large pages, but for the first 2 MiB", () => {
    const { pieces } = hostLayout([{ base: 0, size: 2 ** 29 }], 1000);
    const askew = pieces.filter(({ base, hostBase }) => (hostBase - base) % LARGE !== 0);
    expect(askew).toMatchObject([{ base: 0, size: LARGE }]);
    expect(pieces).toHaveLength(17);
  });
});
