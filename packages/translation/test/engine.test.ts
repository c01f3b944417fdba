import { createHookTable, DmaRequest } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { TranslationEngine } from "../src/index.ts";
import { Bench, capabilitiesOf, countersOf, LEGACY, secondStageBench } from "./support/machine.ts";

describe("probe", () => {
  it("gives the answer of translate and leaves no trace", () => {
    const { bench, root, levels } = secondStageBench();
    bench.map(root, levels, 0x1000n, 0x9001n);
    const before = countersOf(bench);
    let misses = 0;
    bench.hooks.translateMiss = () => {
      misses += 1;
    };
    for (const access of [1, 2]) {
      const ask = { address: 0x1000n, access };
      const probed = bench.probe(ask);
      expect(bench.probe(ask)).toEqual(probed);
      expect(countersOf(bench)).toEqual(before);
      expect(bench.faults).toEqual([]);
      expect(misses).toBe(0);
    }
    // nothing was cached: neither the page nor the context entry
    bench.map(root, levels, 0x1000n, 0x7001n);
    expect(bench.probe({ address: 0x1000n }).out).toBe(0x7000n);
    bench.context(0x9n, 0x503n);
    expect(bench.probe({ address: 0x1000n }).out).toBe(0x1000n);
  });

  it("sees what is cached", () => {
    const { bench, root, levels } = secondStageBench();
    const slot = bench.map(root, levels, 0x1000n, 0x9003n);
    bench.reason({ address: 0x1000n });
    bench.write(slot, 0n);
    expect(bench.probe({ address: 0x1000n }).out).toBe(0x9000n);
  });

  it("knows FPD", () => {
    const bench = new Bench();
    bench.context(2n, 0n);
    expect(bench.probe({ address: 0n })).toEqual({ result: 2, suppressed: true });
  });
});

describe("observers and counters", () => {
  it("translateMiss comes after each miss, with the answer, and never on a hit", () => {
    const { bench, root, levels } = secondStageBench();
    const seen: [string, number, number][] = [];
    bench.hooks.translateMiss = (unit, request, result) => {
      seen.push([unit, request.lo, result]);
    };
    bench.map(root, levels, 0x1000n, 0x9003n);
    bench.map(root, levels, 0x20_0000n, 0x40_0083n, 2);
    for (const address of [0x1000n, 0x1008n, 0x2000n, 0x20_0000n, 0x3f_f000n]) {
      bench.reason({ address });
    }
    expect(seen).toEqual([
      ["dmar0", 0x1000, 0],
      ["dmar0", 0x2000, 6],
      ["dmar0", 0x20_0000, 0],
    ]);
    expect(countersOf(bench)).toMatchObject({
      misses: 3,
      walks: 3,
      faults: 1,
      contextFetches: 1,
    });
    bench.engine.invalidateIotlbGlobal();
    expect(bench.engine.counters.invalidations).toBe(1);
  });
});

describe("a small IOTLB", () => {
  it.each([1, 2, 8])("%s slots: every answer is right though entries meet", (iotlbSlots) => {
    const { bench, root, levels } = secondStageBench({ iotlbSlots });
    for (let i = 0n; i < 40n; i += 1n) {
      bench.map(root, levels, (i * 0x1234_5000n) % (1n << 48n), (i << 12n) | 3n);
    }
    for (let round = 0; round < 3; round += 1) {
      for (let i = 0n; i < 40n; i += 1n) {
        const { out } = bench.ask({ address: (i * 0x1234_5000n) % (1n << 48n) });
        expect(out).toBe(i << 12n);
      }
    }
  });
});

describe("plain numbers", () => {
  it("translateNumber and translateBigint", () => {
    const { bench, root, levels } = secondStageBench();
    const { engine } = bench;
    bench.map(root, levels, 0x7f_ffff_f000n, 0x3_4567_8001n);
    expect(engine.translateNumber(0x10, 0x7f_ffff_f123, 1)).toBe(0x3_4567_8123);
    expect(engine.translateBigint(0x10, 0x7f_ffff_f123n, 1)).toBe(0x3_4567_8123n);
    expect(engine.translateNumber(0x10, 0x7f_ffff_f123, 2)).toBe(-5);
    expect(engine.translateBigint(0x10, 0x7f_ffff_f123n, 2)).toBe(-5n);
    expect(engine.translateNumber(0x10, 2 ** 60, 1)).toBe(-4);
    expect(engine.translateBigint(0x10, -1n & 0xffff_ffff_ffff_ffffn, 1)).toBe(-4n);
    engine.setEnabled(false);
    engine.setProtected(true, { baseHi: 0, baseLo: 0, limitHi: 0, limitLo: 0xfffff }, null);
    expect(engine.translateNumber(0x10, 0x1000, 1)).toBe(-0x100);
    expect(engine.translateBigint(0x10, 0x1000n, 1)).toBe(-0x100n);
  });
});

describe("options", () => {
  const good = {
    memory: new Bench().memory,
    capabilities: capabilitiesOf(LEGACY),
    hostAddressWidth: 46,
    segment: 3,
    reporter: { dmaFault: () => undefined },
    hooks: createHookTable(),
    unit: "dmar0",
  };

  it.each([
    ["a host address width of 31", { hostAddressWidth: 31 }],
    ["a host address width of 53", { hostAddressWidth: 53 }],
    ["half a bit", { hostAddressWidth: 46.5 }],
    ["no slots", { iotlbSlots: 0 }],
    ["three slots", { iotlbSlots: 3 }],
    ["too many slots", { iotlbSlots: 2 ** 21 }],
    ["an address width of 29", { capabilities: capabilitiesOf({ ...LEGACY, MGAW: 28 }) }],
  ])("%s is refused", (_name, options) => {
    expect(() => new TranslationEngine({ ...good, ...options })).toThrow(
      expect.objectContaining({ code: "ERR_VIOMMU_TRANSLATION" }) as Error,
    );
  });

  it("the segment is that of the unit", () => {
    const engine = new TranslationEngine(good);
    expect(engine.segment).toBe(3);
    expect(engine.translate(new DmaRequest())).toBe(0); // off at first
  });
});
