/**
 * Two PCI segments have a unit each. Devices of both have the same bus, device and function: only the
 * segment tells them apart.
 */
import { describe, expect, it } from "vitest";
import { NicRing, QUEUE_BASE, RingRegister } from "../apps/guest/src/devices/layout.ts";
import { Reg } from "./support/guest.ts";
import { VirtualGuest } from "./support/virtual-guest.ts";

const NEAR = 0xfed9_0000;
const FAR = 0xfed9_1000;

const GUEST = `
name: two-segments
vcpus: { count: 300 }
memory: 64M
units:
  - { name: near, base: 0xfed90000, segment: 0, includeAll: true, scope: [ioapic0] }
  - { name: far, base: 0xfed91000, segment: 1, includeAll: true, scope: [ioapic1] }
ioapics:
  - { name: ioapic0, id: 0, base: 0xfec00000, address: "ff:00.0" }
  - { name: ioapic1, id: 1, base: 0xfec01000, address: "0001:ff:00.0" }
devices:
  - { name: nic0, kind: nic, address: "0000:00:02.0", vectors: 1 }
  - { name: nic1, kind: nic, address: "0001:00:02.0", vectors: 1 }
  - { name: timer0, kind: timer, address: "0000:00:03.0", pin: { ioapic: ioapic0, number: 2 } }
  - { name: timer1, kind: timer, address: "0001:00:03.0", pin: { ioapic: ioapic1, number: 2 } }
`;

describe("Two segments", () => {
  it("devices with one requester id keep their DMA and interrupts apart", () => {
    const guest = new VirtualGuest(GUEST);
    guest.move("nic0/0", 255);
    guest.move("nic1/0", 299);
    guest.move("timer0/0", 256);
    guest.move("timer1/0", 298);
    for (const name of ["nic0/0", "nic1/0", "timer0/0", "timer1/0"]) guest.work(name);
    expect(guest.taken).toEqual(["vCPU 255: 1", "vCPU 256: 1", "vCPU 298: 1", "vCPU 299: 1"]);
    expect(guest.problems).toEqual([]);
  });

  it("a fault is recorded by the unit of its segment", () => {
    const guest = new VirtualGuest(GUEST);
    const { bar } = guest.device("nic1").device.config;
    guest.write32(bar + QUEUE_BASE + NicRing.TRANSMIT + RingRegister.BASE, 0x1000);
    guest.work("nic1/0");
    expect(guest.guest.blocked).toMatchObject([{ unit: "far", requester: "0001:00:02.0" }]);
    expect(guest.kernel.faults).toMatchObject([{ unit: "far", sourceId: 0x10, address: 0x1000 }]);
    expect(guest.read32(NEAR + Reg.FSTS)).toBe(0);
    guest.work("nic0/0"); // its namesake goes on
    expect(guest.device("nic0").driver.transfers).toBeGreaterThan(0);
  });

  it("blocking a device does not block its namesake", () => {
    const guest = new VirtualGuest(GUEST);
    const iommu = guest.kernel.iommu!;
    iommu.detach({ segment: 1, sourceId: 0x10 });
    expect(iommu.domainOf({ segment: 1, sourceId: 0x10 })).toBeNull();
    expect(iommu.domainOf({ segment: 0, sourceId: 0x10 })).not.toBeNull();
    guest.work("nic0/0");
    expect(guest.problems).toEqual([]);
    expect(guest.read32(FAR + Reg.FSTS)).toBe(0);
  });
});
