import { Access, DmaResult } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { Bench } from "./support/bench.ts";

const PMEN = 0x64;
const EPM = 0x8000_0000;

const protect = (): Bench => {
  const bench = new Bench({ protectedMemory: true, hostAddressWidth: 40 });
  bench.write32(0x68, 0x0030_0000);
  bench.write32(0x6c, 0x0040_0000);
  bench.write64(0x70, 0x10_0000_0000n);
  bench.write64(0x78, 0x10_0000_0000n);
  return bench;
};

describe("protected memory (VT-d 11.4.8)", () => {
  it("shows its alignment to software that writes ones: whole MBytes", () => {
    const bench = new Bench({ protectedMemory: true, hostAddressWidth: 40 });
    bench.write32(0x68, -1);
    bench.write64(0x78, -1n & 0xffff_ffff_ffff_ffffn);
    expect(bench.read32(0x68)).toBe(0xfff0_0000);
    expect(bench.read64(0x78)).toBe(0xff_fff0_0000n);
  });

  it("blocks DMA to the ranges, both ends included, and records nothing", () => {
    const bench = protect();
    bench.write32(PMEN, EPM);
    expect(bench.read32(PMEN)).toBe((EPM | 1) >>> 0);
    for (const [address, result] of [
      [0x2f_ffffn, 0],
      [0x30_0000n, DmaResult.ABORTED],
      [0x4f_ffffn, DmaResult.ABORTED],
      [0x50_0000n, 0],
      [0xf_ffff_ffffn, 0],
      [0x10_0000_0000n, DmaResult.ABORTED],
      [0x10_000f_ffffn, DmaResult.ABORTED],
      [0x10_0010_0000n, 0],
    ] as const) {
      expect(bench.dma(0x10, address, Access.WRITE)).toBe(result);
    }
    expect(bench.read32(0x34)).toBe(0);
    bench.write32(PMEN, 0);
    expect(bench.read32(PMEN)).toBe(0);
    expect(bench.dma(0x10, 0x30_0000n)).toBe(0);
  });

  it("protects nothing with a limit below the base", () => {
    const bench = protect();
    bench.write32(0x6c, 0x0020_0000);
    bench.write32(PMEN, EPM);
    expect(bench.dma(0x10, 0x30_0000n)).toBe(0);
  });

  it("protects to the end of memory with a limit of all ones", () => {
    const bench = protect();
    bench.write64(0x78, 0xffff_ffff_fff0_0000n);
    bench.write32(PMEN, EPM);
    expect(bench.dma(0x10, 0xff_ffff_f000n)).toBe(DmaResult.ABORTED);
  });

  it("locks base and limit while it is on", () => {
    const bench = protect();
    bench.write32(PMEN, EPM);
    bench.write32(0x68, 0);
    bench.write32(0x6c, 0);
    bench.write64(0x70, 0n);
    bench.write64(0x78, 0n);
    expect([bench.read32(0x68), bench.read32(0x6c)]).toEqual([0x0030_0000, 0x0040_0000]);
    expect([bench.read64(0x70), bench.read64(0x78)]).toEqual([0x10_0000_0000n, 0x10_0000_0000n]);
    bench.write32(PMEN, 0);
    bench.write32(0x68, 0);
    expect(bench.read32(0x68)).toBe(0);
  });

  it("reports PRS after the accesses in flight have ended", () => {
    const bench = protect();
    const ticket = bench.unit.dma.enter();
    bench.write32(PMEN, EPM);
    expect(bench.read32(PMEN)).toBe(EPM);
    expect(bench.dma(0x10, 0x30_0000n)).toBe(DmaResult.ABORTED);
    bench.write32(0x68, 0);
    expect(bench.read32(0x68)).toBe(0x0030_0000);
    bench.unit.dma.leave(ticket);
    expect(bench.read32(PMEN)).toBe((EPM | 1) >>> 0);
  });

  it("is read-only without the capabilities", () => {
    const bench = new Bench();
    bench.write32(PMEN, EPM);
    bench.write32(0x6c, -1);
    expect([bench.read32(PMEN), bench.read32(0x6c)]).toEqual([0, 0]);
    expect(bench.dma(0x10, 0n)).toBe(0);
  });
});
