/**
 * Pins of an I/O APIC, whose entries have 8 bits for a destination, interrupt vCPUs with larger ids:
 * the entry names an index of the remapping table instead (VT-d 5.1.5.1).
 */
import { describe, expect, it } from "vitest";
import { VirtualGuest } from "./support/virtual-guest.ts";

const IOAPIC = 0xfec0_0000;

const GUEST = `
name: pin-to-255
vcpus: { count: 288 }
memory: 64M
units:
  - { name: dmar0, base: 0xfed90000, includeAll: true, scope: [ioapic0], options: { eim: true } }
ioapics:
  - { name: ioapic0, id: 0, base: 0xfec00000, address: "ff:00.0" }
devices:
  - { name: timer0, kind: timer, address: "00:02.0", pin: { ioapic: ioapic0, number: 2 } }
  - name: disk0
    kind: block
    address: "00:03.0"
    pin: { ioapic: ioapic0, number: 17, trigger: level }
`;

describe("IOAPIC pin to vCPU 255 and above", () => {
  it.each([255, 256, 287])("an edge reaches vCPU %i", (vcpu) => {
    const guest = new VirtualGuest(GUEST);
    guest.move("timer0/0", vcpu);
    for (let i = 0; i < 3; i += 1) guest.work("timer0/0");
    expect(guest.taken).toEqual([`vCPU ${vcpu}: 3`]);
    expect(guest.problems).toEqual([]);
  });

  it.each([255, 256, 287])("a level reaches vCPU %i", (vcpu) => {
    const guest = new VirtualGuest(GUEST);
    guest.move("disk0/0", vcpu);
    for (let i = 0; i < 3; i += 1) guest.work("disk0/0");
    expect(guest.taken).toEqual([`vCPU ${vcpu}: 3`]);
    expect(guest.problems).toEqual([]);
  });

  it("255 is no broadcast: the 8-bit destination of the redirection entry is not used", () => {
    const guest = new VirtualGuest(GUEST);
    guest.move("timer0/0", 255);
    const { high } = guest.redirectionEntry(IOAPIC, 2);
    expect((high >>> 16) & 1).toBe(1); // bit 48: remappable format, 63:49 hold an index
    guest.work("timer0/0");
    expect(guest.taken).toEqual(["vCPU 255: 1"]);
  });

  it("the redirection entry stays as it is when the affinity changes (VT-d 5.1.5.1)", () => {
    const guest = new VirtualGuest(GUEST);
    const before = guest.redirectionEntry(IOAPIC, 17);
    guest.move("disk0/0", 287);
    expect(guest.redirectionEntry(IOAPIC, 17)).toEqual(before);
    guest.work("disk0/0");
    expect(guest.taken).toEqual(["vCPU 287: 1"]);
  });
});
