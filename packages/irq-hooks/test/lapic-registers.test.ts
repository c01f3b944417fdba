import { describe, expect, it } from "vitest";
import { ApicMode, LapicBus, LapicRegisters } from "../src/index.ts";
import { enabledMachine, readMsr, x2apicMachine } from "./machine.ts";

const fresh = (initialMode: number = ApicMode.XAPIC) => {
  const bus = new LapicBus({ vcpus: 2, apicIds: [0x123, 0x45], initialMode });
  return { bus, registers: new LapicRegisters(bus) };
};

describe("the xAPIC page (SDM vol. 3, 11.4.1)", () => {
  it("has the values of power-on", () => {
    const { registers } = fresh();
    const read = (offset: number) => registers.readMmio(1, offset) >>> 0;
    expect(read(0x020)).toBe(0x4500_0000);
    expect(read(0x030)).toBe(0x0105_0014);
    expect(read(0x080)).toBe(0);
    expect(read(0x0d0)).toBe(0);
    expect(read(0x0e0)).toBe(0xffff_ffff);
    expect(read(0x0f0)).toBe(0xff);
    expect(read(0x320)).toBe(0x0001_0000);
    expect(read(0x370)).toBe(0x0001_0000);
    expect(read(0x390)).toBe(0);
  });

  it("shows bits 7:0 of a larger id", () => {
    expect(fresh().registers.readMmio(0, 0x20) >>> 0).toBe(0x2300_0000);
  });

  it("shows a vector in IRR, ISR and TMR at bit vector mod 32 of word vector / 32", () => {
    const { bus, registers } = enabledMachine({ vcpus: 1 });
    bus.deliver(0, 0xfee0_0000, 0xc0a5);
    expect(registers.readMmio(0, 0x250)).toBe(0x20);
    expect(registers.readMmio(0, 0x1d0)).toBe(0x20);
    bus.accept(0);
    expect(registers.readMmio(0, 0x250)).toBe(0);
    expect(registers.readMmio(0, 0x150)).toBe(0x20);
    expect(registers.readMmio(0, 0x1d0)).toBe(0x20);
  });

  it("works out PPR from TPR and the interrupt in service (11.8.3.1)", () => {
    const { bus, registers } = enabledMachine({ vcpus: 1 });
    registers.writeMmio(0, 0x80, 0x35);
    expect(registers.readMmio(0, 0xa0)).toBe(0x35);
    bus.deliver(0, 0xfee0_0000, 0x57);
    bus.accept(0);
    expect(registers.readMmio(0, 0xa0)).toBe(0x50);
    registers.writeMmio(0, 0x80, 0x61);
    expect(registers.readMmio(0, 0xa0)).toBe(0x61);
    registers.writeMmio(0, 0xb0, 0);
    registers.writeMmio(0, 0x80, 0);
    expect(registers.readMmio(0, 0xa0)).toBe(0);
  });

  it("keeps reserved bits: DFR 27:0 as 1, LDR 23:0, TPR 31:8 and SVR as 0", () => {
    const { registers } = fresh();
    registers.writeMmio(1, 0x0e0, 0);
    registers.writeMmio(1, 0x0d0, -1);
    registers.writeMmio(1, 0x080, -1);
    registers.writeMmio(1, 0x0f0, -1);
    expect(registers.readMmio(1, 0x0e0)).toBe(0x0fff_ffff);
    expect(registers.readMmio(1, 0x0d0) >>> 0).toBe(0xff00_0000);
    expect(registers.readMmio(1, 0x080)).toBe(0xff);
    expect(registers.readMmio(1, 0x0f0)).toBe(0x11ff);
  });

  it("ignores writes to read-only registers and reads write-only ones as 0", () => {
    const { registers } = fresh();
    for (const offset of [0x20, 0x30, 0xa0, 0x100, 0x200, 0x390])
      registers.writeMmio(1, offset, -1);
    expect(registers.readMmio(1, 0x20) >>> 0).toBe(0x4500_0000);
    expect(registers.readMmio(1, 0x100)).toBe(0);
    expect(registers.readMmio(1, 0xb0)).toBe(0);
    registers.writeMmio(1, 0x280, 0);
    expect(registers.readMmio(1, 0x280)).toBe(0);
  });

  it("notes an access to a reserved address in ESR bit 7", () => {
    const { registers } = fresh();
    registers.readMmio(1, 0x3f0);
    registers.writeMmio(1, 0x280, 0);
    expect(registers.readMmio(1, 0x280)).toBe(0x80);
  });

  it("is not there in x2APIC mode, nor between registers", () => {
    const { registers } = fresh(ApicMode.X2APIC);
    registers.writeMmio(1, 0x80, 0x40);
    expect(registers.readMmio(1, 0x20)).toBe(0);
    expect(readMsr(registers, 1, 0x808)).toBe(0n);
    expect(fresh().registers.readMmio(1, 0x24)).toBe(0);
  });
});

