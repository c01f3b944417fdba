import { InterruptResult } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { InterruptRoute, MsixCapability, VmsiResult } from "../src/index.ts";
import { blockAll, RecordingSink } from "./ioapic-machine.ts";

function device(vectors: number) {
  const sink = new RecordingSink();
  const route = new InterruptRoute({ sink, sourceId: 0x0010 });
  const msix = new MsixCapability({
    snapshotId: "nic msix",
    vectors,
    route,
    table: { bar: 4, offset: 0 },
    pending: { bar: 4, offset: 0x800 },
  });
  return { sink, msix };
}

const out = new Int32Array(2);
const readTable = (msix: MsixCapability, offset: number) => {
  msix.table.read(offset, 4, out);
  return out[0]! >>> 0;
};
const readPending = (msix: MsixCapability, offset: number) => {
  msix.pending.read(offset, 8, out);
  return [out[0]! >>> 0, out[1]! >>> 0];
};

/** Vector n has the address FEE0_n000h and the data 30h + n; all unmasked, MSI-X on. */
function enabledDevice(vectors: number) {
  const made = device(vectors);
  for (let n = 0; n < vectors; n += 1) {
    made.msix.table.write(n * 16, 4, 0xfee0_0000 | (n << 12), 0);
    made.msix.table.write(n * 16 + 4, 4, 0, 0);
    made.msix.table.write(n * 16 + 8, 4, 0x30 + n, 0);
    made.msix.table.write(n * 16 + 12, 4, 0, 0);
  }
  made.msix.write(0, 0x8000_0000);
  return made;
}

describe("the MSI-X capability (PCI 3.0, 6.8.2)", () => {
  it("tells table size - 1 and where table and pending bits lie", () => {
    const { msix } = device(33);
    expect([0, 4, 8].map((offset) => msix.read(offset) >>> 0)).toEqual([
      0x0020_0011, 0x0000_0004, 0x0000_0804,
    ]);
    expect([msix.table.size, msix.pending.size]).toEqual([528, 8]);
  });

  it("takes enable and function mask only", () => {
    const { msix } = device(2048);
    for (const offset of [0, 4, 8, 12]) msix.write(offset, -1);
    expect(msix.read(0) >>> 0).toBe(0xc7ff_0011);
    expect(msix.read(4)).toBe(4);
    expect(msix.read(12)).toBe(0);
  });

  it.each([
    [0, { bar: 0, offset: 0 }],
    [2049, { bar: 0, offset: 0 }],
    [1, { bar: 6, offset: 0 }],
    [1, { bar: 0, offset: 4 }],
  ])("refuses %i vectors at %o", (vectors, place) => {
    const route = new InterruptRoute({ sink: new RecordingSink(), sourceId: 0 });
    expect(
      () => new MsixCapability({ snapshotId: "x", vectors, route, table: place, pending: place }),
    ).toThrow(expect.objectContaining({ code: "ERR_VIOMMU_MSI" }));
  });
});

describe("the vector table", () => {
  it("masks every vector at the start", () => {
    const { msix } = device(3);
    expect([0, 1, 2].map((n) => readTable(msix, n * 16 + 12))).toEqual([1, 1, 1]);
  });

  it("keeps address 31:2 and bit 0 of the control dword", () => {
    const { msix } = device(1);
    for (const offset of [0, 4, 8, 12]) msix.table.write(offset, 4, -1, 0);
    expect([0, 4, 8, 12].map((offset) => readTable(msix, offset))).toEqual([
      0xffff_fffc, 0xffff_ffff, 0xffff_ffff, 1,
    ]);
  });

  it("takes aligned accesses of 4 and 8 bytes, and no others", () => {
    const { msix } = device(2);
    msix.table.write(16, 8, 0xfee0_5000, 0x12);
    msix.table.write(24, 8, 0x31, 0);
    msix.table.write(0, 2, 0x1234, 0);
    msix.table.write(4, 8, 0x1234, 0x5678);
    msix.table.write(32, 4, 0x1234, 0);
    expect([16, 20, 24, 28, 0, 4, 8].map((offset) => readTable(msix, offset))).toEqual([
      0xfee0_5000, 0x12, 0x31, 0, 0, 0, 0,
    ]);
    msix.table.read(16, 8, out);
    expect([out[0]! >>> 0, out[1]]).toEqual([0xfee0_5000, 0x12]);
    msix.table.read(4, 8, out);
    expect([...out]).toEqual([0, 0]);
  });
});

