import { describe, expect, it } from "vitest";
import { ApicMode, LapicBus, LapicEvent } from "../src/index.ts";
import { enabledMachine, readMsr, takers, x2apicMachine } from "./machine.ts";

describe("delivery modes (SDM vol. 3, 11.11.2)", () => {
  it("makes NMI, SMI, INIT and ExtINT events of the core, past IRR and TPR", () => {
    const machine = enabledMachine({ vcpus: 2 });
    machine.registers.writeMmio(1, 0x80, 0xff);
    for (const mode of [2, 4, 5, 7]) machine.bus.deliver(0, 0xfee0_1000, mode << 8);
    expect(machine.bus.pending(1)).toBe(-1);
    const all = LapicEvent.SMI | LapicEvent.NMI | LapicEvent.INIT | LapicEvent.EXTINT;
    expect(machine.bus.takeEvents(1, LapicEvent.NMI)).toBe(LapicEvent.NMI);
    expect(machine.bus.takeEvents(1, 0xff)).toBe(all & ~LapicEvent.NMI);
    expect(machine.bus.takeEvents(1, 0xff)).toBe(0);
  });

  it("delivers nothing for the reserved modes 3 and 6", () => {
    const machine = enabledMachine({ vcpus: 1 });
    machine.bus.deliver(0, 0xfee0_0000, 0x331);
    machine.bus.deliver(0, 0xfee0_0000, 0x631);
    expect(takers(machine)).toEqual([]);
    expect(machine.bus.counters.unclaimed).toBe(2);
  });

  it("ignores the end of a level: trigger mode 1, level 0", () => {
    const machine = enabledMachine({ vcpus: 1 });
    machine.bus.deliver(0, 0xfee0_0000, 0x8031);
    machine.bus.deliver(0, 0xfee0_0000, 0x8500);
    expect(takers(machine)).toEqual([]);
    expect(machine.bus.counters.ignored).toBe(2);
  });

  it("ignores addresses outside FEEx_xxxxh", () => {
    const machine = enabledMachine({ vcpus: 1 });
    machine.bus.deliver(0, 0xfed0_0000, 0x31);
    machine.bus.deliver(1, 0xfee0_0000, 0x31);
    expect(machine.bus.counters).toEqual({ messages: 2, unclaimed: 0, ignored: 2 });
  });
});

describe("acceptance (SDM vol. 3, 11.8)", () => {
  it("keeps one interrupt in service and one waiting for each vector", () => {
    const machine = enabledMachine({ vcpus: 1 });
    machine.bus.deliver(0, 0xfee0_0000, 0x31);
    expect(machine.bus.accept(0)).toBe(0x31);
    machine.bus.deliver(0, 0xfee0_0000, 0x31);
    machine.bus.deliver(0, 0xfee0_0000, 0x31);
    expect(machine.bus.lapics.accepted[0]).toBe(3);
    expect(machine.bus.lapics.merged[0]).toBe(1);
    expect(machine.bus.accept(0)).toBe(-1);
    machine.bus.eoi(0);
    expect(machine.bus.accept(0)).toBe(0x31);
  });

  it("lets only a higher class interrupt a handler", () => {
    const machine = enabledMachine({ vcpus: 1 });
    for (const vector of [0x31, 0x3f, 0x40]) machine.bus.deliver(0, 0xfee0_0000, vector);
    expect(machine.bus.accept(0)).toBe(0x40);
    expect(machine.bus.accept(0)).toBe(-1);
    machine.bus.eoi(0);
    expect(machine.bus.accept(0)).toBe(0x3f);
    expect(machine.bus.accept(0)).toBe(-1);
    machine.bus.deliver(0, 0xfee0_0000, 0x51);
    expect(machine.bus.accept(0)).toBe(0x51);
  });

  it("holds back vectors whose class is not above the task priority", () => {
    const machine = enabledMachine({ vcpus: 1 });
    machine.bus.deliver(0, 0xfee0_0000, 0x4f);
    machine.registers.writeMmio(0, 0x80, 0x40);
    expect(machine.bus.pending(0)).toBe(-1);
    machine.registers.writeMmio(0, 0x80, 0x3f);
    expect(machine.bus.pending(0)).toBe(0x4f);
  });

  it("gives the spurious vector to a core that acknowledges too late", () => {
    const machine = enabledMachine({ vcpus: 1 });
    machine.bus.deliver(0, 0xfee0_0000, 0x4f);
    machine.registers.writeMmio(0, 0x80, 0x40);
    expect(machine.bus.acknowledge(0)).toBe(0xff);
    machine.registers.writeMmio(0, 0x80, 0);
    expect(machine.bus.acknowledge(0)).toBe(0x4f);
  });

  it("records an illegal vector and takes nothing (ESR bit 6)", () => {
    const machine = enabledMachine({ vcpus: 1 });
    machine.bus.deliver(0, 0xfee0_0000, 0x0f);
    expect(machine.bus.pending(0)).toBe(-1);
    expect(machine.registers.readMmio(0, 0x280)).toBe(0);
    machine.registers.writeMmio(0, 0x280, 0);
    expect(machine.registers.readMmio(0, 0x280)).toBe(0x40);
    machine.registers.writeMmio(0, 0x280, 0);
    expect(machine.registers.readMmio(0, 0x280)).toBe(0);
  });
});

