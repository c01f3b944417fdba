import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InterruptRoute, MsiCapability, MsixCapability } from "../src/index.ts";
import { GuestIoapic, RecordingSink } from "./ioapic-machine.ts";
import { enabledMachine } from "./machine.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_122);
const word = fc.integer({ min: -(2 ** 31), max: 2 ** 32 - 1 });

describe("guests and devices that send anything", () => {
  it("meet local APICs that throw at nothing and stay consistent", () => {
    const { bus, registers } = enabledMachine({ vcpus: 4, extendedDestinationId: true });
    const out = new Int32Array(2);
    fc.assert(
      fc.property(fc.nat(3), fc.nat(0x440), word, word, word, (vcpu, at, a, b, c) => {
        bus.deliver(a, b, c);
        bus.deliver(a & 0xffff_ff00, 0xfee0_0000 | (b & 0xf_ffff), c);
        registers.writeMmio(vcpu, at, a);
        registers.readMmio(vcpu, at);
        registers.writeMsr(vcpu, 0x7f0 + (at & 0x1ff), a, b);
        registers.writeMsr(vcpu, at & 0x3f, a, b);
        registers.readMsr(vcpu, 0x7f0 + (at & 0x1ff), out);
        bus.accept(vcpu);
        bus.eoi(vcpu);
        expect(bus.pending(vcpu)).toBeLessThan(256);
        expect(bus.lapics.mode(vcpu)).toBeLessThan(3);
      }),
      { seed, numRuns: 5_000 },
    );
  });

  it("meet an I/O APIC that sends only to FEEx_xxxxh", () => {
    const guest = new GuestIoapic({ pins: 240 });
    const out = new Int32Array(2);
    fc.assert(
      fc.property(fc.nat(239), fc.nat(0x60), fc.nat(9), word, word, (pin, offset, size, a, b) => {
        guest.chip.write(offset, size, a);
        guest.chip.read(offset, size, out);
        guest.program(pin, b, a);
        guest.chip.setPin(pin, (a & 1) === 0);
        guest.writeEoi(b);
        for (const message of guest.sink.take()) expect(message).toMatch(/^0 fee[0-9a-f]{5} /);
      }),
      { seed, numRuns: 5_000 },
    );
  });

  it("meet MSI and MSI-X capabilities that send only to FEEx_xxxxh", () => {
    const sink = new RecordingSink();
    const route = new InterruptRoute({ sink, sourceId: 0x0010 });
    const msi = new MsiCapability({ snapshotId: "msi", vectors: 8, route });
    const place = { bar: 0, offset: 0 };
    const msix = new MsixCapability({
      snapshotId: "msix",
      vectors: 8,
      route,
      table: place,
      pending: place,
    });
    const out = new Int32Array(2);
    fc.assert(
      fc.property(fc.nat(7), fc.nat(140), fc.nat(9), word, word, (vector, offset, size, a, b) => {
        msi.write(offset, a);
        msi.write((vector * 4) % 24, b);
        msi.read(offset);
        msi.signal(vector);
        msix.write(offset & 0xc, a);
        msix.table.write(offset, size, a, b);
        msix.table.write(vector * 16 + (a & 8), 8, a, b);
        msix.table.read(offset, size, out);
        msix.pending.write(offset, size, a, b);
        msix.signal(vector);
        for (const message of sink.take()) expect(message).toMatch(/^0 fee[0-9a-f]{5} /);
      }),
      { seed, numRuns: 5_000 },
    );
  });
});
