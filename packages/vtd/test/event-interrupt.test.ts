import { createMemory } from "@viommu/memory";
import { describe, expect, it } from "vitest";
import { createProfile, createUnit } from "../src/index.ts";
import type { VtdUnit } from "../src/index.ts";
import { Bench, QUEUE, TE } from "./support/bench.ts";

const FECTL = 0x38;
const IECTL = 0xa0;
const IM = 0x8000_0000;
const IP = 0x4000_0000;
const F = 0x8000_0000;

const blocking = (): Bench => {
  const bench = new Bench({ faultRecords: 2 });
  bench.setRoot();
  bench.command(TE);
  return bench;
};

describe("fault event (VT-d 7.3)", () => {
  it("is sent for the first fault, and not again while a status bit is set", () => {
    const bench = blocking();
    bench.setEvent(FECTL, 0x21, 0xfee0_1000);
    for (const sourceId of [0x08, 0x10, 0x18]) bench.dma(sourceId, 0n);
    expect(bench.messages).toEqual([[0, 0xfee0_1000, 0x21]]);
    expect(bench.read32(FECTL)).toBe(0);
    expect(bench.read32(0x34)).toBe(3);
    // all records are cleared, but PFO is still set: not serviced
    bench.write32(0x22c, F);
    bench.write32(0x23c, F);
    bench.dma(0x20, 0n);
    expect(bench.messages).toHaveLength(1);
    bench.write32(0x34, 1);
    bench.dma(0x20, 0n);
    expect(bench.messages).toHaveLength(2);
  });

  it("is held pending by the mask, and sent when the mask is cleared", () => {
    const bench = blocking();
    bench.setEvent(FECTL, 0x21);
    bench.write32(FECTL, IM);
    bench.dma(0x08, 0n);
    expect(bench.read32(FECTL)).toBe((IM | IP) >>> 0);
    expect(bench.messages).toEqual([]);
    bench.write32(FECTL, 0);
    expect(bench.messages).toEqual([[0, 0xfee0_0000, 0x21]]);
    expect(bench.read32(FECTL)).toBe(0);
    bench.write32(FECTL, 0);
    expect(bench.messages).toHaveLength(1);
  });

  it("goes when software services every status bit by polling", () => {
    const bench = blocking();
    bench.dma(0x08, 0n);
    expect(bench.read32(FECTL)).toBe((IM | IP) >>> 0);
    bench.write32(0x22c, F);
    expect(bench.read32(FECTL)).toBe(IM);
    bench.write32(FECTL, 0);
    expect(bench.messages).toEqual([]);
  });

  it("stays pending while one of several status bits is set", () => {
    const bench = blocking();
    bench.dma(0x08, 0n);
    bench.enableQueue();
    bench.submit([0xfn, 0n]);
    expect(bench.read32(0x34)).toBe(0x12);
    bench.write32(0x22c, F);
    expect(bench.read32(FECTL)).toBe((IM | IP) >>> 0);
    bench.write64(0x88, 0n);
    bench.write32(0x34, 0x10);
    expect(bench.read32(FECTL)).toBe(IM);
  });

  it("has the queue error as a source, too", () => {
    const bench = new Bench();
    bench.setEvent(FECTL, 0x22);
    bench.enableQueue();
    bench.submit([0xfn, 0n]);
    expect(bench.messages).toEqual([[0, 0xfee0_0000, 0x22]]);
  });

  it("is not sent for a queue error while a fault is pending, nor the other way round", () => {
    const bench = blocking();
    bench.setEvent(FECTL, 0x21);
    bench.dma(0x08, 0n);
    bench.enableQueue();
    bench.submit([0xfn, 0n]);
    expect(bench.read32(0x34)).toBe(0x12);
    expect(bench.messages).toHaveLength(1);
    expect(bench.read32(FECTL)).toBe(0);
    bench.write32(0x22c, F);
    bench.dma(0x10, 0n);
    expect(bench.read32(0x34) & 0x12).toBe(0x12);
    expect(bench.messages).toHaveLength(1);
  });

  it("can't be made pending or unpending by a write of IP", () => {
    const bench = blocking();
    bench.write32(FECTL, IP);
    expect(bench.read32(FECTL)).toBe(0);
    bench.write32(FECTL, IM);
    bench.dma(0x08, 0n);
    bench.write32(FECTL, IM);
    expect(bench.read32(FECTL)).toBe((IM | IP) >>> 0);
  });

  it("is sent to a 32-bit APIC id with EIM, whatever IRTA says: it is never remapped", () => {
    const bench = blocking();
    bench.setEvent(FECTL, 0x21, 0xfee0_c000, 0x0001_2000);
    bench.dma(0x08, 0n);
    expect(bench.messages).toEqual([[0x0001_2000, 0xfee0_c000, 0x21]]);
  });

  it("has no upper address without EIM", () => {
    const bench = new Bench({ eim: false });
    bench.setEvent(FECTL, 0x21, 0xfee0_c000, 0x0001_2000);
    bench.enableQueue();
    bench.submit([0xfn, 0n]);
    expect(bench.messages).toEqual([[0, 0xfee0_c000, 0x21]]);
  });
});