describe("a software-disabled APIC (SDM vol. 3, 11.4.7.2)", () => {
  it("is the state after power-on", () => {
    const bus = new LapicBus({ vcpus: 1 });
    bus.deliver(0, 0xfee0_0000, 0x31);
    expect(bus.counters.unclaimed).toBe(1);
  });

  it("takes no vectors, holds those it has, and answers NMI", () => {
    const machine = enabledMachine({ vcpus: 1 });
    machine.bus.deliver(0, 0xfee0_0000, 0x31);
    machine.registers.writeMmio(0, 0xf0, 0xff);
    machine.bus.deliver(0, 0xfee0_0000, 0x41);
    machine.bus.deliver(0, 0xfee0_0000, 0x400);
    machine.bus.deliver(0, 0xfee0_0000, 0x700);
    expect(machine.bus.accept(0)).toBe(-1);
    expect(machine.bus.takeEvents(0, 0xff)).toBe(LapicEvent.NMI);
    machine.registers.writeMmio(0, 0xf0, 0x1ff);
    expect(machine.bus.accept(0)).toBe(0x31);
  });
});

describe("EOI (SDM vol. 3, 11.8.5)", () => {
  it("tells the I/O APICs the vector of a level interrupt, and of no other", () => {
    const machine = enabledMachine({ vcpus: 1 });
    const heard: number[] = [];
    machine.bus.onEoi((vector) => heard.push(vector));
    machine.bus.deliver(0, 0xfee0_0000, 0xc031);
    machine.bus.deliver(0, 0xfee0_0000, 0x42);
    machine.bus.accept(0);
    machine.registers.writeMmio(0, 0xb0, 0);
    expect(heard).toEqual([]);
    machine.bus.accept(0);
    machine.registers.writeMmio(0, 0xb0, 0);
    machine.registers.writeMmio(0, 0xb0, 0);
    expect(heard).toEqual([0x31]);
  });

  it("tells nobody when SVR bit 12 suppresses the broadcast", () => {
    const machine = x2apicMachine({ vcpus: 1 });
    const heard: number[] = [];
    machine.bus.onEoi((vector) => heard.push(vector));
    expect(machine.registers.writeMsr(0, 0x80f, 0x11ff, 0)).toBe(true);
    machine.bus.deliver(0, 0xfee0_0000, 0xc031);
    machine.bus.accept(0);
    expect(machine.registers.writeMsr(0, 0x80b, 0, 0)).toBe(true);
    expect(heard).toEqual([]);
    expect(readMsr(machine.registers, 0, 0x811)).toBe(0n);
  });

  it("keeps that bit at 0 where the version register does not offer it", () => {
    const machine = enabledMachine({ vcpus: 1, suppressEoiBroadcast: false });
    machine.registers.writeMmio(0, 0xf0, 0x11ff);
    expect(machine.registers.readMmio(0, 0xf0)).toBe(0x1ff);
    expect(machine.registers.readMmio(0, 0x30)).toBe(0x0005_0014);
  });
});

describe("a globally disabled APIC (IA32_APIC_BASE bit 11 = 0)", () => {
  it("gets neither vectors nor NMIs, and comes back as after power-on", () => {
    const machine = enabledMachine({ vcpus: 2 });
    machine.registers.writeMmio(1, 0x80, 0x40);
    machine.bus.setMode(1, ApicMode.DISABLED);
    machine.bus.deliver(0, 0xfee0_1000, 0x51);
    machine.bus.deliver(0, 0xfee0_1000, 0x400);
    machine.bus.deliver(0, 0xfeef_f000, 0x51);
    expect(takers(machine)).toEqual([0]);
    machine.bus.setMode(1, ApicMode.XAPIC);
    expect(machine.registers.readMmio(1, 0x80)).toBe(0);
    expect(machine.registers.readMmio(1, 0xf0)).toBe(0xff);
  });
});
