/**
 * A device sends messages that belong to another one. Each entry of the remapping table names the
 * requester that may use it (SVT, SQ, SID); all others are blocked with reason 26h (VT-d 5.1.3).
 */
import { describe, expect, it } from "vitest";
import {
  NicDescriptor,
  NicRing,
  QUEUE_BASE,
  RingRegister,
} from "../apps/guest/src/devices/layout.ts";
import { handleOf, VirtualGuest } from "./support/virtual-guest.ts";

const UNIT = 0xfed9_0000;
const IOAPIC = 0xfec0_0000;

const GUEST = `
name: spoofing
vcpus: { count: 288 }
memory: 64M
units:
  - { name: dmar0, base: 0xfed90000, includeAll: true, scope: [ioapic0] }
ioapics:
  - { name: ioapic0, id: 0, base: 0xfec00000, address: "ff:00.0" }
devices:
  - { name: victim, kind: nic, address: "00:02.0", vectors: 1 }
  - { name: attacker, kind: nic, address: "00:02.1", vectors: 1 }
  - { name: timer0, kind: timer, address: "00:03.0", pin: { ioapic: ioapic0, number: 2 } }
`;

/** The only thing that a vCPU has taken: the fault event of the unit, at vCPU 0. */
const FAULT_EVENT_ONLY = ["vCPU 0: 1"];

describe("Source-id spoofing blocked with reason 26h", () => {
  it("the message of another device in the own MSI-X table", () => {
    const guest = new VirtualGuest(GUEST);
    guest.move("victim/0", 287);
    const message = guest.msixEntry("victim/0");
    guest.setMsixEntry("attacker/0", message);
    guest.work("attacker/0");
    expect(guest.taken).toEqual(FAULT_EVENT_ONLY);
    expect(guest.kernel.faults).toEqual([
      expect.objectContaining({
        unit: "dmar0",
        reason: 0x26,
        name: "IR_SOURCE_ID",
        kind: "interrupt",
        sourceId: 0x11,
        index: handleOf(message),
      }),
    ]);
    guest.work("victim/0"); // whose interrupts still come
    expect(guest.taken).toEqual([...FAULT_EVENT_ONLY, "vCPU 287: 1"]);
  });

  it("the message of a pin", () => {
    const guest = new VirtualGuest(GUEST);
    const index = guest.redirectionEntry(IOAPIC, 2).high >>> 17;
    guest.setMsixEntry("attacker/0", { address: (0xfee0_0010 | (index << 5)) >>> 0, data: 0 });
    guest.work("attacker/0");
    expect(guest.kernel.faults).toMatchObject([{ reason: 0x26, sourceId: 0x11, index }]);
    expect(guest.taken).toEqual(FAULT_EVENT_ONLY);
  });

  it("a DMA write of the message: a packet of 4 bytes into a buffer at FEEx_xxxxh", () => {
    const guest = new VirtualGuest(GUEST);
    guest.move("victim/0", 287);
    const message = guest.msixEntry("victim/0");
    const { memory } = guest.guest.machine;
    const dma = guest.kernel.iommu!.domainOf({ sourceId: 0x11 })!;
    const page = 0x20_0000;
    const iova = dma.map(page, 4096);
    const put = (offset: number, ...words: readonly number[]): void => {
      words.forEach((word, i) => memory.writeWord(0, page + offset + 4 * i, word));
    };
    const transmit = 0x100;
    const receive = 0x200;
    put(0, message.data);
    put(transmit, iova, 0, 4, 0);
    put(receive, message.address | 0, 0, 4, 0);
    const queue = guest.device("attacker").device.config.bar + QUEUE_BASE;
    for (const [ring, at] of [
      [NicRing.RECEIVE, receive],
      [NicRing.TRANSMIT, transmit],
    ] as const) {
      guest.write32(queue + ring + RingRegister.BASE, iova + at);
      guest.write32(queue + ring + RingRegister.BASE + 4, 0);
    }
    guest.write32(queue + NicRing.RECEIVE + RingRegister.TAIL, 4);
    guest.write32(queue + NicRing.TRANSMIT + RingRegister.TAIL, 1);
    expect(guest.guest.blocked).toMatchObject([{ requester: "00:02.1", reason: 0x26 }]);
    const out = new Int32Array(1);
    memory.readWords(0, page + transmit + NicDescriptor.STATUS, 1, out);
    expect(out[0]).toBe(2); // the attacker sees that it failed
    expect(guest.guest.machine.lapics.pending(287)).toBe(-1);
  });

  it("an entry that names the attacker lets it through: the check, not the message, decides", () => {
    const guest = new VirtualGuest(GUEST);
    const index = handleOf(guest.msixEntry("victim/0"));
    const address = guest.irteAddress(UNIT, index);
    const [, , source] = guest.irte(UNIT, index);
    expect(source! & 0xffff).toBe(0x10);
    const { memory } = guest.guest.machine;
    memory.writeWord(Math.floor(address / 2 ** 30), (address % 2 ** 30) + 8, source! | 1);
    guest.setMsixEntry("attacker/0", guest.msixEntry("victim/0"));
    guest.start("attacker/0");
    expect(guest.guest.blocked).toEqual([]);
    expect(guest.interrupt("victim/0").arrived).toBe(1);
  });
});