describe("invalidation completion event (VT-d 6.5.2.10)", () => {
  const WAIT_IF: [bigint, bigint] = [0x15n, 0n];

  it("sets IWC and is sent once until IWC is cleared", () => {
    const bench = new Bench();
    bench.setEvent(IECTL, 0x31, 0xfee0_2000, 0x100);
    bench.enableQueue();
    bench.submit(WAIT_IF, WAIT_IF);
    expect(bench.messages).toEqual([[0x100, 0xfee0_2000, 0x31]]);
    expect(bench.read32(0x9c)).toBe(1);
    bench.write32(0x9c, 1);
    expect(bench.read32(0x9c)).toBe(0);
    bench.submit(WAIT_IF);
    expect(bench.messages).toHaveLength(2);
  });

  it("is held pending by the mask; clearing IWC drops it", () => {
    const bench = new Bench();
    bench.enableQueue();
    bench.submit(WAIT_IF);
    expect(bench.read32(IECTL)).toBe((IM | IP) >>> 0);
    bench.write32(0x9c, 1);
    expect(bench.read32(IECTL)).toBe(IM);
    bench.submit(WAIT_IF);
    bench.write32(IECTL, 0);
    expect(bench.messages).toHaveLength(1);
  });

  it("is ordered behind the status write of the same wait", () => {
    const status: number[] = [];
    const memory = createMemory({ regions: [{ base: 0, size: 0x20_0000 }] });
    const out = new Int32Array(1);
    const unit: VtdUnit = createUnit({
      name: "dmar0",
      base: 0,
      profile: createProfile(),
      memory,
      sink: {
        deliver: () => {
          memory.readWords(0, 0x1000, 1, out);
          status.push(out[0]!);
        },
      },
    });
    memory.writeWord(0, Number(QUEUE), 0x35);
    memory.writeWord(0, Number(QUEUE) + 4, 7);
    memory.writeWord(0, Number(QUEUE) + 8, 0x1000);
    unit.write(IECTL, 4, 0, 0);
    unit.write(0x90, 8, Number(QUEUE), 0);
    unit.write(0x18, 4, 0x0400_0000, 0);
    unit.write(0x88, 4, 0x10, 0);
    expect(status).toEqual([7]);
  });

  it("finds the unit consistent when the sink uses it: an interrupt handler inside the write", () => {
    const memory = createMemory({ regions: [{ base: 0, size: 0x20_0000 }] });
    const out = new Int32Array(2);
    const heads: number[] = [];
    const unit: VtdUnit = createUnit({
      name: "dmar0",
      base: 0,
      profile: createProfile(),
      memory,
      sink: {
        deliver: () => {
          unit.read(0x80, 8, out);
          heads.push(out[0]!);
          unit.write(0x9c, 4, 1, 0);
          // one more wait is put behind the tail, once
          if (heads.length === 1) unit.write(0x88, 4, 0x30, 0);
        },
      },
    });
    for (let slot = 0; slot < 3; slot++) memory.writeWord(0, Number(QUEUE) + 16 * slot, 0x15);
    unit.write(IECTL, 4, 0, 0);
    unit.write(0x90, 8, Number(QUEUE), 0);
    unit.write(0x18, 4, 0x0400_0000, 0);
    unit.write(0x88, 4, 0x20, 0);
    expect(heads).toEqual([0x10, 0x20, 0x30]);
    unit.read(0x80, 8, out);
    expect(out[0]).toBe(0x30);
    unit.read(0x9c, 4, out);
    expect(out[0]).toBe(0);
  });
});
