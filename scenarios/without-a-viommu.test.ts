/**
 * What a guest can do that has no remapping unit, and how it is told that it asks for more.
 */
import { describe, expect, it } from "vitest";
import { VirtualGuest } from "./support/virtual-guest.ts";

const guestWith = (vcpus: string, units = ""): string => `
name: plain
vcpus: { ${vcpus} }
memory: 64M
${units}
ioapics:
  - { name: ioapic0, id: 0, base: 0xfec00000, address: "ff:00.0" }
devices:
  - { name: nic0, kind: nic, address: "00:02.0", vectors: 2 }
  - { name: timer0, kind: timer, address: "00:03.0", pin: { ioapic: ioapic0, number: 2 } }
`;

const UNIT = `units:
  - { name: dmar0, base: 0xfed90000, includeAll: true, scope: [ioapic0] }
`;

describe("The same guest without a vIOMMU", () => {
  it("288 vCPUs work with a vIOMMU", () => {
    const guest = new VirtualGuest(guestWith("count: 288", UNIT));
    guest.move("nic0/0", 287);
    guest.move("timer0/0", 286);
    guest.work("nic0/0");
    guest.work("timer0/0");
    expect(guest.taken).toEqual(["vCPU 286: 1", "vCPU 287: 1"]);
    expect(guest.problems).toEqual([]);
  });

  it("without one, 255 is the limit, and it is told clearly", () => {
    expect(() => new VirtualGuest(guestWith("count: 288"))).toThrow(
      "scenario.yaml:3:17: vcpus.count (288) needs APIC id 287, and without remapping a message " +
        "reaches APIC ids up to 254: 255 vCPUs are the limit; add a unit with EIM, or set " +
        "vcpus.extendedDestinationId",
    );
    expect(() => new VirtualGuest(guestWith("count: 256"))).toThrow("255 vCPUs are the limit");
  });

  it("255 vCPUs work without one, up to the last", () => {
    const guest = new VirtualGuest(guestWith("count: 255"));
    for (const vcpu of [0, 128, 254]) {
      guest.move("nic0/0", vcpu);
      guest.move("timer0/0", vcpu);
      guest.work("nic0/0");
      guest.work("timer0/0");
    }
    expect(guest.taken).toEqual(["vCPU 0: 2", "vCPU 128: 2", "vCPU 254: 2"]);
    expect(guest.kernel.iommu).toBeNull();
    expect(guest.problems).toEqual([]);
  });

  it("why: a message has 8 bits for the id, and 287 becomes 31", () => {
    const guest = new VirtualGuest(guestWith("count: 255"));
    guest.setMsixEntry("nic0/0", { address: 0xfee0_0000 | ((287 & 0xff) << 12), data: 0x40 });
    guest.start("nic0/0");
    expect(guest.taken).toEqual(["vCPU 31: 1"]);
    expect(guest.problems[0]).toBe(
      "an interrupt came to vector 0x40 of vCPU 31, which nobody uses",
    );
  });

  it("extended destination ids reach 15 bits, and no further", () => {
    const extended = (vcpus: number): string => `count: ${vcpus}, extendedDestinationId: true`;
    const guest = new VirtualGuest(guestWith(extended(32_768)));
    for (const vcpu of [255, 287, 32_767]) {
      guest.move("nic0/0", vcpu);
      guest.move("timer0/0", vcpu);
      guest.work("nic0/0");
      guest.work("timer0/0");
    }
    expect(guest.taken).toEqual(["vCPU 255: 2", "vCPU 287: 2", "vCPU 32767: 2"]);
    expect(guest.problems).toEqual([]);
    expect(() => new VirtualGuest(guestWith(extended(32_769)))).toThrow(
      "extended destination ids end at 32767; add units with interrupt remapping and EIM",
    );
  });
});
