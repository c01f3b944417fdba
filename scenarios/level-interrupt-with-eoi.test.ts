/**
 * A level-triggered pin goes through the remapping table. Its entry in the I/O APIC keeps remote IRR
 * until the EOI, which comes by the EOI register (as Linux does it) or by the broadcast of the local
 * APIC; a line that is still active interrupts again then.
 */
import { LapicRegisters } from "@viommu/irq-hooks";
import { describe, expect, it } from "vitest";
import { VirtualGuest } from "./support/virtual-guest.ts";

const UNIT = 0xfed9_0000;
const IOAPIC = 0xfec0_0000;
const PIN = 17;
const REMOTE_IRR = 0x4000;
const VCPU = 300;

const GUEST = `
name: level
vcpus: { count: 301 }
memory: 64M
units:
  - { name: dmar0, base: 0xfed90000, includeAll: true, scope: [ioapic0] }
ioapics:
  - { name: ioapic0, id: 0, base: 0xfec00000, address: "ff:00.0" }
devices:
  - name: nic0
    kind: nic
    address: "00:02.0"
    pin: { ioapic: ioapic0, number: ${PIN}, trigger: level }
`;

/** The guest, its interrupt on vCPU 300, and the pieces that a handler is made of. */
function levelGuest() {
  const guest = new VirtualGuest(GUEST);
  guest.move("nic0/0", VCPU);
  const { lapics } = guest.guest.machine;
  const { interrupts, config } = guest.device("nic0").device;
  const registers = new LapicRegisters(lapics);
  return {
    guest,
    lapics,
    registers,
    vector: guest.interrupt("nic0/0").vector,
    /** Something happens in the device. */
    event: (): void => {
      interrupts.raise(0);
    },
    /** The handler reads the cause: the device takes its line back. */
    acknowledge: (): void => {
      guest.read32(config.bar + 4);
    },
    /** End of interrupt in the local APIC. */
    endInLapic: (): void => {
      registers.writeMsr(VCPU, 0x80b, 0, 0);
    },
    /** End of interrupt in the I/O APIC: its EOI register, with the vector of the entry. */
    endInIoapic: (): void => {
      guest.write32(IOAPIC + 0x40, guest.redirectionEntry(IOAPIC, PIN).low & 0xff);
    },
    isInService: (): boolean =>
      (guest.redirectionEntry(IOAPIC, PIN).low & REMOTE_IRR) === REMOTE_IRR,
  };
}

describe("Level interrupt with EOI through remapping", () => {
  it("one message for each EOI, while the line is active", () => {
    const { lapics, vector, event, acknowledge, endInLapic, endInIoapic, isInService } =
      levelGuest();
    event();
    expect(isInService()).toBe(true);
    expect(lapics.accept(VCPU)).toBe(vector);
    event(); // again, while it is served: the line is active already
    expect(lapics.pending(VCPU)).toBe(-1);
    acknowledge();
    endInLapic();
    expect(isInService()).toBe(true); // an edge for the local APIC: nothing was broadcast
    endInIoapic();
    expect(isInService()).toBe(false);
    expect(lapics.pending(VCPU)).toBe(-1);
  });

  it("a line that is active again at the EOI interrupts again", () => {
    const { lapics, vector, event, acknowledge, endInLapic, endInIoapic, isInService } =
      levelGuest();
    event();
    lapics.accept(VCPU);
    acknowledge();
    event();
    endInLapic();
    expect(lapics.pending(VCPU)).toBe(-1); // held back by remote IRR
    endInIoapic();
    expect(isInService()).toBe(true);
    expect(lapics.accept(VCPU)).toBe(vector);
  });

  it("the broadcast EOI ends it, when entry and remapping entry agree on level and vector", () => {
    const { guest, lapics, registers, vector, event, acknowledge, endInLapic, isInService } =
      levelGuest();
    registers.writeMsr(VCPU, 0x80f, 0x1ff, 0); // EOIs are broadcast
    const { low, high } = guest.redirectionEntry(IOAPIC, PIN);
    const index = high >>> 17;
    const address = guest.irteAddress(UNIT, index);
    const { memory } = guest.guest.machine;
    const [flags] = guest.irte(UNIT, index);
    memory.writeWord(Math.floor(address / 2 ** 30), address % 2 ** 30, flags! | 0x10); // TM: level
    guest.write32(IOAPIC, 0x10 + 2 * PIN);
    guest.write32(IOAPIC + 0x10, (low & ~0xff) | vector);

    event();
    expect(isInService()).toBe(true);
    expect(lapics.accept(VCPU)).toBe(vector);
    acknowledge();
    endInLapic();
    expect(isInService()).toBe(false);
  });

  it("a blocked level is in service nowhere, and comes when its entry is there", () => {
    const { guest, lapics, vector, event, isInService } = levelGuest();
    const index = guest.redirectionEntry(IOAPIC, PIN).high >>> 17;
    const address = guest.irteAddress(UNIT, index);
    const [hi, lo] = [Math.floor(address / 2 ** 30), address % 2 ** 30];
    const { memory } = guest.guest.machine;
    const [flags] = guest.irte(UNIT, index);
    memory.writeWord(hi, lo, flags! & ~1); // not present
    event();
    expect(isInService()).toBe(false);
    expect(guest.guest.blocked).toMatchObject([{ requester: "ff:00.0", reason: 0x22 }]);
    memory.writeWord(hi, lo, flags!);
    guest.write32(IOAPIC, 0x10 + 2 * PIN);
    guest.write32(IOAPIC + 0x10, guest.read32(IOAPIC + 0x10)); // the guest writes the entry
    expect(lapics.pending(VCPU)).toBe(vector);
    expect(isInService()).toBe(true);
  });
});
