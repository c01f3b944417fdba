import { describe, expect, it } from "vitest";
import { NicRing, QUEUE_BASE, RingRegister } from "../src/devices/layout.ts";
import { Guest } from "../src/guest.ts";
import type { DrivenDevice } from "../src/kernel/devices.ts";
import { Random } from "../src/random.ts";
import { Workload } from "../src/workload.ts";
import { guestConfig } from "./guests.ts";

/** A small guest, booted; its first device is a NIC with 4 queues, its second one a disk. */
function booted(): {
  guest: Guest;
  nic: DrivenDevice;
  disk: DrivenDevice;
  /** Work for a queue, served; the problems that were found. */
  work: (device: DrivenDevice, queue?: number) => readonly string[];
} {
  const guest = new Guest(guestConfig());
  const [nic, disk] = guest.boot().devices;
  const random = new Random(1);
  return {
    guest,
    nic: nic!,
    disk: disk!,
    work: (device, queue = 0) => {
      device.driver.start(queue, random);
      guest.interrupts.run();
      return guest.problems.texts;
    },
  };
}

describe("what goes wrong is noticed", () => {
  it("nothing, when nothing does", () => {
    const { guest, nic, disk, work } = booted();
    for (const device of [nic, disk]) for (const queue of [0, 1]) work(device, queue);
    guest.interrupts.checkTotals();
    expect(guest.problems.texts).toEqual([]);
  });

  it("a lost interrupt", () => {
    const { guest, nic, work } = booted();
    // the function mask of MSI-X keeps it back
    nic.device.interrupts.msix!.write(0, 0xc000_0000 | 0);
    work(nic, 2);
    guest.interrupts.checkTotals();
    expect(guest.problems.texts).toEqual([
      "nic0/2 was sent 1 times, came 0 times, was served 0 times",
    ]);
  });

  it("a workload ends when interrupts are lost", () => {
    const { guest } = booted();
    const { config, interrupts, kernel } = guest;
    for (const { device } of kernel.devices) device.interrupts.msix?.write(0, 0xc000_0000 | 0);
    const only = kernel.devices.slice(0, 2);
    new Workload(config.workload, only, interrupts).run(Infinity);
    interrupts.checkTotals();
    expect(guest.problems.count).toBeGreaterThan(0);
  });

  it("an interrupt that comes twice", () => {
    const { guest, nic, work } = booted();
    work(nic);
    nic.device.interrupts.msix!.signal(0);
    guest.interrupts.run();
    expect(guest.problems.texts).toEqual([
      expect.stringMatching(/^nic0\/0 came twice to vector 0x30 of vCPU \d$/),
      "nic0/0: an interrupt, and nothing was under way",
    ]);
  });

  it("two interrupts that merge in the local APIC", () => {
    const { guest, nic, work } = booted();
    nic.device.interrupts.raise(1);
    work(nic, 1);
    guest.interrupts.checkTotals();
    expect(guest.problems.texts).toContain("1 interrupts came while the same vector was waiting");
  });

  it("an interrupt at a vCPU or vector where nobody waits for it", () => {
    const { guest } = booted();
    guest.machine.lapics.deliver(0, 0xfee0_0000 | (3 << 12), 0x77);
    guest.interrupts.run();
    expect(guest.problems.texts).toEqual([
      "an interrupt came to vector 0x77 of vCPU 3, which nobody uses",
    ]);
  });

  it("an interrupt at a vCPU that is not there", () => {
    const { guest } = booted();
    guest.machine.lapics.deliver(0, 0xfee0_0000 | (9 << 12), 0x77);
    guest.interrupts.checkTotals();
    expect(guest.problems.texts).toEqual(["1 messages had a destination that is not there"]);
  });

  it("an interrupt in another delivery mode", () => {
    const { guest } = booted();
    guest.machine.lapics.deliver(0, 0xfee0_0000 | (1 << 12), 0x400); // NMI
    expect(guest.problems.texts).toEqual(["vCPU 1 got an interrupt with delivery mode 4"]);
  });

  it("an interrupt that still goes where it was before", () => {
    const { guest, nic } = booted();
    const interrupt = nic.interrupts[0]!;
    const { vcpu, vector } = interrupt;
    guest.interrupts.move(interrupt, 3);
    nic.device.interrupts.sent[0]! += 1;
    guest.machine.lapics.deliver(0, 0xfee0_0000 | (vcpu << 12), vector);
    expect(guest.problems.texts).toEqual([
      `nic0/0 came to vector 0x${vector.toString(16)} of vCPU ${vcpu}, from where it had moved away`,
    ]);
  });

  it("a wrong byte in a packet and in a sector", () => {
    const { guest, nic, disk, work } = booted();
    const { memory } = guest.machine;
    const write = memory.writeBytes.bind(memory);
    memory.writeBytes = (hi, lo, source) => {
      const flipped = source.slice();
      flipped[20]! ^= 1;
      return write(hi, lo, source.length > 20 ? flipped : source);
    };
    expect(work(nic)).toEqual([
      expect.stringMatching(/^nic0\/0: byte 20 of a packet of \d+ bytes is wrong$/),
    ]);
    // the data of a request end up elsewhere; its list (256 bytes) and whole pages are left alone
    const view = memory.view.bind(memory);
    memory.view = (hi, lo, length, forWriting) => {
      const found = view(hi, lo, length, forWriting);
      return length === 256 || length === 4096 ? found : (found?.slice() ?? null);
    };
    for (let i = 0; i < 20; i += 1) work(disk);
    expect(
      guest.problems.texts.some((text) => /^disk0\/0: byte \d+ of \d sectors/.test(text)),
    ).toBe(true);
  });

  it("DMA that a unit blocks", () => {
    const { guest, nic, work } = booted();
    const ring = nic.device.config.bar + QUEUE_BASE + NicRing.TRANSMIT + RingRegister.BASE;
    guest.machine.bus.write(ring, 8, 0x1000, 0);
    work(nic);
    expect(nic.device.counters.failedDma).toBe(1);
    const name = "READ_DENIED";
    expect(guest.blocked).toEqual([{ unit: "dmar0", requester: "00:02.0", reason: 6, name }]);
    // the unit tells its guest by an interrupt of its own, and the guest reads the log
    const fault = { unit: "dmar0", sourceId: 0x10, reason: 6, address: 0x1000, access: "read" };
    expect(guest.kernel.faults).toMatchObject([fault]);
    expect(guest.problems.texts).toEqual(['nic0/0: a packet has status 0 instead of "sent"']);
  });
});
