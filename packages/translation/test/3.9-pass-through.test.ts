import { Access, DmaResult } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import { Bench, secondStageBench } from "./support/machine.ts";

const { READ, WRITE, NONE, BYPASS } = Access;
const ALL = READ | WRITE | BYPASS;

/** A bench with one device in pass-through. */
function passThrough(hostAddressWidth = 46): Bench {
  const bench = new Bench({ hostAddressWidth });
  bench.context(0x9n, 0x103n);
  return bench;
}

describe("VT-d 3.9, pass-through (TT = 10b)", () => {
  it("gives the address back, with all rights, for a large range", () => {
    const bench = passThrough();
    for (const access of [READ, WRITE, 3, NONE]) {
      expect(bench.ask({ address: 0x12_3456_7890n, access })).toEqual({
        result: 0,
        out: 0x12_3456_7890n,
        pageShift: 30,
        granted: ALL,
      });
    }
  });

  it("SSPTPTR is not used", () => {
    const bench = passThrough();
    bench.context(0x3fff_ffff_f000n | 0x9n, 0x103n);
    expect(bench.reason({ address: 0n })).toBe(0);
  });

  it.each([36, 46, 52])("LGN.1.3: addresses beyond a host address width of %s", (haw) => {
    const bench = passThrough(haw);
    const end = 1n << BigInt(haw);
    expect(bench.ask({ address: end - 1n }).out).toBe(end - 1n);
    for (const address of [end, end << 1n, 1n << 57n, (1n << 64n) - 1n]) {
      expect(bench.reason({ address })).toBe(FaultReason.ADDRESS_BEYOND_WIDTH);
    }
  });

  it("near the interrupt range the answer holds for 4 KiB only", () => {
    const bench = passThrough();
    expect(bench.ask({ address: 0xfedf_f123n })).toMatchObject({ pageShift: 12 });
    expect(bench.ask({ address: 0xfef0_0000n })).toMatchObject({ pageShift: 12 });
    expect(bench.ask({ address: 0xbfff_ffffn })).toMatchObject({ pageShift: 30 });
  });
});

describe("VT-d 11.4.4, remapping is off", () => {
  it("every address goes through, whoever asks, with or without PASID", () => {
    const bench = new Bench();
    bench.engine.setEnabled(false);
    for (const address of [0n, 0xfee0_0000n, 0xfee0_1000n, 1n << 50n, 0xffff_ffff_ffff_f000n]) {
      for (const sourceId of [0, 0x10, 0xffff]) {
        for (const pasid of [-1, 0, 77]) {
          const answer = bench.ask({ address, sourceId, pasid, access: WRITE });
          expect(answer).toMatchObject({ result: 0, out: address, granted: ALL });
        }
      }
    }
    expect(bench.faults).toEqual([]);
  });

  it("an address without representation goes through marked", () => {
    const bench = new Bench();
    bench.engine.setEnabled(false);
    expect(bench.ask({ address: (1n << 60n) | 0x5000n })).toMatchObject({ result: 0 });
    expect(bench.ask({ address: 0x5000n }).out).toBe(0x5000n);
  });

  it("VT-d 4.2.1: other address types are blocked and not recorded", () => {
    const bench = new Bench();
    bench.engine.setEnabled(false);
    for (const addressType of [1, 2, 3]) {
      expect(bench.reason({ address: 0n, addressType })).toBe(DmaResult.ABORTED);
    }
    expect(bench.faults).toEqual([]);
  });

  it("switching on and off forgets what was cached", () => {
    const { bench, root, levels } = secondStageBench();
    bench.map(root, levels, 0x5000n, 0x9000n | 3n);
    expect(bench.ask({ address: 0x5000n }).out).toBe(0x9000n);
    bench.engine.setEnabled(false);
    expect(bench.ask({ address: 0x5000n }).out).toBe(0x5000n);
    bench.map(root, levels, 0x5000n, 0x7000n | 3n);
    bench.engine.setEnabled(true);
    expect(bench.ask({ address: 0x5000n }).out).toBe(0x7000n);
  });

  it("reset switches off and forgets the root table", () => {
    const { bench } = secondStageBench();
    bench.engine.reset();
    expect(bench.ask({ address: 0x5000n })).toMatchObject({ result: 0, out: 0x5000n });
    bench.engine.setEnabled(true);
    expect(bench.reason({ address: 0x5000n })).toBe(FaultReason.ROOT_NOT_PRESENT);
  });
});
