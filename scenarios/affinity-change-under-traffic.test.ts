/**
 * Interrupts are moved to other vCPUs while they come: the guest rewrites the entry and invalidates it
 * (IEC), what was delivered before waits in the IRR of the old vCPU.
 */
import { describe, expect, it } from "vitest";
import { seed } from "./support/random.ts";
import { handleOf, VirtualGuest } from "./support/virtual-guest.ts";

const UNIT = 0xfed9_0000;

const guestWith = (more: string, units: string): string => `
name: affinity
vcpus: { count: 64 }
memory: 64M
${units}
ioapics:
  - { name: ioapic0, id: 0, base: 0xfec00000, address: "ff:00.0" }
devices:
  - { name: nic0, kind: nic, address: "00:02.0", vectors: 4 }
  - { name: timer0, kind: timer, address: "00:03.0", pin: { ioapic: ioapic0, number: 2 } }
  - name: disk0
    kind: block
    address: "00:04.0"
    pin: { ioapic: ioapic0, number: 16, trigger: level }
workload: { interrupts: 3000, affinityChanges: 3000, seed: ${seed(3)}${more} }
`;

const UNITS = `units:
  - { name: dmar0, base: 0xfed90000, includeAll: true, scope: [ioapic0] }
`;

describe("Affinity change under traffic", () => {
  it("what has come before is served where it came, what comes later goes to the new vCPU", () => {
    const guest = new VirtualGuest(guestWith("", UNITS));
    guest.move("nic0/0", 10);
    guest.start("nic0/0"); // waits at vCPU 10 …
    guest.move("nic0/0", 20); // … while the interrupt moves
    expect(guest.guest.machine.lapics.pending(10)).toBeGreaterThan(0);
    guest.serve();
    guest.work("nic0/0");
    expect(guest.taken).toEqual(["vCPU 10: 1", "vCPU 20: 1"]);
    expect(guest.problems).toEqual([]);
  });

  it("an entry is written in one piece, and the interrupt entry cache is invalidated", () => {
    const guest = new VirtualGuest(guestWith("", UNITS));
    guest.move("nic0/0", 10);
    const message = guest.msixEntry("nic0/0");
    const invalidated = guest.kernel.iommu!.counters.descriptors;
    guest.move("nic0/0", 20);
    expect(guest.kernel.iommu!.counters.descriptors).toBeGreaterThan(invalidated);
    expect(guest.irte(UNIT, handleOf(message))[1]).toBe(20);
    expect(guest.msixEntry("nic0/0")).toEqual(message); // the device knows nothing of it
  });

  it.each<[string, string]>([
    ["through a remapping table (IRTE update and IEC)", guestWith("", UNITS)],
    [
      "through a remapping table, while mappings are undone lazily",
      guestWith(", unmapping: lazy", UNITS),
    ],
    ["without one (MSI-X entry masked, changed, unmasked)", guestWith("", "")],
  ])("3,000 interrupts, moved 3,000 times, %s: none lost, none doubled", (_, yaml) => {
    const { guest } = new VirtualGuest(yaml);
    guest.workload.run(Infinity);
    guest.interrupts.checkTotals();
    expect(guest.problems.texts).toEqual([]);
    expect(guest.interrupts.counters).toEqual({
      arrived: 3000,
      served: 3000,
      moved: 3000,
      merged: 0,
      pageRequests: 0,
    });
    expect(guest.blockedCount).toBe(0);
  });
});