describe("signals", () => {
  it("send address and data of their entry", () => {
    const { msix, sink } = enabledDevice(3);
    expect(msix.signal(2)).toBe(InterruptResult.DELIVER);
    expect(sink.take()).toEqual(["0 fee02000 32"]);
  });

  it("are refused while MSI-X is off", () => {
    const { msix, sink } = device(1);
    expect(msix.signal(0)).toBe(VmsiResult.DISABLED);
    expect(sink.take()).toEqual([]);
  });

  it("give the device the fault reason of a blocked one", () => {
    const route = new InterruptRoute({
      sink: new RecordingSink(),
      remapper: blockAll(0x25),
      sourceId: () => 0x0210,
    });
    const place = { bar: 0, offset: 0 };
    const msix = new MsixCapability({
      snapshotId: "x",
      vectors: 1,
      route,
      table: place,
      pending: place,
    });
    msix.write(0, 0x8000_0000);
    msix.table.write(0, 4, 0xfee0_0000, 0);
    msix.table.write(12, 4, 0, 0);
    expect(msix.signal(0)).toBe(0x25);
  });

  it("are no interrupts outside FEEx_xxxxh", () => {
    const { msix } = enabledDevice(1);
    msix.table.write(4, 4, 1, 0);
    expect(msix.signal(0)).toBe(VmsiResult.NOT_AN_INTERRUPT);
  });

  it("name a vector the device has", () => {
    expect(() => device(2).msix.signal(2)).toThrow(/has no vector 2; its vectors are 0 to 1/);
  });
});

describe("masked vectors", () => {
  it("are pending, and sent once when their own mask goes", () => {
    const { msix, sink } = enabledDevice(2);
    msix.table.write(28, 4, 1, 0);
    expect(msix.signal(1)).toBe(VmsiResult.PENDING);
    expect(msix.signal(1)).toBe(VmsiResult.PENDING);
    expect(readPending(msix, 0)).toEqual([2, 0]);
    msix.table.write(28, 4, 0, 0);
    expect(sink.take()).toEqual(["0 fee01000 31"]);
    expect(readPending(msix, 0)).toEqual([0, 0]);
    msix.table.write(28, 4, 0, 0);
    expect(sink.take()).toEqual([]);
  });

  it("wait for the function mask too", () => {
    const { msix, sink } = enabledDevice(3);
    msix.table.write(44, 4, 1, 0);
    msix.write(0, 0xc000_0000);
    for (const vector of [0, 1, 2]) expect(msix.signal(vector)).toBe(VmsiResult.PENDING);
    msix.table.write(12, 4, 0, 0);
    expect(sink.take()).toEqual([]);
    msix.write(0, 0x8000_0000);
    expect(sink.take()).toEqual(["0 fee00000 30", "0 fee01000 31"]);
    expect(readPending(msix, 0)).toEqual([4, 0]);
  });

  it("wait while MSI-X is off", () => {
    const { msix, sink } = enabledDevice(1);
    msix.table.write(12, 4, 1, 0);
    msix.signal(0);
    msix.write(0, 0);
    msix.table.write(12, 4, 0, 0);
    expect(sink.take()).toEqual([]);
    msix.write(0, 0x8000_0000);
    expect(sink.take()).toEqual(["0 fee00000 30"]);
  });

  it("are sent with address and data written meanwhile", () => {
    const { msix, sink } = enabledDevice(1);
    msix.table.write(12, 4, 1, 0);
    msix.signal(0);
    msix.table.write(0, 8, 0xfee0_7000, 0);
    msix.table.write(8, 8, 0x55, 0);
    expect(sink.take()).toEqual(["0 fee07000 55"]);
  });

  it("send nothing when their reason is gone", () => {
    const { msix, sink } = enabledDevice(1);
    msix.table.write(12, 4, 1, 0);
    msix.signal(0);
    msix.withdraw(0);
    msix.table.write(12, 4, 0, 0);
    expect(sink.take()).toEqual([]);
  });

  it("have their bit in the 64-bit word vector / 64, which the guest cannot write", () => {
    const { msix } = device(130);
    msix.write(0, 0x8000_0000);
    for (const vector of [63, 64, 129]) msix.signal(vector);
    msix.pending.write(0, 8, 0, 0);
    expect(msix.pending.size).toBe(24);
    expect(readPending(msix, 0)).toEqual([0, 0x8000_0000]);
    expect(readPending(msix, 8)).toEqual([1, 0]);
    expect(readPending(msix, 16)).toEqual([2, 0]);
  });

  it("survive save and restore", () => {
    const { msix, sink } = enabledDevice(40);
    msix.write(0, 0xc000_0000);
    msix.signal(39);
    const record = msix.save();
    msix.reset();
    expect(msix.enabled).toBe(false);
    msix.restore(record);
    msix.write(0, 0x8000_0000);
    expect(sink.take()).toEqual(["0 fee27000 57"]);
  });
});
