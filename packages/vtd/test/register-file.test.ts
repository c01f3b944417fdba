import { describe, expect, it } from "vitest";
import { Bench, CFI } from "./support/bench.ts";

const read = (bench: Bench, offset: number, size: number): number[] => {
  const out = Int32Array.of(-1, -1);
  bench.unit.read(offset, size, out);
  return [...out];
};

describe("access rules (VT-d 11.3)", () => {
  it("reads a 64-bit register whole or in halves", () => {
    const bench = new Bench();
    bench.write64(0x20, 0x12_3456_7000n);
    expect(bench.read64(0x20)).toBe(0x12_3456_7000n);
    expect(bench.read32(0x20)).toBe(0x3456_7000);
    expect(bench.read32(0x24)).toBe(0x12);
  });

  it("writes a 64-bit register in halves in either order", () => {
    for (const halves of [
      [0, 4],
      [4, 0],
    ]) {
      const bench = new Bench();
      for (const at of halves) bench.write32(0x20 + at, at === 0 ? 0x3456_7000 : 0x12);
      expect(bench.read64(0x20)).toBe(0x12_3456_7000n);
    }
  });

  it("takes 8 bytes over two 32-bit registers as both, low first", () => {
    const bench = new Bench();
    bench.write64(0x40, 0x1_fee0_1000n);
    expect([bench.read32(0x40), bench.read32(0x44)]).toEqual([0xfee0_1000, 1]);
    expect(bench.read64(0x40)).toBe(0x1_fee0_1000n);
  });

  it("reads zeros and writes nothing for other sizes, misaligned and outside accesses", () => {
    const bench = new Bench();
    bench.write32(0x3c, 0x1234);
    for (const [offset, size] of [
      [0x3c, 1],
      [0x3c, 2],
      [0x3c, 8],
      [0x3e, 4],
      [0x3d, 2],
      [0x3c, 16],
      [0x1000, 4],
      [-4, 4],
      [2 ** 32 + 0x3c, 4],
      [NaN, 4],
    ] as const) {
      expect(read(bench, offset, size)).toEqual([0, 0]);
      bench.unit.write(offset, size, -1, -1);
    }
    expect(bench.read32(0x3c)).toBe(0x1234);
    expect(bench.read32(0x38)).toBe(0x8000_0000);
  });

  it("clears the high word of the answer to a 4-byte read", () => {
    expect(read(new Bench(), 0x10, 4)[1]).toBe(0);
  });

  it("has one page, or more where a movable block lies beyond it", () => {
    expect(new Bench().unit.size).toBe(0x1000);
    const far = new Bench({ faultRecords: 256 });
    expect(far.unit.size).toBe(0x2000);
    const farther = new Bench({ faultRecordOffset: 0x3ff0, iotlbRegisterOffset: 0x1500 });
    expect(farther.unit.size).toBe(0x5000);
  });
});

describe("access to each register (VT-d 11.4)", () => {
  const bench = new Bench({
    version: 0x50,
    deviceTlb: true,
    scalableMode: true,
    pageRequests: true,
    protectedMemory: true,
    hostAddressWidth: 46,
  });
  const { cap, ecap } = bench.unit.profile;

  /** Offset, size, what all ones written to it read back as. */
  it.each([
    ["VER", 0x00, 4, 0x50n],
    ["CAP", 0x08, 8, cap],
    ["ECAP", 0x10, 8, ecap],
    ["GSTS", 0x1c, 4, 0n],
    ["RTADDR", 0x20, 8, 0x3fff_ffff_fc00n],
    ["FEDATA", 0x3c, 4, 0xffffn],
    ["FEADDR", 0x40, 4, 0xffff_fffcn],
    ["FEUADDR", 0x44, 4, 0xffff_ffffn],
    ["AFLOG, removed", 0x58, 8, 0n],
    ["PLMBASE", 0x68, 4, 0xfff0_0000n],
    ["PLMLIMIT", 0x6c, 4, 0xfff0_0000n],
    ["PHMBASE", 0x70, 8, 0x3fff_fff0_0000n],
    ["PHMLIMIT", 0x78, 8, 0x3fff_fff0_0000n],
    ["IQH", 0x80, 8, 0n],
    ["IQT", 0x88, 8, 0x7_fff0n],
    ["IQA", 0x90, 8, 0x3fff_ffff_f807n],
    ["ICS", 0x9c, 4, 0n],
    ["IECTL", 0xa0, 4, 0x8000_0000n],
    ["IEDATA", 0xa4, 4, 0xffffn],
    ["IEADDR", 0xa8, 4, 0xffff_fffcn],
    ["IEUADDR", 0xac, 4, 0xffff_ffffn],
    ["IQERCD", 0xb0, 8, 0n],
    ["IRTA", 0xb8, 8, 0x3fff_ffff_f80fn],
    ["PQH", 0xc0, 8, 0x7_ffe0n],
    ["PQT", 0xc8, 8, 0x7_ffe0n],
    ["PQA", 0xd0, 8, 0x3fff_ffff_f007n],
    ["PRS", 0xdc, 4, 0n],
    ["PECTL", 0xe0, 4, 0x8000_0000n],
    ["PEDATA", 0xe4, 4, 0xffffn],
    ["PEADDR", 0xe8, 4, 0xffff_fffcn],
    ["PEUADDR", 0xec, 4, 0xffff_ffffn],
    ["IVA, write-only", 0xf0, 8, 0n],
    ["MTRRCAP, absent", 0x100, 8, 0n],
    ["FRCD[0] low", 0x220, 8, 0n],
    ["FRCD[0] high", 0x228, 8, 0n],
    ["PERFCAP, absent", 0x300, 8, 0n],
    ["ECMD, absent", 0x400, 8, 0n],
    ["VCMD, absent", 0xe00, 8, 0n],
    ["unused", 0xff8, 8, 0n],
  ] as const)("%s", (_name, offset, size, expected) => {
    if (size === 8) bench.write64(offset, 0xffff_ffff_ffff_ffffn);
    else bench.write32(offset, -1);
    expect(size === 8 ? bench.read64(offset) : BigInt(bench.read32(offset))).toBe(expected);
  });

  it("reads GCMD, the write-only fields of CCMD and IVA as zero", () => {
    const legacy = new Bench();
    legacy.write32(0x18, CFI);
    legacy.write64(0x28, 0x3_1234_0007n);
    expect(legacy.read32(0x18)).toBe(0);
    expect(legacy.read64(0x28)).toBe(7n);
  });

  it("leaves out what the capabilities don't offer", () => {
    const plain = new Bench({
      queuedInvalidation: false,
      addressWidths: [39],
      hostAddressWidth: 39,
    });
    for (const offset of [0x60, 0x68, 0x70, 0x80, 0x88, 0x90, 0x98, 0xa0, 0xa8, 0xb8, 0xc0, 0xe0]) {
      plain.write64(offset, 0xffff_ffff_ffff_ffffn);
      expect(plain.read64(offset)).toBe(0n);
    }
  });

  it("has SSIRWE and EIME and the upper addresses only with their capabilities", () => {
    const without = new Bench({ eim: false });
    without.write64(0x20, 0x80n);
    without.write64(0xb8, 0x800n);
    without.write32(0x44, 0x100);
    without.write32(0xac, 0x100);
    expect([without.read64(0x20), without.read64(0xb8)]).toEqual([0n, 0n]);
    expect([without.read32(0x44), without.read32(0xac)]).toEqual([0, 0]);
  });
});
