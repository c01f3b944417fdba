import { Access } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import { Bench, DEVICE, secondStageBench } from "./support/machine.ts";

const { READ, WRITE, ATOMIC, NONE, BYPASS } = Access;

describe("VT-d 3.15, requests to FEEx_xxxxh", () => {
  it.each([
    ["a read", READ],
    ["a write that is no interrupt", WRITE],
    ["an atomic", ATOMIC],
  ])("%s is blocked and reported, whatever the tables map there", (_name, access) => {
    const { bench, root, levels } = secondStageBench();
    bench.map(root, levels, 0xfee0_0000n, 0x9000n | 3n);
    for (const address of [0xfee0_0000n, 0xfeef_ffffn]) {
      expect(bench.ask({ address, access })).toEqual({
        result: FaultReason.IR_MALFORMED,
        suppressed: false,
      });
    }
    expect(bench.faults[0]).toEqual([FaultReason.IR_MALFORMED, DEVICE, 0xfee0_0000n, false]);
  });

  it("a zero-length read completes unseen", () => {
    const bench = new Bench(); // no context entry at all
    expect(bench.ask({ address: 0xfee0_0000n, access: NONE })).toEqual({
      result: 0,
      out: 0xfee0_0000n,
      pageShift: 12,
      granted: BYPASS,
    });
    expect(bench.faults).toEqual([]);
  });

  it("a large page around the range is cut down to 4 KiB next to it", () => {
    const { bench, root, levels } = secondStageBench();
    bench.map(root, levels, 0xc000_0000n, 0x4000_0083n, 3);
    expect(bench.ask({ address: 0xfedf_f000n })).toMatchObject({
      out: 0x7edf_f000n,
      pageShift: 12,
    });
    expect(bench.reason({ address: 0xfee0_0000n })).toBe(FaultReason.IR_MALFORMED);
    expect(bench.ask({ address: 0xfef0_0000n })).toMatchObject({ out: 0x7ef0_0000n });
    expect(bench.reason({ address: 0xfee0_0000n })).toBe(FaultReason.IR_MALFORMED);
  });
});

describe("VT-d 7.1.3, LGN.4: the output lies in FEEx_xxxxh", () => {
  it.each([
    ["4 KiB page", 1, 0xfee0_5000n | 3n, 0x123n, 0x1000n],
    ["2 MiB page", 2, 0xfee0_0083n, 0xf_f000n, 0x10_0000n],
    ["1 GiB page", 3, 0xc000_0083n, 0x3ee0_0000n, 0x3ed0_0000n],
  ])("%s", (_name, level, entry, inside, outside) => {
    const { bench, root, levels } = secondStageBench();
    bench.map(root, levels, 0n, entry, level);
    if (level === 1) bench.map(root, levels, 0x1000n, 0xfef0_0003n);
    for (let round = 0; round < 2; round += 1) {
      expect(bench.ask({ address: outside })).toMatchObject({ result: 0, pageShift: 12 });
      expect(bench.ask({ address: inside })).toEqual({
        result: FaultReason.OUTPUT_IN_INTERRUPT_RANGE,
        suppressed: false,
      });
    }
  });

  it("for a translation request, too", () => {
    const { bench, root, levels } = secondStageBench({}, { tt: 1n });
    bench.map(root, levels, 0n, 0xfee0_5003n);
    expect(bench.reason({ address: 0n, addressType: 1 })).toBe(
      FaultReason.OUTPUT_IN_INTERRUPT_RANGE,
    );
  });
});
