import { describe, expect, it } from "vitest";
import { GuestIoapic } from "./ioapic-machine.ts";

describe("messages in compatibility format", () => {
  it("carry destination, mode and vector of the entry", () => {
    const guest = new GuestIoapic();
    guest.program(4, 0x0500_0000, 0x0000_0031);
    guest.chip.pulse(4);
    guest.program(5, 0xff00_0000, 0x0000_0941); // logical, lowest priority
    guest.chip.pulse(5);
    guest.program(6, 0x0200_0000, 0x0000_8051); // level
    guest.chip.setPin(6, true);
    expect(guest.sink.take()).toEqual(["0 fee05000 31", "0 feeff004 141", "0 fee02000 c051"]);
  });

  it("carry bits 55:49 as bits 11:5, the extended destination id", () => {
    const guest = new GuestIoapic();
    guest.program(4, 0x05fe_0000, 0x0000_0031);
    guest.chip.pulse(4);
    expect(guest.sink.take()).toEqual(["0 fee05fe0 31"]);
  });
});

describe("edges (82093AA, 3.2.4)", () => {
  it("count from inactive to active", () => {
    const guest = new GuestIoapic();
    guest.program(4, 0, 0x31);
    guest.chip.setPin(4, true);
    guest.chip.setPin(4, true);
    expect(guest.sink.take()).toEqual(["0 fee00000 31"]);
    guest.chip.setPin(4, false);
    expect(guest.sink.take()).toEqual([]);
    guest.chip.setPin(4, true);
    expect(guest.sink.take()).toEqual(["0 fee00000 31"]);
  });

  it("are lost while the entry is masked, and not made up for afterwards", () => {
    const guest = new GuestIoapic();
    guest.chip.setPin(4, true);
    guest.program(4, 0, 0x31);
    expect(guest.sink.take()).toEqual([]);
    expect(guest.chip.counters.lost).toBe(1);
  });

  it("do not come from writing the entry, polarity included", () => {
    const guest = new GuestIoapic();
    guest.program(4, 0, 0x31);
    guest.program(4, 0, 0x2031);
    guest.program(4, 0x0100_0000, 0x31);
    expect(guest.sink.take()).toEqual([]);
  });

  it("go down on a low-active line with polarity 1", () => {
    const guest = new GuestIoapic({ lowActive: [9] });
    guest.program(9, 0, 0x2031);
    guest.chip.pulse(9);
    expect(guest.sink.take()).toEqual(["0 fee00000 31"]);
  });

  it("set no remote IRR, and NMI stays an edge however programmed", () => {
    const guest = new GuestIoapic();
    guest.program(4, 0, 0x31);
    guest.program(5, 0, 0x8400);
    guest.chip.pulse(4);
    guest.chip.pulse(5);
    guest.chip.pulse(5);
    expect(guest.sink.take()).toEqual(["0 fee00000 31", "0 fee00000 c400", "0 fee00000 c400"]);
    expect(guest.entry(4)[1]).toBe(0x31);
    expect(guest.entry(5)[1]).toBe(0x8400);
  });
});

describe("levels (82093AA, 3.2.4)", () => {
  const asserted = () => {
    const guest = new GuestIoapic();
    guest.program(16, 0x0300_0000, 0x8061);
    guest.chip.setPin(16, true);
    expect(guest.sink.take()).toEqual(["0 fee03000 c061"]);
    return guest;
  };

  it("interrupt once until the EOI: remote IRR is set", () => {
    const guest = asserted();
    expect(guest.entry(16)[1]).toBe(0xc061);
    guest.chip.setPin(16, false);
    guest.chip.setPin(16, true);
    expect(guest.sink.take()).toEqual([]);
  });

  it("interrupt again after the EOI while the line is active", () => {
    const guest = asserted();
    guest.chip.eoi(0x61);
    expect(guest.sink.take()).toEqual(["0 fee03000 c061"]);
    guest.chip.setPin(16, false);
    guest.chip.eoi(0x61);
    expect(guest.sink.take()).toEqual([]);
    expect(guest.entry(16)[1]).toBe(0x8061);
  });

  it("end at the EOI of their own vector only", () => {
    const guest = asserted();
    guest.chip.eoi(0x62);
    expect(guest.entry(16)[1]).toBe(0xc061);
  });

  it("end together where entries share a vector; what is still active comes again", () => {
    const guest = asserted();
    guest.program(17, 0x0400_0000, 0x8061);
    guest.chip.setPin(17, true);
    guest.chip.setPin(17, false);
    guest.sink.take();
    guest.writeEoi(0x61);
    expect(guest.sink.take()).toEqual(["0 fee03000 c061"]);
    expect([guest.entry(16)[1], guest.entry(17)[1]]).toEqual([0xc061, 0x8061]);
  });

  it("end through the EOI register, which an 82093AA does not have", () => {
    const guest = asserted();
    guest.chip.setPin(16, false);
    guest.writeEoi(0xffff_ff61);
    expect(guest.entry(16)[1]).toBe(0x8061);

    const old = new GuestIoapic({ version: 0x11 });
    old.program(16, 0, 0x8061);
    old.chip.pulse(16);
    old.writeEoi(0x61);
    expect(old.entry(16)[1]).toBe(0xc061);
  });

  it("end when the entry becomes edge-triggered, and come again when it is level-triggered", () => {
    const guest = asserted();
    guest.write(0x30, 0x1_0061);
    expect(guest.entry(16)[1]).toBe(0x1_0061);
    guest.write(0x30, 0x8061);
    expect(guest.sink.take()).toEqual(["0 fee03000 c061"]);
  });

  it("wait while masked and interrupt at the unmasking if still active", () => {
    const guest = new GuestIoapic();
    guest.chip.setPin(16, true);
    guest.program(16, 0x0300_0000, 0x1_8061);
    expect(guest.sink.take()).toEqual([]);
    guest.write(0x30, 0x8061);
    expect(guest.sink.take()).toEqual(["0 fee03000 c061"]);
  });

  it("stay in service when the entry is masked after the delivery", () => {
    const guest = asserted();
    guest.write(0x30, 0x1_8061);
    expect(guest.entry(16)[1]).toBe(0x1_c061);
    guest.chip.eoi(0x61);
    expect(guest.sink.take()).toEqual([]);
    guest.write(0x30, 0x8061);
    expect(guest.sink.take()).toEqual(["0 fee03000 c061"]);
  });

  it("send nothing while a new destination is written in service", () => {
    const guest = asserted();
    guest.program(16, 0x0700_0000, 0x8062);
    expect(guest.sink.take()).toEqual([]);
    expect(guest.entry(16)).toEqual([0x0700_0000, 0xc062]);
    guest.chip.eoi(0x61);
    expect(guest.sink.take()).toEqual([]);
    guest.chip.eoi(0x62);
    expect(guest.sink.take()).toEqual(["0 fee07000 c062"]);
  });

  it("are active while a low-active line is not driven, if the guest gets the polarity wrong", () => {
    const guest = new GuestIoapic({ lowActive: [16] });
    guest.program(16, 0, 0xa061);
    expect(guest.sink.take()).toEqual([]);
    guest.program(16, 0, 0x8061);
    expect(guest.sink.take()).toEqual(["0 fee00000 c061"]);
  });
});
