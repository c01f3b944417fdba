import { Access, DmaRequest, InterruptRequest } from "@viommu/plugin";
import type { FaultRecord } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { Bench, IRE, ROOT, TE } from "./support/bench.ts";
import type { ProfileOptions } from "../src/index.ts";

const FRCD = 0x220;
const F = 0x8000_0000;

/** Translation on, with an empty root table: every request is blocked for reason 01h. */
const blocking = (options: ProfileOptions = {}): Bench => {
  const bench = new Bench({ faultRecords: 1, ...options });
  bench.setRoot();
  bench.command(TE);
  return bench;
};

const record = (bench: Bench, index = 0): [bigint, bigint] => [
  bench.read64(FRCD + 16 * index),
  bench.read64(FRCD + 16 * index + 8),
];

describe("fault records (VT-d 11.4.7.6)", () => {
  it("records reads, writes, atomics and zero-length reads with their type", () => {
    for (const [access, high] of [
      [Access.READ, 0xc000_0001_0000_0010n],
      [Access.WRITE, 0x8000_0001_0000_0010n],
      [Access.ATOMIC, 0xc000_0001_1000_0010n],
      [Access.NONE, 0xc000_0001_0000_0010n],
    ] as const) {
      const bench = blocking();
      expect(bench.dma(0x0010, 0x1234_5678n, access)).toBe(1);
      expect(record(bench)).toEqual([0x1234_5000n, high]);
    }
  });

  it("records a PASID with execute and privilege, if the unit has PASIDs", () => {
    const bench = blocking({ scalableMode: true });
    expect(bench.dma(0x0010, 0x1234_5000n, Access.READ | 4 | 8, 0x21)).toBe(0x31);
    expect(record(bench)).toEqual([0x1234_5000n, 0xc000_2131_e000_0010n]);
    const write = blocking({ scalableMode: true });
    write.dma(0x0010, 0n, Access.WRITE | 4, 0xf_ffff);
    expect(record(write)[1]).toBe(0x8fff_ff31_8000_0010n);
  });

  it("leaves PASID fields zero without the capability", () => {
    const bench = blocking();
    expect(bench.dma(0x0010, 0n, Access.READ | 4 | 8, 0x21)).toBe(0x31);
    expect(record(bench)[1]).toBe(0xc000_0031_0000_0010n);
  });

  it("holds address bits below the widest table width only", () => {
    for (const [addressWidths, kept] of [
      [[39], 0x7f_ffff_f000n],
      [[39, 48], 0xffff_ffff_f000n],
      [[57], 0x1ff_ffff_ffff_f000n],
    ] as const) {
      const bench = blocking({ addressWidths, hostAddressWidth: 39 });
      bench.dma(0x10, 0x1ff_ffff_ffff_ffffn);
      expect(record(bench)[0]).toBe(kept);
    }
  });

  it("records the index of an interrupt request in bits 63:48", () => {
    const bench = new Bench();
    bench.setInterruptTable(7n);
    bench.command(IRE);
    expect(bench.interrupt(0xf0f8, 0xfee0_0250)).toBe(0x22);
    expect(record(bench)).toEqual([0x0012_0000_0000_0000n, 0x8000_0022_0000_f0f8n]);
  });

  it("records no index for a request that names none", () => {
    const bench = new Bench();
    bench.setInterruptTable(7n);
    bench.command(IRE);
    expect(bench.interrupt(0x10, 0xfee0_1000)).toBe(0x25);
    expect(record(bench)).toEqual([0n, 0x8000_0025_0000_0010n]);
  });

  it("records the address type with device-TLBs", () => {
    const bench = blocking({ deviceTlb: true });
    const request = new DmaRequest();
    request.sourceId = 0x10;
    request.access = Access.READ;
    request.addressType = 2;
    expect(bench.unit.dma.translate(request)).toBe(1);
    expect(record(bench)[1]).toBe(0xe000_0001_0000_0010n);
  });
});

