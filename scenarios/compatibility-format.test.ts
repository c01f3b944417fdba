/**
 * A device or a pin sends messages in the format without an index. While interrupts are remapped they
 * are blocked with reason 25h, unless the guest lets them pass (CFI), which EIME forbids (VT-d 5.1.2.1,
 * 5.1.4).
 */
import { describe, expect, it } from "vitest";
import { Gcmd, Reg } from "./support/guest.ts";
import { VirtualGuest } from "./support/virtual-guest.ts";

const UNIT = 0xfed9_0000;
const IOAPIC = 0xfec0_0000;
const VECTOR = 0x77;

const guestIn = (mode: "x2apic" | "xapic"): string => `
name: compatibility
vcpus: { count: 8, apicMode: ${mode} }
memory: 64M
units:
  - name: dmar0
    base: 0xfed90000
    includeAll: true
    scope: [ioapic0]
    options: { eim: ${mode === "x2apic"} }
ioapics:
  - { name: ioapic0, id: 0, base: 0xfec00000, address: "ff:00.0" }
devices:
  - { name: nic0, kind: nic, address: "00:02.0", vectors: 1 }
  - { name: timer0, kind: timer, address: "00:03.0", pin: { ioapic: ioapic0, number: 2 } }
`;

/** To APIC id 5. */
const MESSAGE = { address: 0xfee0_5000, data: VECTOR };

/** Lets messages in compatibility format pass, and leaves the rest as it is. */
function setCompatibility(guest: VirtualGuest): void {
  const status = guest.read32(UNIT + Reg.GSTS);
  guest.write32(UNIT + Reg.GCMD, (status & 0x96ff_ffff) | Gcmd.CFI);
}

describe("Compatibility format blocked with 25h", () => {
  it.each(["x2apic", "xapic"] as const)("a message of a device, in %s mode", (mode) => {
    const guest = new VirtualGuest(guestIn(mode));
    guest.setMsixEntry("nic0/0", MESSAGE);
    guest.work("nic0/0");
    expect(guest.taken).toEqual(["vCPU 0: 1"]); // the fault event
    expect(guest.kernel.faults).toEqual([
      expect.objectContaining({
        unit: "dmar0",
        reason: 0x25,
        name: "IR_COMPATIBILITY_BLOCKED",
        sourceId: 0x10,
        index: -1, // the message named none
      }),
    ]);
  });

  it("an entry of an I/O APIC", () => {
    const guest = new VirtualGuest(guestIn("x2apic"));
    guest.write32(IOAPIC, 0x15);
    guest.write32(IOAPIC + 0x10, 5 << 24);
    guest.write32(IOAPIC, 0x14);
    guest.write32(IOAPIC + 0x10, VECTOR);
    guest.work("timer0/0");
    expect(guest.kernel.faults).toMatchObject([{ reason: 0x25, sourceId: 0xff00 }]);
    expect(guest.taken).toEqual(["vCPU 0: 1"]);
  });

  it("with CFI and without EIME they pass", () => {
    const guest = new VirtualGuest(guestIn("xapic"));
    setCompatibility(guest);
    guest.setMsixEntry("nic0/0", MESSAGE);
    guest.start("nic0/0");
    expect(guest.guest.blocked).toEqual([]);
    expect(guest.taken).toEqual(["vCPU 5: 1"]);
    expect(guest.guest.machine.lapics.pending(5)).toBe(VECTOR);
  });

  it("with CFI and EIME they do not", () => {
    const guest = new VirtualGuest(guestIn("x2apic"));
    setCompatibility(guest);
    guest.setMsixEntry("nic0/0", MESSAGE);
    guest.work("nic0/0");
    expect(guest.guest.blocked).toMatchObject([{ reason: 0x25 }]);
  });
});
