import { describe, expect, it } from "vitest";
import { ApicMode, LapicEvent } from "../src/index.ts";
import { enabledMachine, readMsr, takers, x2apicMachine } from "./machine.ts";

describe("ICR in xAPIC mode (SDM vol. 3, 11.6.1)", () => {
  it("sends on the write of the low half, to bits 31:24 of the high half", () => {
    const machine = enabledMachine({ vcpus: 4 });
    machine.registers.writeMmio(0, 0x310, 0x0300_0000);
    expect(takers(machine)).toEqual([]);
    machine.registers.writeMmio(0, 0x300, 0x0000_4051);
    expect(takers(machine)).toEqual([3]);
    expect(machine.registers.readMmio(0, 0x300)).toBe(0x4051);
    expect(machine.registers.readMmio(0, 0x310)).toBe(0x0300_0000);
  });

  it.each([
    ["self", 0x0004_4051, [1]],
    ["all including self", 0x0008_4051, [0, 1, 2]],
    ["all excluding self", 0x000c_4051, [0, 2]],
  ])("knows the shorthand %s", (_, command, expected) => {
    const machine = enabledMachine({ vcpus: 3 });
    machine.registers.writeMmio(1, 0x300, command);
    expect(takers(machine)).toEqual(expected);
  });

  it("reaches all with FFh, vCPUs in x2APIC mode included", () => {
    const machine = enabledMachine({ vcpus: 3 });
    machine.bus.setMode(2, ApicMode.X2APIC);
    machine.registers.writeMmio(0, 0x310, 0xff00_0000);
    machine.registers.writeMmio(0, 0x300, 0x4051);
    expect(takers(machine)).toEqual([0, 1, 2]);
  });

  it("is edge-triggered whatever the trigger mode says", () => {
    const machine = enabledMachine({ vcpus: 1 });
    machine.registers.writeMmio(0, 0x300, 0x0004_c051);
    expect(machine.registers.readMmio(0, 0x1a0)).toBe(0);
    expect(machine.registers.readMmio(0, 0x220)).toBe(0x2_0000);
    expect(machine.bus.accept(0)).toBe(0x51);
  });

  it("works from a software-disabled APIC", () => {
    const machine = enabledMachine({ vcpus: 2 });
    machine.registers.writeMmio(0, 0xf0, 0xff);
    machine.registers.writeMmio(0, 0x310, 0x0100_0000);
    machine.registers.writeMmio(0, 0x300, 0x4051);
    expect(takers(machine)).toEqual([1]);
  });
});

describe("ICR in x2APIC mode (SDM vol. 3, 11.12.9)", () => {
  it("sends to a 32-bit destination", () => {
    const machine = x2apicMachine({ vcpus: 300 });
    machine.registers.writeMsr(0, 0x830, 0x0000_00fd, 287);
    expect(takers(machine)).toEqual([287]);
  });

  it("sends to a cluster", () => {
    const machine = x2apicMachine({ vcpus: 300 });
    machine.registers.writeMsr(0, 0x830, 0x0000_08fd, 0x0011_8001);
    expect(takers(machine)).toEqual([0x110, 0x11f]);
  });

  it("sends to everybody", () => {
    const machine = x2apicMachine({ vcpus: 300 });
    machine.registers.writeMsr(7, 0x830, 0x0000_00fd, -1);
    expect(takers(machine)).toHaveLength(300);
  });

  it("sends to itself through SELF IPI", () => {
    const machine = x2apicMachine({ vcpus: 2 });
    machine.registers.writeMsr(1, 0x83f, 0xfd, 0);
    expect(machine.seen).toEqual([{ vcpu: 1, vector: 0xfd, mode: 0 }]);
    expect(readMsr(machine.registers, 1, 0x830)).toBe(0n);
  });
});

describe("start of an application processor (SDM vol. 3, 9.4.4)", () => {
  it("is INIT, INIT level de-assert without effect, then two start-up IPIs", () => {
    const machine = x2apicMachine({ vcpus: 300 });
    const { bus, registers } = machine;
    registers.writeMsr(299, 0x808, 0x40, 0);
    registers.writeMsr(0, 0x830, 0x0000_c500, 299);
    registers.writeMsr(0, 0x830, 0x0000_8500, 299);
    registers.writeMsr(0, 0x830, 0x0000_069a, 299);
    registers.writeMsr(0, 0x830, 0x0000_069a, 299);
    expect(machine.seen).toEqual([
      { vcpu: 299, vector: 0, mode: 5 },
      { vcpu: 299, vector: 0x9a, mode: 6 },
      { vcpu: 299, vector: 0x9a, mode: 6 },
    ]);

    expect(bus.takeEvents(299, LapicEvent.INIT)).toBe(LapicEvent.INIT);
    bus.initialize(299);
    expect(bus.lapics.mode(299)).toBe(ApicMode.X2APIC);
    expect(readMsr(registers, 299, 0x808)).toBe(0n);
    expect(readMsr(registers, 299, 0x80f)).toBe(0xffn);
    expect(bus.takeEvents(299, 0xff)).toBe(LapicEvent.STARTUP);
    expect(bus.startupVector(299)).toBe(0x9a);
  });

  it("reaches a vCPU with a large id that is still in xAPIC mode", () => {
    const machine = x2apicMachine({ vcpus: 300 });
    machine.bus.setMode(299, ApicMode.DISABLED);
    machine.bus.setMode(299, ApicMode.XAPIC);
    machine.registers.writeMsr(0, 0x830, 0x0000_4500, 299);
    expect(takers(machine)).toEqual([299]);
  });
});

describe("errors (SDM vol. 3, 11.5.3)", () => {
  it("notes an illegal vector at the sender (bit 5) and at the receiver (bit 6)", () => {
    const machine = x2apicMachine({ vcpus: 2 });
    machine.registers.writeMsr(0, 0x830, 0x0000_000f, 1);
    machine.registers.writeMsr(0, 0x828, 0, 0);
    machine.registers.writeMsr(1, 0x828, 0, 0);
    expect(readMsr(machine.registers, 0, 0x828)).toBe(0x20n);
    expect(readMsr(machine.registers, 1, 0x828)).toBe(0x40n);
    expect(takers(machine)).toEqual([]);
  });

  it("notes both at a vCPU that sends one to itself", () => {
    const machine = x2apicMachine({ vcpus: 1 });
    machine.registers.writeMsr(0, 0x83f, 0x03, 0);
    machine.registers.writeMsr(0, 0x828, 0, 0);
    expect(readMsr(machine.registers, 0, 0x828)).toBe(0x60n);
  });

  it("needs no vector for NMI", () => {
    const machine = x2apicMachine({ vcpus: 2 });
    machine.registers.writeMsr(0, 0x830, 0x0000_0400, 1);
    machine.registers.writeMsr(0, 0x828, 0, 0);
    expect(readMsr(machine.registers, 0, 0x828)).toBe(0n);
    expect(machine.bus.takeEvents(1, 0xff)).toBe(LapicEvent.NMI);
  });

  it("sends nothing for the reserved modes 3 and 7", () => {
    const machine = x2apicMachine({ vcpus: 2 });
    machine.registers.writeMsr(0, 0x830, 0x0000_0331, 1);
    machine.registers.writeMsr(0, 0x830, 0x0000_0731, 1);
    expect(takers(machine)).toEqual([]);
  });
});
