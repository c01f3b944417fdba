import { Access } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import { DEVICE, secondStageBench } from "./support/machine.ts";

const MIB = 0x10_0000n;

/**
 * A bench that has asked for a 2 MiB page, so that the level-2 table is known. The entry for that table
 * then names another one: the next 2 MiB give 80_0000h by the cached table, A0_0000h by the present one.
 */
function movedDirectory() {
  const made = secondStageBench();
  const { bench, root, levels } = made;
  bench.map(root, levels, 2n * MIB, 0x60_0083n, 2);
  const next = bench.map(root, levels, 4n * MIB, 0x80_0083n, 2);
  expect(bench.ask({ address: 2n * MIB })).toMatchObject({ out: 0x60_0000n, pageShift: 21 });
  const table = 0x7_0000n;
  bench.write(table | (next & 0xfffn), 0xa0_0083n);
  bench.map(root, levels, 0n, table | 3n, 3);
  return made;
}

describe("VT-d 6.2.5: the level-2 table of 2 MiB pages is cached", () => {
  it.each<[string, boolean, bigint]>([
    ["stays with leaf only", true, 0x80_0000n],
    ["goes with its pages", false, 0xa0_0000n],
  ])("and %s", (_name, leafOnly, out) => {
    const { bench } = movedDirectory();
    bench.engine.invalidateIotlbPages(5, 0, Number(4n * MIB), 0, leafOnly);
    expect(bench.ask({ address: 4n * MIB })).toMatchObject({ out, pageShift: 21 });
  });

  it("a fault is never told by it", () => {
    const { bench } = movedDirectory();
    expect(bench.ask({ address: 4n * MIB, access: Access.READ })).toMatchObject({ result: 0 });
    expect(bench.reason({ address: 6n * MIB })).toBe(FaultReason.READ_DENIED);
  });
});

describe("VT-d 6.2.5: a table that is known", () => {
  it("is used by a probe, which caches nothing", () => {
    const { bench, root, levels } = secondStageBench();
    bench.map(root, levels, 0x1000n, 0x5003n);
    const slot = bench.map(root, levels, 0x2000n, 0x6003n);
    bench.ask({ address: 0x1000n });
    expect(bench.probe({ address: 0x2000n }).out).toBe(0x6000n);
    bench.write(slot, 0x7003n);
    expect(bench.ask({ address: 0x2000n }).out).toBe(0x7000n);
  });

  it("does not hide the interrupt range next to its pages (VT-d 3.15)", () => {
    const { bench, root, levels } = secondStageBench();
    bench.map(root, levels, 0xfee0_0000n, 0x9003n);
    bench.map(root, levels, 0xfef0_0000n, 0xa003n);
    expect(bench.ask({ address: 0xfef0_0000n }).out).toBe(0xa000n);
    expect(bench.reason({ address: 0xfee0_0000n })).toBe(FaultReason.IR_MALFORMED);
  });

  it("nor that in one of its 2 MiB pages", () => {
    const { bench, root, levels } = secondStageBench();
    bench.map(root, levels, 0xc000_0000n, 0x4000_0083n, 2);
    bench.map(root, levels, 0xfee0_0000n, 0x4020_0083n, 2);
    expect(bench.ask({ address: 0xc000_0000n })).toMatchObject({ pageShift: 21 });
    expect(bench.ask({ address: 0xfef0_0000n })).toMatchObject({ pageShift: 12 });
    expect(bench.reason({ address: 0xfee0_0000n })).toBe(FaultReason.IR_MALFORMED);
  });

  it("nor that which a 2 MiB page leads to (LGN.4)", () => {
    const { bench, root, levels } = secondStageBench();
    bench.map(root, levels, 0n, 0x4000_0083n, 2);
    bench.map(root, levels, 2n * MIB, 0xfee0_0083n, 2);
    expect(bench.ask({ address: 0n })).toMatchObject({ pageShift: 21 });
    expect(bench.ask({ address: 3n * MIB })).toMatchObject({ out: 0xfef0_0000n, pageShift: 12 });
    expect(bench.reason({ address: 2n * MIB })).toBe(FaultReason.OUTPUT_IN_INTERRUPT_RANGE);
  });

  it("makes a miss that is counted and observed like others", () => {
    const { bench, root, levels } = secondStageBench();
    const seen: unknown[] = [];
    bench.hooks.translateMiss = (_unit, request, result) => {
      seen.push([request.sourceId, request.lo, request.outLo, result]);
    };
    for (const page of [1n, 2n]) bench.map(root, levels, page << 12n, (page << 16n) | 3n);
    for (const page of [1n, 2n, 2n]) bench.ask({ address: page << 12n });
    expect(seen).toEqual([
      [DEVICE, 0x1000, 0x1_0000, 0],
      [DEVICE, 0x2000, 0x2_0000, 0],
    ]);
    expect(bench.engine.counters).toMatchObject({ misses: 2, walks: 2 });
  });
});
