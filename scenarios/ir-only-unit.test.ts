/**
 * A unit with SAGAW = 0 has no second-stage tables: it remaps interrupts and nothing else. The guest
 * leaves DMA as it is and uses all 32 bits of APIC ids.
 */
import { describe, expect, it } from "vitest";
import { NicRing, QUEUE_BASE, RingRegister } from "../apps/guest/src/devices/layout.ts";
import { Gcmd, Reg } from "./support/guest.ts";
import { VirtualGuest } from "./support/virtual-guest.ts";

const UNIT = 0xfed9_0000;

const GUEST = `
name: ir-only
vcpus: { count: 288 }
memory: 64M
units:
  - name: dmar0
    base: 0xfed90000
    includeAll: true
    scope: [ioapic0]
    options: { addressWidths: [], passThrough: false }
ioapics:
  - { name: ioapic0, id: 0, base: 0xfec00000, address: "ff:00.0" }
devices:
  - { name: nic0, kind: nic, address: "00:02.0", vectors: 2 }
  - { name: disk0, kind: block, address: "00:03.0", vectors: 1 }
  - { name: timer0, kind: timer, address: "00:04.0", pin: { ioapic: ioapic0, number: 2 } }
`;

describe("IR-only unit (SAGAW = 0)", () => {
  it("the guest switches interrupt remapping on, and translation not", () => {
    const guest = new VirtualGuest(GUEST);
    expect((guest.read32(UNIT + Reg.CAP) >>> 8) & 0x1f).toBe(0); // SAGAW
    const status = guest.read32(UNIT + Reg.GSTS);
    expect(status & Gcmd.IRE).not.toBe(0);
    expect(status & Gcmd.TE).toBe(0);
    expect(guest.kernel.iommu!.units[0]!.devices).toBeNull();
  });

  it("DMA reaches memory as it is, interrupts reach vCPU 287", () => {
    const guest = new VirtualGuest(GUEST);
    for (const name of ["nic0/0", "disk0/0", "timer0/0"]) {
      guest.move(name, 287);
      guest.work(name);
    }
    expect(guest.taken).toEqual(["vCPU 287: 3"]);
    expect(guest.problems).toEqual([]);
    // the ring lies where the device is told: no I/O virtual address in between
    const ring = guest.device("nic0").device.config.bar + QUEUE_BASE + NicRing.TRANSMIT;
    const { base, size } = guest.guest.config.memory[0]!;
    expect(guest.read32(ring + RingRegister.BASE)).toBeLessThan(base + size);
  });

  it("requesters are verified all the same", () => {
    const guest = new VirtualGuest(GUEST);
    guest.setMsixEntry("disk0/0", guest.msixEntry("nic0/0"));
    guest.work("disk0/0");
    expect(guest.guest.blocked).toMatchObject([{ requester: "00:03.0", reason: 0x26 }]);
    expect(guest.taken).toEqual(["vCPU 0: 1"]); // the unit's fault event
  });
});
