import { Access } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import { BUFFERS, Machine } from "./support/machine.ts";

const NIC = { sourceId: 0x0010 };
const FSTS = 0x34;

describe("the fault log, as software reads it (VT-d 7.2)", () => {
  it("DMA and interrupts are told apart, with all that the records hold", () => {
    const machine = new Machine();
    const driver = machine.start();
    driver.attach(NIC);
    driver.attach({ sourceId: 0x20 });
    machine.dma(NIC.sourceId, 0x1234_5678, Access.WRITE);
    machine.dma(0x20, 0xfff_f000_0123);
    machine.interrupt(0x30, { address: 0xfee0_0258, data: 3 });
    machine.interrupt(0x40, { address: 0xfee0_0000, data: 0x40 });
    const common = { unit: "dmar0", pasid: null };
    const dma = { ...common, kind: "dma", index: -1 };
    const interrupt = { ...common, kind: "interrupt", access: "write", address: 0 };
    expect(driver.serviceFaults()).toEqual({
      overflow: false,
      faults: [
        {
          ...dma,
          sourceId: NIC.sourceId,
          reason: FaultReason.WRITE_DENIED,
          name: "WRITE_DENIED",
          access: "write",
          address: 0x1234_5000,
        },
        {
          ...dma,
          sourceId: 0x20,
          reason: FaultReason.READ_DENIED,
          name: "READ_DENIED",
          access: "read",
          address: 0xfff_f000_0000,
        },
        {
          ...interrupt,
          sourceId: 0x30,
          reason: FaultReason.IRTE_NOT_PRESENT,
          name: "IRTE_NOT_PRESENT",
          index: 0x15,
        },
        {
          ...interrupt,
          sourceId: 0x40,
          reason: FaultReason.IR_COMPATIBILITY_BLOCKED,
          name: "IR_COMPATIBILITY_BLOCKED",
          index: -1,
        },
      ],
    });
    expect(machine.read32(FSTS)).toBe(0);
    expect(driver.serviceFaults()).toEqual({ faults: [], overflow: false });
    expect(driver.counters).toMatchObject({ faults: 4, overflows: 0 });
  });

  it("starts at FRI and goes round the ring", () => {
    const machine = new Machine({ units: [{ profile: { faultRecords: 3 } }] });
    const driver = machine.start();
    for (let i = 0; i < 10; i += 1) {
      const batch = [i, 100 + i];
      for (const sourceId of batch) machine.dma(sourceId, BUFFERS);
      expect(driver.serviceFaults().faults.map(({ sourceId }) => sourceId)).toEqual(batch);
    }
  });

  it("reports an overflow, clears it after the records, and the unit records again", () => {
    const machine = new Machine({ units: [{ profile: { faultRecords: 2 } }] });
    const driver = machine.start();
    for (let sourceId = 0; sourceId < 5; sourceId += 1) machine.dma(sourceId, BUFFERS);
    const before = machine.writes.length;
    const { faults, overflow } = driver.serviceFaults();
    expect(faults.map(({ sourceId }) => sourceId)).toEqual([0, 1]);
    expect(overflow).toBe(true);
    expect(machine.writes.slice(before)).toEqual([
      [0x22c, 4, 0x8000_0000n],
      [0x23c, 4, 0x8000_0000n],
      [FSTS, 4, 1n],
    ]);
    machine.dma(9, BUFFERS);
    expect(driver.serviceFaults().faults.map(({ sourceId }) => sourceId)).toEqual([9]);
    expect(driver.counters).toMatchObject({ faults: 3, overflows: 1 });
  });

  it("ends after one round, although faults keep coming", () => {
    const machine = new Machine({ units: [{ profile: { faultRecords: 2 } }] });
    let sourceId = 100;
    const { bus } = machine;
    const driver = machine.start({
      bus: {
        read: bus.read.bind(bus),
        write(address, size, low, high) {
          bus.write(address, size, low, high);
          const cleared = (address & 0xfff) === 0x22c || (address & 0xfff) === 0x23c;
          if (cleared) machine.dma((sourceId += 1), BUFFERS);
        },
      },
    });
    machine.dma(1, BUFFERS);
    machine.dma(2, BUFFERS);
    expect(driver.serviceFaults().faults).toHaveLength(2);
    expect(driver.serviceFaults().faults).toHaveLength(2);
  });

  it.each([
    ["xapic", "physical", 5, [0, 0xfee0_5000, 0x21]],
    ["xapic", "logical", 5, [0, 0xfee2_0004, 0x21]],
    ["x2apic", "physical", 0x1234, [0x1200, 0xfee3_4000, 0x21]],
    ["x2apic", "logical", 287, [0x11_8000, 0xfee0_0004, 0x21]],
  ] as const)(
    "the event comes as a message: %s, %s",
    (apicMode, destinationMode, apicId, message) => {
      const machine = new Machine();
      const faultEvent = { apicId, vector: 0x21 };
      const driver = machine.start({ apicMode, destinationMode, faultEvent });
      machine.dma(1, BUFFERS);
      machine.dma(2, BUFFERS); // no second message before the first is serviced
      expect(machine.messages).toEqual([message]);
      expect(driver.serviceFaults().faults).toHaveLength(2);
      machine.dma(1, BUFFERS);
      expect(machine.messages).toHaveLength(2);
    },
  );

  it("without an event the log is polled", () => {
    const machine = new Machine();
    const driver = machine.start();
    machine.dma(1, BUFFERS);
    expect(machine.messages).toEqual([]);
    expect(driver.serviceFaults().faults).toHaveLength(1);
  });

  it("names a reason that VT-d 5.10 does not have", () => {
    const machine = new Machine();
    const { bus } = machine;
    const driver = machine.start({
      bus: {
        read(address, size, out) {
          bus.read(address, size, out);
          if ((address & 0xfff) === 0x22c) out[0] = (out[0]! & ~0xff) | 0x6f;
        },
        write: bus.write.bind(bus),
      },
    });
    machine.dma(1, BUFFERS);
    expect(driver.serviceFaults().faults[0]).toMatchObject({ reason: 0x6f, name: "UNKNOWN" });
  });

  it("comes from all units", () => {
    const machine = new Machine({ units: [{ drhd: { segment: 1 } }, {}] });
    const driver = machine.start();
    machine.dma(1, BUFFERS, 1, machine.units[0]);
    machine.dma(2, BUFFERS, 1, machine.units[1]);
    expect(driver.serviceFaults().faults.map(({ unit, sourceId }) => [unit, sourceId])).toEqual([
      ["dmar0", 1],
      ["dmar1", 2],
    ]);
  });
});
