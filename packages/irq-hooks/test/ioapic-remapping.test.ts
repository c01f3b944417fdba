import { InterruptResult } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { InterruptRoute, Ioapic } from "../src/index.ts";
import { blockAll, FakeRemapper, GuestIoapic, remapTo } from "./ioapic-machine.ts";
import { x2apicMachine } from "./machine.ts";

describe("entries in remappable format (VT-d 5.1.5.1)", () => {
  it.each([
    ["index 12h, edge", 4, 0x0025_0000, 0x0000_0030, "f0f8 0 fee00250 30"],
    ["index 8001h", 4, 0x0003_0000, 0x0000_0830, "f0f8 0 fee00034 30"],
    ["index 3, level, low-active", 9, 0x0007_0000, 0x0000_a009, "f0f8 0 fee00070 c009"],
    ["index ffffh", 4, 0xffff_0000, 0x0000_0830, "f0f8 0 feeffff4 30"],
  ])("%s", (_, pin, high, low, request) => {
    const remapper = remapTo(0x100, 0xfee1_f000, 0x41);
    const guest = new GuestIoapic({ lowActive: [9] }, remapper);
    guest.program(pin, high, low);
    guest.chip.setPin(pin, true);
    expect(remapper.requests).toEqual([request]);
    expect(guest.sink.take()).toEqual(["100 fee1f000 41"]);
  });

  it("ask for the source-id at each interrupt when it is a function", () => {
    const remapper = blockAll(0x26);
    let sourceId = 0x0010;
    const route = new InterruptRoute({
      sink: new GuestIoapic().sink,
      remapper,
      sourceId: () => sourceId,
    });
    const chip = new Ioapic({ name: "ioapic", base: 0xfec0_0000, route });
    chip.write(0, 4, 0x10);
    chip.write(0x10, 4, 0x31);
    chip.pulse(0);
    sourceId = 0x0110;
    chip.pulse(0);
    expect(remapper.requests).toEqual(["10 0 fee00000 31", "110 0 fee00000 31"]);
  });
});

describe("blocked interrupts", () => {
  it("of a level leave remote IRR clear: nobody has accepted it", () => {
    const remapper = blockAll(0x22);
    const guest = new GuestIoapic({}, remapper);
    guest.program(16, 0x0007_0000, 0x8010);
    guest.chip.setPin(16, true);
    expect(guest.sink.take()).toEqual([]);
    expect(guest.entry(16)[1]).toBe(0x8010);
    expect(guest.chip.counters).toEqual({ delivered: 0, blocked: 1, lost: 0 });
  });

  it("come again at the next write of the entry while the line is active", () => {
    const remapper = blockAll(0x22);
    const guest = new GuestIoapic({}, remapper);
    guest.program(16, 0x0007_0000, 0x8010);
    guest.chip.setPin(16, true);
    remapper.answer = remapTo(0, 0xfee0_1000, 0x4041).answer;
    guest.program(16, 0x0007_0000, 0x8010);
    expect(guest.sink.take()).toEqual(["0 fee01000 4041"]);
    expect(guest.entry(16)[1]).toBe(0xc010);
  });

  it("of an edge are gone", () => {
    const remapper = blockAll(0x25);
    const guest = new GuestIoapic({}, remapper);
    guest.program(4, 0, 0x31);
    guest.chip.setPin(4, true);
    remapper.answer = remapTo(0, 0xfee0_1000, 0x4041).answer;
    guest.program(4, 0, 0x31);
    expect(guest.sink.take()).toEqual([]);
  });
});

describe("posted interrupts (VT-d 5.2.6)", () => {
  it("of a level are taken, and end by directed EOI", () => {
    const remapper = new FakeRemapper(() => InterruptResult.CONSUMED);
    const guest = new GuestIoapic({}, remapper);
    guest.program(16, 0x0007_0000, 0x8010);
    guest.chip.setPin(16, true);
    expect(guest.sink.take()).toEqual([]);
    expect(guest.entry(16)[1]).toBe(0xc010);
    guest.chip.setPin(16, false);
    guest.writeEoi(0x10);
    expect(guest.entry(16)[1]).toBe(0x8010);
  });
});

describe("the end of a remapped level interrupt", () => {
  const machine = (data: number, svr: number) => {
    const { bus, registers } = x2apicMachine({ vcpus: 300 });
    registers.writeMsr(299, 0x80f, svr, 0);
    const remapper = remapTo(0x100, 0xfee2_b000, data);
    const route = new InterruptRoute({ sink: bus, remapper, sourceId: 0xf0f8 });
    const chip = new Ioapic({ name: "ioapic", base: 0xfec0_0000, route });
    bus.onEoi((vector) => {
      chip.eoi(vector);
    });
    const remoteIrr = () => {
      const out = new Int32Array(2);
      chip.write(0, 4, 0x30);
      chip.read(0x10, 4, out);
      return (out[0]! & 0x4000) !== 0;
    };
    const program = (low: number) => {
      chip.write(0, 4, 0x31);
      chip.write(0x10, 4, 0x0007_0000);
      chip.write(0, 4, 0x30);
      chip.write(0x10, 4, low);
    };
    return { bus, registers, chip, remoteIrr, program };
  };

  it("is the broadcast where entry and IRTE agree in vector and trigger mode", () => {
    const { bus, registers, chip, remoteIrr, program } = machine(0xc051, 0x1ff);
    program(0x8051);
    chip.setPin(16, true);
    expect(bus.accept(299)).toBe(0x51);
    expect(remoteIrr()).toBe(true);
    chip.setPin(16, false);
    registers.writeMsr(299, 0x80b, 0, 0);
    expect(remoteIrr()).toBe(false);
  });

  it("brings the interrupt again when the line is still active", () => {
    const { bus, registers, chip, program } = machine(0xc051, 0x1ff);
    program(0x8051);
    chip.setPin(16, true);
    for (let i = 0; i < 3; i += 1) {
      expect(bus.accept(299)).toBe(0x51);
      expect(bus.accept(299)).toBe(-1);
      registers.writeMsr(299, 0x80b, 0, 0);
    }
    expect(chip.counters.delivered).toBe(4);
  });

  it("is a directed EOI with the entry's vector where the IRTE is edge-triggered, as Linux does", () => {
    const { bus, registers, chip, remoteIrr, program } = machine(0x4051, 0x1ff);
    program(0x8010); // the vector is the pin's number
    chip.setPin(16, true);
    expect(bus.accept(299)).toBe(0x51);
    chip.setPin(16, false);
    registers.writeMsr(299, 0x80b, 0, 0);
    expect(remoteIrr()).toBe(true);
    chip.write(0x40, 4, 0x10);
    expect(remoteIrr()).toBe(false);
  });

  it("is a directed EOI where software suppresses the broadcast", () => {
    const { bus, registers, chip, remoteIrr, program } = machine(0xc051, 0x11ff);
    program(0x8051);
    chip.setPin(16, true);
    bus.accept(299);
    chip.setPin(16, false);
    registers.writeMsr(299, 0x80b, 0, 0);
    expect(remoteIrr()).toBe(true);
    chip.write(0x40, 4, 0x51);
    expect(remoteIrr()).toBe(false);
  });

  it("never comes from a broadcast whose vector the entry does not have", () => {
    const { bus, registers, chip, remoteIrr, program } = machine(0xc051, 0x1ff);
    program(0x8010);
    chip.setPin(16, true);
    bus.accept(299);
    registers.writeMsr(299, 0x80b, 0, 0);
    expect(remoteIrr()).toBe(true);
  });
});
