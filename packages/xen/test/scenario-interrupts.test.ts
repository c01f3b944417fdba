/** Acceptance scenarios 1, 2 and 10: interrupts of domains whose vIOMMU a toolstack has created. */
import { Ioapic, InterruptRoute, LapicBus, LapicRegisters } from "@viommu/irq-hooks";
import { describe, expect, it } from "vitest";
import { HostedGuest, IOAPIC } from "./hosted-guest.ts";
import { BASE, GUEST, INTERRUPT_REMAPPING, L2_IR, readRegister } from "./xen-host.ts";

const NIC = 0x0010;

/** Sends an MSI to one vCPU and a pin's interrupt to another; returns who has taken what. */
function interrupts(guest: HostedGuest, msiTo: number, pinTo: number): string[] {
  const driver = guest.boot();
  const { domain } = guest.guest;
  const { lapics } = guest;
  const remapper = (sourceId: number) => domain.unitAbove(0, sourceId)!.interrupts;

  const msi = driver.requestInterrupts({ sourceId: NIC });
  msi.route(0, { apicId: msiTo, vector: 0x41 });
  const { address, data } = msi.message();
  new InterruptRoute({ sink: lapics, remapper: remapper(NIC), sourceId: NIC }).send(
    address | 0,
    data,
  );

  const { sourceId, id } = IOAPIC;
  const route = new InterruptRoute({ sink: lapics, remapper: remapper(sourceId), sourceId });
  const ioapic = new Ioapic({ name: "ioapic", base: 0xfec0_0000, id, route });
  const pin = driver.requestInterrupts({ ioApic: id });
  pin.route(0, { apicId: pinTo, vector: 0x52 });
  const entry = pin.redirectionEntry(4, { trigger: "edge", polarity: "high", masked: false });
  for (const [index, value] of [
    [0x19, entry.high],
    [0x18, entry.low],
  ] as const) {
    ioapic.write(0, 4, index);
    ioapic.write(0x10, 4, value | 0);
  }
  ioapic.pulse(4);
  return [msiTo, pinTo].map((vcpu) => `${vcpu}: ${lapics.accept(vcpu).toString(16)}`);
}

describe("1. a domain with type=intel_vtd,intremap=1 and 288 vCPUs", () => {
  it("an MSI reaches APIC id 287 and a pin of the I/O APIC 255", () => {
    const guest = new HostedGuest(288);
    expect(guest.host.client.create(GUEST, { base: BASE, capabilities: L2_IR })).toBe(0);
    expect(interrupts(guest, 287, 255)).toEqual(["287: 41", "255: 52"]);
  });
});

describe("2. the same without a vIOMMU", () => {
  const send = (extendedDestinationId: boolean, address: number): number[] => {
    const lapics = new LapicBus({ vcpus: 288, initialMode: 2, extendedDestinationId });
    const registers = new LapicRegisters(lapics);
    for (const vcpu of [31, 287]) registers.writeMsr(vcpu, 0x80f, 0x1ff, 0);
    const { domain } = new HostedGuest().guest;
    expect(domain.unitAbove(0, NIC)).toBeNull();
    new InterruptRoute({ sink: lapics, remapper: undefined, sourceId: NIC }).send(address, 0x41);
    return [31, 287].map((vcpu) => lapics.pending(vcpu));
  };
  // 287 = 11Fh: 1Fh in bits 19:12, the rest in bits 11:5
  const address = 0xfee0_0000 | (0x1f << 12) | (1 << 5);

  it("D27: the message passes as it is, and 287 becomes 31", () => {
    expect(send(false, address)).toEqual([0x41, -1]);
  });

  it("with extended destination ids, 287 is reached", () => {
    expect(send(true, address)).toEqual([-1, 0x41]);
  });
});

describe("10. a unit for interrupt remapping alone", () => {
  it("has SAGAW = 0; the guest leaves translation off and reaches vCPU 287", () => {
    const guest = new HostedGuest(288);
    guest.host.client.create(GUEST, { base: BASE, capabilities: INTERRUPT_REMAPPING });
    expect(interrupts(guest, 287, 286)).toEqual(["287: 41", "286: 52"]);
    const unit = guest.guest.units[0]!;
    expect((readRegister(unit, 8) >>> 8) & 0x1f).toBe(0);
    expect(readRegister(unit, 0x1c) >>> 31).toBe(0);
  });
});

describe("D20: a page of the guest that the host has replaced", () => {
  it("is read where it is now: entries are fetched for each message", () => {
    const guest = new HostedGuest(4);
    guest.host.client.create(GUEST, { base: BASE, capabilities: L2_IR });
    const driver = guest.boot();
    const unit = guest.guest.units[0]!;
    const msi = driver.requestInterrupts({ sourceId: NIC });
    msi.route(0, { apicId: 1, vector: 0x41 });
    const { address, data } = msi.message();
    const route = new InterruptRoute({
      sink: guest.lapics,
      remapper: unit.interrupts,
      sourceId: NIC,
    });
    expect(route.send(address | 0, data)).toBe(0);
    // the page has other contents now, and the guest has invalidated nothing
    const table = readRegister(unit, 0xb8) & ~0xfff;
    guest.guest.memory.writeBytes(0, table + msi.index * 16, new Uint8Array(16));
    expect(route.send(address | 0, data)).toBe(0x22);
  });

  it("that is gone is a fault, not an access to what was there", () => {
    const guest = new HostedGuest(4, {});
    let balloonedOut = false;
    const host = new HostedGuest(4).host;
    const other = host.addGuest({ domid: 7 }, (memory) => ({
      chunks: [],
      shared: false,
      readWords: (hi, lo, count, out) => !balloonedOut && memory.readWords(hi, lo, count, out),
      writeWord: (hi, lo, value) => !balloonedOut && memory.writeWord(hi, lo, value),
      exchangeWord: (hi, lo, expected, value) =>
        balloonedOut ? 2 : memory.exchangeWord(hi, lo, expected, value),
      readBytes: (hi, lo, target) => !balloonedOut && memory.readBytes(hi, lo, target),
      writeBytes: (hi, lo, source) => !balloonedOut && memory.writeBytes(hi, lo, source),
      view: () => null,
    }));
    host.client.create(7, { base: BASE, capabilities: L2_IR });
    const unit = other.units[0]!;
    unit.write(0xb8, 8, 0x10_0000 | 7, 0);
    unit.write(0x18, 4, 1 << 24, 0);
    unit.write(0x18, 4, 1 << 25, 0);
    const route = new InterruptRoute({
      sink: guest.lapics,
      remapper: unit.interrupts,
      sourceId: NIC,
    });
    expect(route.send(0xfee0_0010 | 0, 0)).toBe(0x22);
    balloonedOut = true;
    expect(route.send(0xfee0_0010 | 0, 0)).toBe(0x23);
  });
});