describe("the MSRs of x2APIC mode (SDM vol. 3, 11.12.1)", () => {
  it("show the 32-bit id and the logical id that follows from it", () => {
    const { registers } = fresh(ApicMode.X2APIC);
    expect(readMsr(registers, 0, 0x802)).toBe(0x123n);
    expect(readMsr(registers, 0, 0x80d)).toBe(0x0012_0008n);
    expect(readMsr(registers, 1, 0x80d)).toBe(0x0004_0020n);
    expect(readMsr(registers, 0, 0x803)).toBe(0x0105_0014n);
  });

  it("raise #GP outside x2APIC mode, for missing registers and for the wrong direction", () => {
    expect(readMsr(fresh().registers, 0, 0x802)).toBe("#GP");
    const { registers } = fresh(ApicMode.X2APIC);
    for (const msr of [0x800, 0x809, 0x80b, 0x80e, 0x82f, 0x831, 0x83f, 0x840, 0x8ff]) {
      expect(readMsr(registers, 0, msr)).toBe("#GP");
    }
    for (const msr of [0x802, 0x803, 0x80a, 0x80d, 0x80e, 0x810, 0x827, 0x839, 0x850]) {
      expect(registers.writeMsr(0, msr, 0, 0)).toBe(false);
    }
  });

  it("raise #GP for reserved bits", () => {
    const { registers } = fresh(ApicMode.X2APIC);
    expect(registers.writeMsr(0, 0x808, 0x100, 0)).toBe(false);
    expect(registers.writeMsr(0, 0x808, 0x40, 1)).toBe(false);
    expect(registers.writeMsr(0, 0x80b, 1, 0)).toBe(false);
    expect(registers.writeMsr(0, 0x80f, 0x200, 0)).toBe(false);
    expect(registers.writeMsr(0, 0x828, 1, 0)).toBe(false);
    expect(registers.writeMsr(0, 0x830, 0x1000, 0)).toBe(false);
    expect(registers.writeMsr(0, 0x83f, 0x100, 0)).toBe(false);
    expect(readMsr(registers, 0, 0x808)).toBe(0n);
  });

  it("read ICR back as 64 bits", () => {
    const { registers } = x2apicMachine({ vcpus: 1 });
    expect(registers.writeMsr(0, 0x830, 0x0000_48fd, 0x0001_0020)).toBe(true);
    expect(readMsr(registers, 0, 0x830)).toBe(0x0001_0020_0000_48fdn);
  });
});

describe("IA32_APIC_BASE (SDM vol. 3, 11.12.5)", () => {
  it("shows mode and bootstrap processor", () => {
    const { registers } = fresh();
    expect(readMsr(registers, 0, 0x1b)).toBe(0xfee0_0900n);
    expect(readMsr(registers, 1, 0x1b)).toBe(0xfee0_0800n);
    expect(registers.writeMsr(1, 0x1b, 0xfee0_0c00, 0)).toBe(true);
    expect(readMsr(registers, 1, 0x1b)).toBe(0xfee0_0c00n);
  });

  it.each([
    ["xAPIC to x2APIC", [0xc00], true],
    ["xAPIC to disabled", [0x000], true],
    ["disabled to xAPIC", [0x000, 0x800], true],
    ["x2APIC to disabled", [0xc00, 0x000], true],
    ["x2APIC to xAPIC", [0xc00, 0x800], false],
    ["disabled to x2APIC", [0x000, 0xc00], false],
    ["xAPIC to the invalid state", [0x400], false],
    ["no change", [0x800], true],
  ])("%s", (_, values, allowed) => {
    const { registers } = fresh();
    let last = true;
    for (const value of values) last = registers.writeMsr(1, 0x1b, 0xfee0_0000 | value, 0);
    expect(last).toBe(allowed);
  });

  it("keeps IRR, TPR and SVR on the way to x2APIC mode", () => {
    const { bus, registers } = enabledMachine({ vcpus: 1 });
    registers.writeMmio(0, 0x80, 0x20);
    bus.deliver(0, 0xfee0_0000, 0x31);
    registers.writeMsr(0, 0x1b, 0xfee0_0d00, 0);
    expect(readMsr(registers, 0, 0x808)).toBe(0x20n);
    expect(readMsr(registers, 0, 0x80f)).toBe(0x1ffn);
    expect(bus.accept(0)).toBe(0x31);
  });
});
