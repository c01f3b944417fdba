/**
 * Two units share a segment: one has the devices that it names, the other one all the rest
 * (INCLUDE_PCI_ALL). What one of them maps, remaps or blocks is no business of the other.
 */
import { Access } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { NicRing, QUEUE_BASE, RingRegister } from "../apps/guest/src/devices/layout.ts";
import { Gcmd, Reg } from "./support/guest.ts";
import { handleOf, VirtualGuest } from "./support/virtual-guest.ts";

const FIRST = 0xfed9_0000;
const SECOND = 0xfed9_1000;

const GUEST = `
name: two-units
vcpus: { count: 300 }
memory: 64M
units:
  - { name: first, base: 0xfed90000, scope: [nic0, ioapic0] }
  - { name: rest, base: 0xfed91000, includeAll: true, scope: [ioapic1] }
ioapics:
  - { name: ioapic0, id: 0, base: 0xfec00000, address: "ff:00.0" }
  - { name: ioapic1, id: 1, base: 0xfec01000, address: "ff:01.0" }
devices:
  - { name: nic0, kind: nic, address: "00:02.0", vectors: 1 }
  - { name: nic1, kind: nic, address: "00:03.0", vectors: 1 }
  - { name: timer0, kind: timer, address: "00:04.0", pin: { ioapic: ioapic0, number: 2 } }
  - { name: timer1, kind: timer, address: "00:05.0", pin: { ioapic: ioapic1, number: 2 } }
`;

describe("Two units with disjoint scopes", () => {
  it("each serves its own devices and pins", () => {
    const guest = new VirtualGuest(GUEST);
    for (const name of ["nic0/0", "nic1/0", "timer0/0", "timer1/0"]) guest.work(name);
    expect(guest.problems).toEqual([]);
    const units = guest.kernel.iommu!.topology;
    const unitOf = (sourceId: number): number => units.unitOf({ sourceId }).registerBase;
    expect([0x10, 0x18, 0x20, 0x28].map(unitOf)).toEqual([FIRST, SECOND, SECOND, SECOND]);
    expect(units.ioApics.map(({ id, unit }) => [id, unit.registerBase])).toEqual([
      [0, FIRST],
      [1, SECOND],
    ]);
  });

  it("the same index means another vCPU in each table", () => {
    const guest = new VirtualGuest(GUEST);
    guest.move("nic0/0", 255);
    guest.move("nic1/0", 299);
    const index = handleOf(guest.msixEntry("nic0/0"));
    expect(handleOf(guest.msixEntry("nic1/0"))).toBe(index);
    expect(guest.irte(FIRST, index)[1]).toBe(255);
    expect(guest.irte(SECOND, index)[1]).toBe(299);
    guest.work("nic0/0");
    guest.work("nic1/0");
    expect(guest.taken).toEqual(["vCPU 255: 1", "vCPU 299: 1"]);
  });

  it("what is mapped under one unit is not mapped under the other", () => {
    const guest = new VirtualGuest(GUEST);
    const iommu = guest.kernel.iommu!;
    const pages = iommu.domainOf({ sourceId: 0x10 })!.map(0x20_0000, 64 * 4096, Access.READ);
    const iova = pages + 32 * 4096; // beyond what the driver of nic1 maps itself
    // the driver of nic1 is led to use an address of nic0
    const ring = guest.device("nic1").device.config.bar + QUEUE_BASE + NicRing.TRANSMIT;
    guest.write32(ring + RingRegister.BASE, iova);
    guest.work("nic1/0");
    expect(guest.guest.blocked).toMatchObject([{ unit: "rest", requester: "00:03.0", reason: 6 }]);
    expect(guest.kernel.faults).toMatchObject([{ unit: "rest", sourceId: 0x18, address: iova }]);
    expect(guest.read32(FIRST + Reg.FSTS)).toBe(0);
  });

  it("one that is switched off does not take the other one with it", () => {
    const guest = new VirtualGuest(GUEST);
    const status = guest.read32(SECOND + Reg.GSTS);
    guest.write32(SECOND + Reg.GCMD, status & ~Gcmd.TE & 0x96ff_ffff);
    expect(guest.read32(SECOND + Reg.GSTS) & Gcmd.TE).toBe(0);
    expect(guest.read32(FIRST + Reg.GSTS) & Gcmd.TE).not.toBe(0);
    guest.work("nic0/0");
    expect(guest.problems).toEqual([]);
  });
});
