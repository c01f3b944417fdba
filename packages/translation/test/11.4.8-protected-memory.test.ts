import { DmaResult } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { Bench, secondStageBench } from "./support/machine.ts";

const LOW = { baseHi: 0, baseLo: 0x20_0000, limitHi: 0, limitLo: 0x3f_ffff };
const HIGH = { baseHi: 4, baseLo: 0x10_0000, limitHi: 5, limitLo: 0xf_ffff };

describe("VT-d 11.4.8, protected memory regions", () => {
  it("DMA into a region is aborted and not recorded, while remapping is on", () => {
    const { bench, root, levels } = secondStageBench();
    bench.map(root, levels, 0x1000n, 0x20_0003n);
    bench.map(root, levels, 0x2000n, 0x3f_f003n);
    bench.map(root, levels, 0x3000n, 0x1f_f003n);
    bench.map(root, levels, 0x4000n, 0x40_0003n);
    bench.map(root, levels, 0x5000n, 0x1_4000_0003n);
    expect(bench.reason({ address: 0x1000n })).toBe(0);
    bench.engine.setProtected(true, LOW, HIGH);
    const results = [1, 2, 3, 4, 5].map((page) => bench.reason({ address: BigInt(page) << 12n }));
    expect(results).toEqual([DmaResult.ABORTED, DmaResult.ABORTED, 0, 0, DmaResult.ABORTED]);
    expect(bench.faults).toEqual([]);
    bench.engine.setProtected(false, LOW, HIGH);
    expect(bench.reason({ address: 0x1000n })).toBe(0);
  });

  it("and while it is off", () => {
    const bench = new Bench();
    bench.engine.setEnabled(false);
    expect(bench.reason({ address: 0x20_0000n })).toBe(0);
    bench.engine.setProtected(true, LOW, null);
    expect(bench.reason({ address: 0x20_0000n })).toBe(DmaResult.ABORTED);
    expect(bench.reason({ address: 0x3f_ffffn })).toBe(DmaResult.ABORTED);
    expect(bench.reason({ address: 0x1f_ffffn })).toBe(0);
    expect(bench.reason({ address: 0x40_0000n })).toBe(0);
  });

  it("a large page that only touches a region is answered for 4 KiB", () => {
    const { bench, root, levels } = secondStageBench();
    bench.map(root, levels, 0x4000_0000n, 0x1_0000_0083n, 3);
    bench.engine.setProtected(true, null, HIGH);
    expect(bench.ask({ address: 0x400f_f000n })).toMatchObject({ result: 0, pageShift: 12 });
    expect(bench.reason({ address: 0x4010_0000n })).toBe(DmaResult.ABORTED);
    expect(bench.ask({ address: 0x4000_0000n })).toMatchObject({ result: 0, pageShift: 12 });
    bench.engine.setProtected(false, null, HIGH);
    expect(bench.ask({ address: 0x4010_0000n })).toMatchObject({ result: 0, pageShift: 30 });
  });

  it("a limit below the base protects nothing", () => {
    const bench = new Bench();
    bench.engine.setEnabled(false);
    bench.engine.setProtected(true, { ...LOW, limitLo: 0x1f_ffff }, { ...HIGH, limitHi: 3 });
    expect(bench.reason({ address: 0x20_0000n })).toBe(0);
    expect(bench.reason({ address: 0x1_0010_0000n })).toBe(0);
  });

  it("translated requests are blocked, translation requests answered", () => {
    const { bench, root, levels } = secondStageBench({}, { tt: 1n });
    bench.map(root, levels, 0x1000n, 0x20_0003n);
    bench.engine.setProtected(true, LOW, null);
    expect(bench.ask({ address: 0x1000n, addressType: 1 })).toMatchObject({ out: 0x20_0000n });
    expect(bench.reason({ address: 0x1000n })).toBe(DmaResult.ABORTED);
    expect(bench.reason({ address: 0x20_0000n, addressType: 2 })).toBe(DmaResult.ABORTED);
  });
});
