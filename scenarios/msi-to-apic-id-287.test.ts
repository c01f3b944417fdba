/**
 * A guest with 288 vCPUs sends a device's interrupt to the last one. The message of the device has no
 * room for its id; the entry of the remapping table has (VT-d 5.1.2, EIM).
 */
import { describe, expect, it } from "vitest";
import { handleOf, VirtualGuest } from "./support/virtual-guest.ts";

const UNIT = 0xfed9_0000;

const GUEST = `
name: msi-to-287
vcpus: { count: 288 }
memory: 64M
units:
  - { name: dmar0, base: 0xfed90000, includeAll: true, options: { eim: true } }
devices:
  - { name: nic0, kind: nic, address: "00:02.0", vectors: 2 }
`;

describe("MSI to APIC id 287", () => {
  it("reaches vCPU 287 and nobody else", () => {
    const guest = new VirtualGuest(GUEST);
    guest.move("nic0/0", 287);
    guest.start("nic0/0");
    expect(guest.taken).toEqual(["vCPU 287: 1"]);
    expect(guest.guest.machine.lapics.pending(287)).toBe(guest.interrupt("nic0/0").vector);
    guest.serve();
    expect(guest.problems).toEqual([]);
  });

  it("the message names an entry, and the entry has all 32 bits of the id (VT-d 5.1.2, 9.9)", () => {
    const guest = new VirtualGuest(GUEST);
    guest.move("nic0/0", 287);
    const message = guest.msixEntry("nic0/0");
    expect(message.address >>> 20).toBe(0xfee);
    expect(message.address & 0x10).toBe(0x10); // remappable format
    const [flags, destination] = guest.irte(UNIT, handleOf(message));
    expect(flags! & 1).toBe(1);
    expect((flags! >>> 16) & 0xff).toBe(guest.interrupt("nic0/0").vector);
    expect(destination).toBe(287);
  });

  it("does not hit vCPU 31, which has the same 8 low bits", () => {
    const guest = new VirtualGuest(GUEST);
    guest.move("nic0/0", 287);
    guest.move("nic0/1", 31);
    for (let i = 0; i < 10; i += 1) {
      guest.start("nic0/0");
      guest.start("nic0/1");
      guest.serve();
    }
    expect(guest.taken).toEqual(["vCPU 31: 10", "vCPU 287: 10"]);
    expect(guest.problems).toEqual([]);
  });

  it("every vCPU of the guest can be reached", () => {
    const guest = new VirtualGuest(GUEST);
    for (let vcpu = 0; vcpu < 288; vcpu += 1) {
      guest.move("nic0/1", vcpu);
      guest.work("nic0/1");
    }
    expect(guest.taken).toEqual(Array.from({ length: 288 }, (_, vcpu) => `vCPU ${vcpu}: 1`));
    expect(guest.problems).toEqual([]);
  });
});
