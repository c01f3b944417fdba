import { describe, expect, it } from "vitest";
import { Random } from "../src/random.ts";
import { bootedPassed, finished } from "./passed-through.ts";

const ENABLE = 0x8000_0000 | 0;
const FUNCTION_MASK = 0x4000_0000;

/** A guest whose card has work for a queue, and what it says afterwards. */
function withCard(host: string | null = null) {
  const guest = bootedPassed(host);
  const [nic] = guest.kernel.devices;
  const { driver } = guest.machine.host!;
  const random = new Random(1);
  return {
    guest,
    nic: nic!,
    driver,
    work: (queue: number) => {
      nic!.driver.start(queue, random);
      guest.interrupts.run();
      return guest.problems.texts;
    },
  };
}

describe("interrupts of a device of the host", () => {
  it.each([
    ["posted", null, 4],
    ["remapped", "{ options: { postedInterrupts: false } }", 0],
  ] as const)("are %s, and bound once for each vector", (_, host, posted) => {
    const { guest, driver, work } = withCard(host);
    for (let queue = 0; queue < 4; queue += 1) expect(work(queue)).toEqual([]);
    guest.interrupts.checkTotals();
    expect(guest.problems.texts).toEqual([]);
    expect(driver.report().interrupts).toBe(6);
    expect(guest.machine.host!.descriptors?.posted ?? 0).toBe(posted);
  });

  it("follow their guest to other vCPUs while they come, each for itself", () => {
    const { guest, nic, driver, work } = withCard();
    const before = driver.counters.interruptRebinds;
    for (let i = 0; i < 12; i += 1) {
      const interrupt = nic.interrupts[i % 4]!;
      guest.interrupts.move(interrupt, (interrupt.vcpu + 1) % 4);
      expect(work(i % 4)).toEqual([]);
    }
    expect(driver.counters.interruptRebinds - before).toBe(12);
    expect(guest.machine.host!.descriptors!.posted).toBe(12);
  });

  it("that are posted while the vCPU has others waiting are all served", () => {
    const { guest, nic } = withCard();
    for (const interrupt of nic.interrupts) guest.interrupts.move(interrupt, 2);
    const random = new Random(3);
    for (let queue = 0; queue < 4; queue += 1) nic.driver.start(queue, random);
    guest.interrupts.run();
    guest.interrupts.checkTotals();
    expect(guest.problems.texts).toEqual([]);
    expect(guest.machine.lapics.lapics.accepted[2]).toBe(4);
  });

  it("wait while their vector is masked, and come when it is unmasked", () => {
    const { guest, nic, work } = withCard();
    const msix = nic.device.interrupts.msix!;
    msix.write(0, ENABLE | FUNCTION_MASK);
    work(1);
    expect(guest.interrupts.counters.arrived).toBe(0);
    msix.write(0, ENABLE);
    const control = msix.table.base + 2 * 16 + 12;
    const { bus } = guest.machine;
    bus.write(control, 4, 1, 0);
    work(2);
    expect(guest.interrupts.counters.arrived).toBe(1);
    bus.write(control, 4, 0, 0);
    guest.interrupts.run();
    guest.interrupts.checkTotals();
    expect(guest.problems.texts).toEqual([]);
    expect(guest.interrupts.counters.served).toBe(2);
  });

  it("go where another message says, written in any order", () => {
    const { guest, nic, driver } = withCard();
    const { bus } = guest.machine;
    const { base } = nic.device.interrupts.msix!.table;
    const words = new Int32Array(2);
    bus.read(base + 16, 8, words);
    const [address] = words;
    // the first vector gets the message of the second one, while it is not masked
    bus.write(base, 8, address!, 0);
    bus.write(base + 8, 8, 0, 0);
    const second = nic.interrupts[1]!;
    const before = second.arrived;
    nic.device.interrupts.msix!.signal(0);
    expect(second.arrived).toBe(before + 1);
    expect(driver.report().interrupts).toBe(6);
  });

  it("that the guest's tables do not allow are blocked, and the guest is told", () => {
    const { guest, nic } = withCard();
    const { bus } = guest.machine;
    const { base } = nic.device.interrupts.msix!.table;
    bus.write(base, 8, 0xfee7_fff0 | 0, 0); // an entry that nobody has set up
    nic.device.interrupts.raise(0);
    expect(nic.device.interrupts.blocked).toBe(1);
    guest.interrupts.run();
    expect(guest.blocked).toMatchObject([{ unit: "dmar0", requester: "00:02.0", reason: 0x22 }]);
    expect(guest.machine.host!.driver.counters).toMatchObject({ guestFaults: 1, hostFaults: 0 });
  });

  it("move with the changes of affinity of a whole workload", () => {
    const report = finished(bootedPassed());
    expect(report.ok).toBe(true);
    const sent = report.devices[0]!.interrupts + report.devices[1]!.interrupts;
    expect(report.host.interrupts.posted).toBe(sent);
    expect(report.host.interrupts.rebinds).toBeGreaterThan(20);
  });
});
