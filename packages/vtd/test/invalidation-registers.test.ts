import { describe, expect, it } from "vitest";
import { Bench, QIE } from "./support/bench.ts";

const CCMD = 0x28;
const IVA = 0xf0;
const IOTLB = 0xf8;

describe("context command register (VT-d 11.4.6.1)", () => {
  it.each([
    ["global", 0xa000_0000_0000_0000n, 1, { granularity: "global" }],
    ["domain", 0xc000_0000_0000_0005n, 2, { granularity: "domain", domainId: 5 }],
    [
      "device",
      0xe000_0000_0010_0005n,
      3,
      { granularity: "device", domainId: 5, sourceId: 0x10, functionMask: 0 },
    ],
    ["one function bit", 0xe000_0001_0010_0005n, 3, { functionMask: 4 }],
    ["two function bits", 0xe000_0002_0010_0005n, 3, { functionMask: 6 }],
    ["all functions", 0xe000_0003_0010_0005n, 3, { functionMask: 7 }],
  ])("invalidates: %s", (_name, value, actual, what) => {
    const bench = new Bench();
    bench.write64(CCMD, value);
    expect(bench.invalidations).toHaveLength(1);
    expect(bench.invalidations[0]).toMatchObject({ kind: "context", ...what });
    expect(bench.read32(CCMD + 4) >>> 31).toBe(0);
    expect((bench.read32(CCMD + 4) >>> 27) & 3).toBe(actual);
  });

  it("starts with the write of the high half", () => {
    const bench = new Bench();
    bench.write32(CCMD, 7);
    expect(bench.invalidations).toEqual([]);
    bench.write32(CCMD + 4, 0xc000_0000);
    expect(bench.invalidations[0]).toMatchObject({ granularity: "domain", domainId: 7 });
  });

  it("does nothing without ICC", () => {
    const bench = new Bench();
    bench.write64(CCMD, 0x2000_0000_0000_0000n);
    expect(bench.invalidations).toEqual([]);
  });

  it("ignores domain-id bits beyond the width", () => {
    const bench = new Bench({ domainIdBits: 8 });
    bench.write64(CCMD, 0xc000_0000_0000_1234n);
    expect(bench.invalidations[0]).toMatchObject({ domainId: 0x34 });
  });
});

describe("IOTLB registers (VT-d 11.4.6.2)", () => {
  it.each([
    ["global", 0x9000_0000_0000_0000n, 1, { granularity: "global" }],
    ["domain", 0xa000_0005_0000_0000n, 2, { granularity: "domain", domainId: 5 }],
    [
      "page",
      0xb000_0005_0000_0000n,
      3,
      { granularity: "page", domainId: 5, hi: 0, lo: 0x20_0000, order: 9, leafOnly: false },
    ],
  ])("invalidates: %s", (_name, value, actual, what) => {
    const bench = new Bench();
    bench.write64(IVA, 0x21_3009n);
    bench.write64(IOTLB, value);
    expect(bench.invalidations).toHaveLength(1);
    expect(bench.invalidations[0]).toMatchObject({ kind: "iotlb", ...what });
    expect(bench.read32(IOTLB + 4) >>> 31).toBe(0);
    expect((bench.read32(IOTLB + 4) >>> 25) & 3).toBe(actual);
  });

  it("takes IH from IVA and ignores address bits from MGAW up", () => {
    const bench = new Bench();
    bench.write64(IVA, 0xffff_8000_0000_1040n);
    bench.write64(IOTLB, 0xb000_0000_0000_0000n);
    expect(bench.invalidations[0]).toMatchObject({
      hi: 0x2_0000,
      lo: 0x1000,
      order: 0,
      leafOnly: true,
    });
  });

  it("lies where IRO says", () => {
    const bench = new Bench({ iotlbRegisterOffset: 0x1040 });
    bench.write64(0x1048, 0x9000_0000_0000_0000n);
    expect(bench.invalidations).toHaveLength(1);
    expect(bench.read32(0x104c)).toBe(0x1200_0000);
  });

  it("covers the domain without PSI", () => {
    const bench = new Bench({ pageSelectiveInvalidation: false });
    bench.write64(IOTLB, 0xb000_0005_0000_0000n);
    expect(bench.invalidations[0]).toMatchObject({ granularity: "domain", domainId: 5 });
    expect((bench.read32(IOTLB + 4) >>> 25) & 3).toBe(2);
  });

  it("refuses a mask above MAMV", () => {
    const bench = new Bench({ maxAddressMask: 9 });
    bench.write64(IVA, 10n);
    bench.write64(IOTLB, 0xb000_0000_0000_0000n);
    expect(bench.invalidations).toEqual([]);
    expect(bench.read32(IOTLB + 4)).toBe(0x3000_0000);
  });
});

describe("requests that are refused: actual granularity 0", () => {
  const both = (bench: Bench): void => {
    const before = bench.invalidations.length;
    bench.write64(CCMD, 0xb800_0000_0000_0000n);
    bench.write64(IOTLB, 0x9600_0000_0000_0000n);
    expect(bench.invalidations).toHaveLength(before);
    expect(bench.read32(CCMD + 4)).toBe(0x2000_0000);
    expect(bench.read32(IOTLB + 4)).toBe(0x1000_0000);
  };

  it("outside legacy mode", () => {
    const bench = new Bench({ scalableMode: true });
    bench.setRoot(0x400n);
    both(bench);
  });

  it("while the queue is enabled", () => {
    const bench = new Bench();
    bench.command(QIE);
    both(bench);
  });

  it("from major version 6 on", () => {
    both(new Bench({ version: 0x60, addressWidths: [] }));
  });

  it("with a reserved granularity", () => {
    const bench = new Bench();
    bench.write64(CCMD, 0x9800_0000_0000_0000n);
    bench.write64(IOTLB, 0x8600_0000_0000_0000n);
    expect(bench.invalidations).toEqual([]);
    expect([bench.read32(CCMD + 4), bench.read32(IOTLB + 4)]).toEqual([0, 0]);
  });
});

describe("draining (VT-d 6.5.4)", () => {
  it("keeps ICC and IVT set, and the registers with hardware, until accesses have ended", () => {
    const bench = new Bench();
    const ticket = bench.unit.dma.enter();
    bench.write64(CCMD, 0xc000_0000_0000_0005n);
    bench.write64(IVA, 0x1000n);
    bench.write64(IOTLB, 0xb003_0005_0000_0000n);
    expect(bench.invalidations).toHaveLength(2);
    expect([bench.read32(CCMD + 4) >>> 31, bench.read32(IOTLB + 4) >>> 31]).toEqual([1, 1]);

    bench.write64(CCMD, 0xa000_0000_0000_0000n);
    bench.write64(IOTLB, 0x9000_0000_0000_0000n);
    expect(bench.invalidations).toHaveLength(2);
    expect(bench.read32(CCMD)).toBe(5);

    bench.unit.dma.leave(ticket);
    expect([bench.read32(CCMD + 4) >>> 31, bench.read32(IOTLB + 4) >>> 31]).toEqual([0, 0]);
    bench.write64(CCMD, 0xa000_0000_0000_0000n);
    bench.write64(IOTLB, 0x9000_0000_0000_0000n);
    expect(bench.invalidations).toHaveLength(4);
  });

  it("does not wait for accesses that began later", () => {
    const bench = new Bench();
    const before = bench.unit.dma.enter();
    bench.write64(IOTLB, 0x9000_0000_0000_0000n);
    bench.unit.dma.enter();
    bench.unit.dma.leave(before);
    expect(bench.read32(IOTLB + 4) >>> 31).toBe(0);
  });
});
