import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { P2m } from "../src/index.ts";
import { GuestLeaves } from "../src/guest/guest-leaves.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_123);

describe("the p2m", () => {
  it("keeps extents, however they were made", () => {
    const p2m = new P2m();
    p2m.map(0, 0x100, 16, "ram");
    p2m.map(16, 0x110, 16, "ram");
    expect(p2m.extents).toHaveLength(1);
    p2m.setType(4, 2, "read-only");
    expect(p2m.extents).toHaveLength(3);
    p2m.setType(4, 2, "ram");
    p2m.unmap(40, 5);
    expect(p2m.extents).toEqual([{ gfn: 0, mfn: 0x100, count: 32, type: "ram" }]);
  });

  it("is what its changes say, frame by frame", () => {
    const change = fc.record({
      gfn: fc.nat(60),
      count: fc.integer({ min: 1, max: 20 }),
      mfn: fc.nat(200),
      what: fc.nat(3),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
        const p2m = new P2m();
        const model = new Map<number, readonly [number, string]>();
        for (const { count, gfn, mfn, what } of changes) {
          const type = what === 0 ? "read-only" : "ram";
          if (what === 2) p2m.unmap(gfn, count);
          else if (what === 3) p2m.setType(gfn, count, "foreign");
          else p2m.map(gfn, mfn, count, type);
          for (let i = 0; i < count; i++) {
            const known = model.get(gfn + i);
            if (what === 2) model.delete(gfn + i);
            else if (what < 2) model.set(gfn + i, [mfn + i, type]);
            else if (known !== undefined) model.set(gfn + i, [known[0], "foreign"]);
          }
        }
        const found = p2m.extents.flatMap(({ count, gfn, mfn, type }) =>
          Array.from({ length: count }, (_, i) => [gfn + i, [mfn + i, type]] as const),
        );
        expect(found).toEqual([...model].sort(([a], [b]) => a - b));
      }),
      { seed, numRuns: 300 },
    );
  });

  it("tells all who show it, even if one can't, and when the last request is over", () => {
    const p2m = new P2m();
    const told: number[] = [];
    const over: (() => void)[] = [];
    const listener = (number: number, fails: boolean) => ({
      changed: () => {
        told.push(number);
        if (fails) throw new Error("no frame");
      },
      drain: (done: () => void) => {
        over.push(done);
        return false;
      },
    });
    const first = p2m.subscribe(listener(1, true));
    const second = p2m.subscribe(listener(2, false));
    expect(() => p2m.map(0, 0, 1, "ram")).toThrow("no frame");
    expect(told).toEqual([1, 2]);
    first();
    p2m.subscribe(listener(3, false));
    let isReleased = false;
    const released = (): void => void (isReleased = true);
    expect(p2m.unmap(0, 1, released)).toBe(false);
    over[0]!();
    expect(isReleased).toBe(false);
    over[1]!();
    expect(isReleased).toBe(true);
    second();
    p2m.unmap(0, 1);
    expect(told).toEqual([1, 2, 2, 3, 3]);
  });

  it("refuses what is no range, and frames of the interrupt range", () => {
    const p2m = new P2m({ hostAddressWidth: 40 });
    const code = expect.objectContaining({ code: "ERR_VIOMMU_P2M" }) as unknown;
    for (const [gfn, mfn, count] of [
      [-1, 0, 1],
      [0, 0, 0],
      [0.5, 0, 1],
      [0, 2 ** 28, 1],
      [0, 0xfee00, 1],
      [0, 0xfe000, 0x1000],
      [2 ** 40, 0, 1],
    ] as const) {
      expect(() => p2m.map(gfn, mfn, count, "ram")).toThrow(code);
    }
    expect(p2m.extents).toEqual([]);
  });
});

describe("what a shadow remembers of the guest's leaves", () => {
  it("is found by input page and by guest frame", () => {
    const leaf = fc.record({
      dfn: fc.constantFrom(0, 5, 511, 512, 2 ** 18, 2 ** 27 + 3),
      gfn: fc.nat(1500),
      order: fc.constantFrom(0, 0, 9),
    });
    fc.assert(
      fc.property(fc.array(leaf, { maxLength: 60 }), fc.nat(1500), (leaves, gfn) => {
        const known = new GuestLeaves(4);
        const model: { dfn: number; gfn: number; order: number; flags: number }[] = [];
        for (const { dfn, gfn: any, order } of leaves) {
          const pages = 2 ** order;
          const place = { dfn: dfn - (dfn % pages), gfn: any - (any % pages), order, flags: 3 };
          const found = { dfn: 0, gfn: 0, order: 0, flags: 0 };
          // what is in the way goes
          while (known.findFrom(place.dfn, place.dfn + pages, found)) {
            known.remove(found);
            model.splice(
              model.findIndex((other) => other.dfn === found.dfn),
              1,
            );
          }
          known.add(place);
          model.push(place);
        }
        expect(known.count).toBe(model.length);
        const told: number[] = [];
        known.forFrames(gfn, 3, (other) => told.push(other.dfn));
        const wanted = model.filter((o) => o.gfn < gfn + 3 && gfn < o.gfn + 2 ** o.order);
        expect(told.sort((a, b) => a - b)).toEqual(
          wanted.map(({ dfn }) => dfn).sort((a, b) => a - b),
        );
        for (const place of model) {
          const found = { dfn: 0, gfn: 0, order: 0, flags: 0 };
          expect(known.find(place.dfn + 2 ** place.order - 1, found)).toBe(true);
          expect(found).toEqual(place);
          known.remove(found);
        }
        expect([known.count, known.tables]).toEqual([0, 1]);
      }),
      { seed, numRuns: 200 },
    );
  });

  it("finds the pages of many frames", () => {
    const leaves = new GuestLeaves(3);
    for (let i = 0; i < 5000; i++) leaves.add({ dfn: i, gfn: 10_000 + 3 * i, order: 0, flags: 1 });
    leaves.add({ dfn: 2 ** 18, gfn: 2 ** 18, order: 18, flags: 3 });
    let count = 0;
    leaves.forFrames(10_000, 30_000, () => (count += 1));
    expect(count).toBe(5000);
    count = 0;
    leaves.forFrames(2 ** 18 + 5, 1, () => (count += 1));
    expect(count).toBe(1);
  });
});
