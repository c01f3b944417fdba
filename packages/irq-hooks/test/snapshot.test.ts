import { encodeRecord } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { ApicMode, LapicBus } from "../src/index.ts";
import { GuestIoapic } from "./ioapic-machine.ts";
import { enabledMachine, takers } from "./machine.ts";

describe("records of the local APICs", () => {
  it("bring back pending interrupts, modes and logical ids", () => {
    const { bus, registers } = enabledMachine({ vcpus: 3 });
    registers.writeMmio(1, 0xd0, 0x0200_0000);
    bus.setMode(2, ApicMode.X2APIC);
    bus.deliver(0, 0xfee0_0000, 0x31);
    bus.deliver(0, 0xfee0_1000, 0x400);

    const other = enabledMachine({ vcpus: 3 });
    other.bus.restore(bus.save());
    expect(other.bus.pending(0)).toBe(0x31);
    expect(other.bus.takeEvents(1, 0xff)).toBe(2);
    other.bus.deliver(0, 0xfee0_2004, 0x41);
    other.bus.deliver(0, 0xfeef_f000, 0x41);
    expect(takers(other)).toEqual([1, 0, 1]);
  });

  it("bring back what was counted, so that no merged interrupt is forgotten", () => {
    const { bus } = enabledMachine({ vcpus: 2 });
    bus.deliver(0, 0xfee0_1000, 0x31);
    bus.deliver(0, 0xfee0_1000, 0x31);
    bus.deliver(0, 0xfee0_9000, 0x31);
    bus.deliver(0, 0x1000, 0x31);
    bus.counters.messages += 2 ** 40;
    const other = enabledMachine({ vcpus: 2 }).bus;
    other.restore(bus.save());
    expect(other.counters).toEqual({ messages: 2 ** 40 + 4, unclaimed: 1, ignored: 1 });
    expect([...other.lapics.accepted]).toEqual([0, 2]);
    expect([...other.lapics.merged]).toEqual([0, 1]);
  });

  it("are read in version 1, which had registers only", () => {
    const { bus } = enabledMachine({ vcpus: 2 });
    bus.deliver(0, 0xfee0_1000, 0x31);
    const ids = /with the ids [0-9a-f]+/.exec(
      Buffer.from(bus.save()).toString().replaceAll("\0", ""),
    )![0];
    const header = { id: "lapic-bus", version: 1, shape: `2 local APICs ${ids}` };
    const other = enabledMachine({ vcpus: 2 }).bus;
    other.restore(encodeRecord(header, bus.lapics.words));
    expect(other.pending(1)).toBe(0x31);
    expect([...other.lapics.accepted]).toEqual([0, 0]);
    expect(() => {
      other.restore(encodeRecord(header, bus.lapics.words.subarray(1)));
    }).toThrow(/the record holds 127 words instead of 138/);
  });

  it("are refused by a machine with other vCPUs or ids, whose state stays", () => {
    const record = new LapicBus({ vcpus: 2 }).save();
    const code = "ERR_VIOMMU_SNAPSHOT";
    const { bus } = enabledMachine({ vcpus: 2, apicIds: [0, 2] });
    bus.deliver(0, 0xfee0_0000, 0x31);
    expect(() => {
      bus.restore(record);
    }).toThrow(expect.objectContaining({ code }));
    expect(() => {
      new LapicBus({ vcpus: 3 }).restore(record);
    }).toThrow(expect.objectContaining({ code }));
    expect(bus.pending(0)).toBe(0x31);
  });
});

describe("records of an I/O APIC", () => {
  it("bring back entries, remote IRR and lines", () => {
    const guest = new GuestIoapic();
    guest.program(16, 0x0300_0000, 0x8061);
    guest.chip.setPin(16, true);
    const other = new GuestIoapic();
    other.chip.restore(guest.chip.save());
    expect(other.entry(16)).toEqual([0x0300_0000, 0xc061]);
    expect(other.sink.take()).toEqual([]);
    other.writeEoi(0x61);
    expect(other.sink.take()).toEqual(["0 fee03000 c061"]);
  });

  it("are refused by one with other pins or of another version", () => {
    const record = new GuestIoapic().chip.save();
    expect(() => {
      new GuestIoapic({ pins: 120 }).chip.restore(record);
    }).toThrow(/fits 24 pins, version 20h, this machine is 120 pins, version 20h/);
    expect(() => {
      new GuestIoapic({ version: 0x11 }).chip.restore(record);
    }).toThrow(/this machine is 24 pins, version 11h/);
  });
});

describe("records of the wrong length", () => {
  it("are refused before anything changes", () => {
    const guest = new GuestIoapic();
    guest.program(4, 0, 0x31);
    const shape = "24 pins, version 20h";
    const record = encodeRecord({ id: "ioapic", version: 1, shape }, new Int32Array(5));
    expect(() => {
      guest.chip.restore(record);
    }).toThrow(/the record holds 5 words instead of 74/);
    expect(guest.entry(4)).toEqual([0, 0x31]);
  });
});

describe("the host's mistakes with APIC ids", () => {
  it.each([
    [{ vcpus: 0 }, "ERR_VIOMMU_VCPUS"],
    [{ vcpus: 1.5 }, "ERR_VIOMMU_VCPUS"],
    [{ vcpus: 2 ** 20 + 1 }, "ERR_VIOMMU_VCPUS"],
    [{ vcpus: 2, apicIds: [0] }, "ERR_VIOMMU_APIC_ID"],
    [{ vcpus: 2, apicIds: [3, 3] }, "ERR_VIOMMU_APIC_ID"],
    [{ vcpus: 2, apicIds: [3, -1] }, "ERR_VIOMMU_APIC_ID"],
    [{ vcpus: 1, apicIds: [0xffff_ffff] }, "ERR_VIOMMU_APIC_ID"],
  ])("%o is refused", (options, code) => {
    expect(() => new LapicBus(options)).toThrow(expect.objectContaining({ code }));
  });
});