describe("primary fault logging (VT-d 7.2.1)", () => {
  it("sets PPF and FRI with the first record and keeps them with the next", () => {
    const bench = blocking({ faultRecords: 4 });
    bench.dma(0x08, 0n);
    bench.dma(0x10, 0n);
    expect(bench.read32(0x34)).toBe(0x0002);
    expect([record(bench, 0)[1], record(bench, 1)[1]].map((high) => high & 0xffffn)).toEqual([
      0x08n,
      0x10n,
    ]);
  });

  it("fills the records in a ring; FRI names the first of those pending", () => {
    const bench = blocking({ faultRecords: 3 });
    for (const sourceId of [0x08, 0x10]) bench.dma(sourceId, 0n);
    for (const index of [0, 1]) bench.write32(FRCD + 16 * index + 12, F);
    expect(bench.read32(0x34) & 3).toBe(0);
    for (const sourceId of [0x18, 0x20]) bench.dma(sourceId, 0n);
    expect(bench.read32(0x34)).toBe(0x0202);
    expect(record(bench, 2)[1] & 0xffffn).toBe(0x18n);
    expect(record(bench, 0)[1] & 0xffffn).toBe(0x20n);
  });

  it("collapses pending faults of one requester", () => {
    const bench = blocking({ faultRecords: 4 });
    bench.dma(0x10, 0x1000n);
    bench.dma(0x10, 0x2000n);
    expect(record(bench, 0)[0]).toBe(0x1000n);
    expect(record(bench, 1)[1]).toBe(0n);
    bench.write32(FRCD + 12, F);
    bench.dma(0x10, 0x3000n);
    expect(record(bench, 1)).toEqual([0x3000n, 0xc000_0001_0000_0010n]);
  });

  it("overflows when the next record is in use, and records nothing until PFO is cleared", () => {
    const bench = blocking({ faultRecords: 2 });
    for (const sourceId of [0x08, 0x10, 0x18]) bench.dma(sourceId, 0n);
    expect(bench.read32(0x34)).toBe(3);
    bench.write32(FRCD + 12, F);
    bench.dma(0x20, 0n);
    expect(record(bench, 0)[1] & 0x8000_0000_0000_0000n).toBe(0n);
    bench.write32(FRCD + 28, F);
    expect(bench.read32(0x34)).toBe(1);
    bench.write32(0x34, 1);
    expect(bench.read32(0x34)).toBe(0);
    // recording goes on at the current index
    bench.dma(0x28, 0n);
    expect(record(bench, 0)[1] & 0xffffn).toBe(0x28n);
    expect(bench.read32(0x34)).toBe(2);
  });

  it("clears F by a write of the top dword or of the top qword, with ones in F only", () => {
    const bench = blocking();
    bench.dma(0x10, 0x5000n);
    bench.write32(FRCD + 12, 0x7fff_ffff);
    bench.write32(FRCD + 8, -1);
    expect(record(bench)).toEqual([0x5000n, 0xc000_0001_0000_0010n]);
    bench.write64(FRCD + 8, 1n << 63n);
    expect(record(bench)).toEqual([0x5000n, 0x4000_0001_0000_0010n]);
    expect(bench.read32(0x34) & 2).toBe(0);
  });

  it("keeps PPF while one of several records is pending", () => {
    const bench = blocking({ faultRecords: 2 });
    bench.dma(0x08, 0n);
    bench.dma(0x10, 0n);
    bench.write32(FRCD + 12, F);
    expect(bench.read32(0x34) & 2).toBe(2);
    bench.write32(0x34, 2);
    expect(bench.read32(0x34) & 2).toBe(2);
    bench.write32(FRCD + 28, F);
    expect(bench.read32(0x34) & 2).toBe(0);
  });

  it("begins again with record 0 when both TES and IRES are clear", () => {
    const bench = blocking({ faultRecords: 4 });
    bench.command(IRE);
    bench.dma(0x08, 0n);
    bench.write32(FRCD + 12, F);
    bench.command(TE, false);
    bench.command(TE);
    bench.dma(0x10, 0n);
    expect(bench.read32(0x34)).toBe(0x0102);
    bench.write32(FRCD + 28, F);
    bench.command(TE, false);
    bench.command(IRE, false);
    bench.command(TE);
    bench.dma(0x18, 0n);
    expect(bench.read32(0x34)).toBe(0x0002);
  });

  it("uses up to 256 records, in the page behind the first if need be", () => {
    const bench = blocking({ faultRecords: 256 });
    for (let i = 0; i < 256; i++) bench.dma(0x100 + i, 0n);
    expect(bench.read32(0x34)).toBe(2);
    expect(record(bench, 255)[1] & 0xffffn).toBe(0x1ffn);
    bench.dma(0x300, 0n);
    expect(bench.read32(0x34)).toBe(3);
  });

  it("records no qualified fault under FPD, but tells observers", () => {
    const bench = blocking();
    const heard: FaultRecord[] = [];
    bench.hooks.fault = (_unit, fault) => heard.push({ ...fault });
    bench.put64(ROOT, 0x21_0001n, 0n);
    bench.put64(0x21_0000n, 2n, 0n);
    expect(bench.dma(0, 0x7000n, Access.WRITE)).toBe(2);
    expect(bench.read32(0x34)).toBe(0);
    expect(heard).toEqual([
      {
        reason: 2,
        kind: "dma",
        sourceId: 0,
        pasid: -1,
        access: 2,
        addressType: 0,
        hi: 0,
        lo: 0x7000,
        index: -1,
        suppressed: true,
      },
    ]);
  });

  it("tells observers of interrupt faults, also of those that overflow", () => {
    const bench = blocking();
    const heard: FaultRecord[] = [];
    bench.hooks.fault = (_unit, fault) => heard.push({ ...fault });
    bench.setInterruptTable(7n);
    bench.command(IRE);
    bench.dma(0x08, 0n);
    const request = new InterruptRequest();
    request.sourceId = 0x10;
    request.address = 0xfee0_00b0 | 0;
    bench.unit.interrupts.remap(request);
    expect(bench.read32(0x34)).toBe(3);
    expect(heard[1]).toMatchObject({ kind: "interrupt", sourceId: 0x10, index: 5, reason: 0x22 });
  });
});
