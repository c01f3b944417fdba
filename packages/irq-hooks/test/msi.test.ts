import { InterruptResult } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { InterruptRoute, MsiCapability, VmsiResult } from "../src/index.ts";
import type { FakeRemapper } from "./ioapic-machine.ts";
import { blockAll, RecordingSink, remapTo } from "./ioapic-machine.ts";

function device(vectors: number, remapper?: FakeRemapper) {
  const sink = new RecordingSink();
  const route = new InterruptRoute({ sink, remapper, sourceId: 0x0010 });
  const msi = new MsiCapability({ snapshotId: "nic msi", vectors, route, next: 0x70 });
  return { sink, msi };
}

/** Enables `log2` of vectors at FEE0_5000h with data 30h. */
function enabledDevice(vectors: number, log2: number, remapper?: FakeRemapper) {
  const made = device(vectors, remapper);
  made.msi.write(4, 0xfee0_5000);
  made.msi.write(8, 0);
  made.msi.write(12, 0x30);
  made.msi.write(0, 0x0001_0000 | (log2 << 20));
  return made;
}

describe("the MSI capability in configuration space (PCI 3.0, 6.8.1)", () => {
  it.each([
    [1, 0x0180_7005],
    [8, 0x0186_7005],
    [32, 0x018a_7005],
  ])("offers %i vectors, 64-bit addresses and masks", (vectors, control) => {
    expect(device(vectors).msi.read(0)).toBe(control);
  });

  it("takes enable and multiple message enable only", () => {
    const { msi } = device(4);
    msi.write(0, -1);
    expect(msi.read(0)).toBe(0x01f5_7005);
    expect(msi.enabled).toBe(true);
  });

  it("keeps address 31:2, 16 bits of data and a mask bit for each vector", () => {
    const { msi } = device(4);
    for (const offset of [4, 8, 12, 16, 20]) msi.write(offset, -1);
    expect([4, 8, 12, 16, 20].map((offset) => msi.read(offset) >>> 0)).toEqual([
      0xffff_fffc, 0xffff_ffff, 0xffff, 0xf, 0,
    ]);
  });

  it("has all 32 mask bits with 32 vectors", () => {
    const { msi } = device(32);
    msi.write(16, -1);
    expect(msi.read(16)).toBe(-1);
  });

  it("reads 0 and ignores writes elsewhere", () => {
    const { msi } = device(1);
    msi.write(2, -1);
    msi.write(24, -1);
    expect([msi.read(2), msi.read(24), msi.read(-4)]).toEqual([0, 0, 0]);
    expect(msi.read(0)).toBe(0x0180_7005);
  });

  it.each([0, 3, 64, 1.5])("cannot have %d vectors", (vectors) => {
    expect(() => device(vectors)).toThrow(expect.objectContaining({ code: "ERR_VIOMMU_MSI" }));
  });
});

describe("signals", () => {
  it("are refused while MSI is off, so that the device uses its pin", () => {
    const { msi, sink } = device(1);
    expect(msi.signal(0)).toBe(VmsiResult.DISABLED);
    expect(sink.take()).toEqual([]);
  });

  it("put the vector into the low bits of the data, as many as are enabled", () => {
    const { msi, sink } = enabledDevice(8, 2);
    msi.write(12, 0x37);
    for (const vector of [0, 3, 5]) expect(msi.signal(vector)).toBe(InterruptResult.DELIVER);
    expect(sink.take()).toEqual(["0 fee05000 34", "0 fee05000 37", "0 fee05000 35"]);
  });

  it("use at most the vectors the device has, whatever software enables", () => {
    const { msi, sink } = enabledDevice(2, 7);
    msi.signal(3);
    expect(sink.take()).toEqual(["0 fee05000 31"]);
  });

  it("go through the remapper with the device's source-id", () => {
    const remapper = remapTo(0x100, 0xfee1_f000, 0x41);
    const { msi, sink } = enabledDevice(1, 0, remapper);
    msi.write(4, 0xfee0_0258);
    msi.write(12, 0);
    expect(msi.signal(0)).toBe(InterruptResult.DELIVER);
    expect(remapper.requests).toEqual(["10 0 fee00258 0"]);
    expect(sink.take()).toEqual(["100 fee1f000 41"]);
  });

  it("give the device the fault reason of a blocked one", () => {
    const { msi, sink } = enabledDevice(1, 0, blockAll(0x26));
    expect(msi.signal(0)).toBe(0x26);
    expect(sink.take()).toEqual([]);
  });

  it("are no interrupts outside FEEx_xxxxh", () => {
    const remapper = blockAll(0x20);
    const { msi } = enabledDevice(1, 0, remapper);
    msi.write(8, 1);
    expect(msi.signal(0)).toBe(VmsiResult.NOT_AN_INTERRUPT);
    msi.write(8, 0);
    msi.write(4, 0x0010_0000);
    expect(msi.signal(0)).toBe(VmsiResult.NOT_AN_INTERRUPT);
    expect(remapper.requests).toEqual([]);
  });
});

describe("masked vectors", () => {
  it("are pending, and sent once when unmasked", () => {
    const { msi, sink } = enabledDevice(4, 2);
    msi.write(16, 0b1010);
    expect(msi.signal(1)).toBe(VmsiResult.PENDING);
    expect(msi.signal(1)).toBe(VmsiResult.PENDING);
    expect(msi.signal(3)).toBe(VmsiResult.PENDING);
    expect(msi.signal(0)).toBe(InterruptResult.DELIVER);
    expect(msi.read(20)).toBe(0b1010);
    expect(sink.take()).toEqual(["0 fee05000 30"]);
    msi.write(16, 0b1000);
    expect(sink.take()).toEqual(["0 fee05000 31"]);
    expect(msi.read(20)).toBe(0b1000);
    msi.write(16, 0);
    expect(sink.take()).toEqual(["0 fee05000 33"]);
    expect(msi.read(20)).toBe(0);
  });

  it("send nothing when their reason is gone", () => {
    const { msi, sink } = enabledDevice(1, 0);
    msi.write(16, 1);
    msi.signal(0);
    msi.withdraw(0);
    msi.write(16, 0);
    expect(sink.take()).toEqual([]);
  });

  it("wait while MSI is off", () => {
    const { msi, sink } = enabledDevice(1, 0);
    msi.write(16, 1);
    msi.signal(0);
    msi.write(0, 0);
    msi.write(16, 0);
    expect(sink.take()).toEqual([]);
    msi.write(0, 0x0001_0000);
    expect(sink.take()).toEqual(["0 fee05000 30"]);
  });

  it("use all 32 bits", () => {
    const { msi, sink } = enabledDevice(32, 5);
    msi.write(12, 0x40);
    msi.write(16, -1);
    msi.signal(31);
    expect(msi.read(20) >>> 0).toBe(0x8000_0000);
    msi.write(16, 0x7fff_ffff);
    expect(sink.take()).toEqual(["0 fee05000 5f"]);
  });
});

describe("save and restore", () => {
  it("keep pending vectors", () => {
    const { msi, sink } = enabledDevice(4, 2);
    msi.write(16, 0xf);
    msi.signal(2);
    const record = msi.save();
    msi.reset();
    expect(msi.enabled).toBe(false);
    msi.restore(record);
    msi.write(16, 0);
    expect(sink.take()).toEqual(["0 fee05000 32"]);
  });

  it("refuse another number of vectors", () => {
    expect(() => {
      device(8).msi.restore(device(4).msi.save());
    }).toThrow(/fits MSI, 4 vectors, this machine is MSI, 8 vectors/);
  });
});
