import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  CopyDescriptor,
  QUEUE_BASE,
  QUEUE_STRIDE,
  RingRegister,
  Status,
} from "../src/devices/layout.ts";
import { PAGE } from "../src/kernel/ram.ts";
import { bootScalable } from "./scalable-guests.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 1);

/** Addresses that the processes of the guest have: to copy from, and windows to copy to. */
const SOURCE = 0x5500_0000_0000;
const TARGET = 0x7f00_0000_0000;

/** A booted guest whose accelerator is driven by hand, by queue 0. */
function machine() {
  const { guest, device, driver } = bootScalable(["lifetime: 400", "lifetime: 0"]);
  const { bus, memory } = guest.machine;
  const { iommu } = guest.kernel;
  const registers = device.config.bar + QUEUE_BASE;
  // a ring of its own, in the last page of the domain
  const ring = 0x30_0000;
  const iova = iommu!.domainOf(device.config.address)!.map(ring, PAGE);
  bus.write(registers + RingRegister.BASE, 8, iova % 2 ** 32, Math.floor(iova / 2 ** 32));
  bus.write(registers + RingRegister.SIZE, 4, 8, 0);
  let made = 0;
  const put32 = (address: number, value: number): void => {
    memory.writeWord(0, address, value | 0);
  };
  const put64 = (address: number, value: number): void => {
    put32(address, value % 2 ** 32);
    put32(address + 4, Math.floor(value / 2 ** 32));
  };
  return {
    guest,
    device,
    driver,
    pasid: driver.processes.all[0]!.pasid,
    /** Puts a descriptor into the ring; returns where its status will be. */
    put: (pasid: number, source: number, target: number, length: number): number => {
      const at = ring + (made % 8) * CopyDescriptor.BYTES;
      put32(at + CopyDescriptor.PASID, pasid);
      put32(at + CopyDescriptor.LENGTH, length);
      put64(at + CopyDescriptor.SOURCE, source);
      put64(at + CopyDescriptor.TARGET, target);
      put32(at + CopyDescriptor.STATUS, 0);
      made += 1;
      return at + CopyDescriptor.STATUS;
    },
    ring: (): void => {
      bus.write(registers + RingRegister.TAIL, 4, made, 0);
    },
    /** Serves page requests and lets the device go on until it has nothing to do. */
    work: (): void => {
      let rounds = 0;
      do {
        iommu!.servicePageRequests();
        device.run(Infinity);
        rounds += 1;
      } while (device.wake() && rounds < 1000);
    },
    word: (address: number): number => {
      const out = new Int32Array(1);
      memory.readWords(0, address, 1, out);
      return out[0]!;
    },
    bytes: (address: number, length: number): Uint8Array => {
      const out = new Uint8Array(length);
      const page = Math.floor(address / PAGE);
      out.set(
        driver.processes.pager
          .bytes(driver.processes.all[0]!, page)!
          .subarray(address % PAGE, (address % PAGE) + length),
      );
      return out;
    },
  };
}

describe("accelerator", () => {
  it("copies between addresses of a process, whose pages come when it asks for them", () => {
    const { device, driver, pasid, put, ring, work, word, bytes } = machine();
    const status = put(pasid, SOURCE + 100, TARGET + 200, 500);
    ring();
    expect(word(status)).toBe(0);
    expect(device.access.outstanding).toBe(1);
    work();
    expect(word(status)).toBe(Status.DONE);
    expect(bytes(TARGET + 200, 500)).toEqual(bytes(SOURCE + 100, 500));
    expect(device.access.counters).toMatchObject({ pageRequests: 2, groups: 2, succeeded: 2 });
    expect(driver.processes.pager.counters.broughtIn).toBe(2);
    expect(device.interrupts.sent[0]).toBe(1);
  });

  it("asks for the pages of a long copy in groups", () => {
    const { device, pasid, put, ring, work, word } = machine();
    const status = put(pasid, SOURCE, TARGET, 15 * PAGE);
    ring();
    // the first page alone, and the 14 behind it
    expect(device.access.counters).toMatchObject({ pageRequests: 15, groups: 2 });
    work();
    expect(word(status)).toBe(Status.DONE);
    expect(device.access.counters).toMatchObject({ pageRequests: 30, groups: 4, queued: 30 });
  });

  it("lets other copies go on while one waits, and interrupts when all are done", () => {
    const { device, pasid, put, ring, work, word } = machine();
    put(pasid, SOURCE, TARGET, PAGE);
    ring();
    work();
    const waits = put(pasid, SOURCE + 64 * PAGE, TARGET, PAGE);
    const runs = put(pasid, SOURCE, TARGET + 100, 64);
    ring();
    expect([word(waits), word(runs)]).toEqual([0, Status.DONE]);
    expect(device.interrupts.sent[0]).toBe(1);
    work();
    expect(word(waits)).toBe(Status.DONE);
    expect(device.interrupts.sent[0]).toBe(2);
  });

  it("does not reach one process with the PASID of another one", () => {
    const { driver, pasid, put, ring, work, word } = machine();
    const [first, second] = driver.processes.all;
    const statuses = [put(pasid, SOURCE, TARGET, 64), put(second!.pasid, SOURCE, TARGET, 64)];
    ring();
    work();
    expect(statuses.map(word)).toEqual([Status.DONE, Status.DONE]);
    const page = TARGET / PAGE;
    const { pager } = driver.processes;
    expect(pager.bytes(first!, page)).not.toEqual(pager.bytes(second!, page));
  });

  it.each<[what: string, pasid: number | null, source: number, target: number]>([
    ["a PASID that nobody has", 0x5_1234, SOURCE, TARGET],
    ["PASID 0, which stands for none", 0, SOURCE, TARGET],
    ["pages that the process has not", null, SOURCE + 2 ** 40, TARGET],
    ["pages that the process may not write", null, SOURCE, SOURCE + 8 * PAGE],
    ["an address that no processor has", null, 2 ** 50, TARGET],
  ])("gives up on %s, and goes on with the rest", (_, pasid, source, target) => {
    const { device, pasid: own, put, ring, work, word } = machine();
    const bad = put(pasid ?? own, source, target, 64);
    const good = put(own, SOURCE, TARGET + PAGE, 64);
    ring();
    work();
    expect([word(bad), word(good)]).toEqual([Status.FAILED, Status.DONE]);
    expect(device.access.outstanding).toBe(0);
    expect(device.interrupts.sent[0]).toBe(1);
  });

  it("whatever a driver writes: nothing throws, nothing goes on for ever", () => {
    const { guest, device } = machine();
    const { bus, memory } = guest.machine;
    const registers = device.config.bar + QUEUE_BASE;
    const registerWrites = fc.record({
      queue: fc.nat(4),
      register: fc.constantFrom(...Object.values(RingRegister)),
      value: fc.oneof(fc.nat(300), fc.integer()),
    });
    const descriptors = fc.record({
      at: fc.nat(7),
      words: fc.array(fc.oneof(fc.nat(0x3_0000), fc.integer()), { minLength: 8, maxLength: 8 }),
    });
    fc.assert(
      fc.property(
        fc.array(registerWrites, { maxLength: 8 }),
        fc.array(descriptors, { maxLength: 4 }),
        (writes, contents) => {
          for (const { at, words } of contents) {
            words.forEach((value, i) => {
              memory.writeWord(0, 0x30_0000 + 32 * at + 4 * i, value);
            });
          }
          for (const { queue, register, value } of writes) {
            bus.write(registers + queue * QUEUE_STRIDE + register, 4, value, 0);
          }
          device.eager = false;
          for (let i = 0; i < 5; i += 1) {
            expect(device.run(200)).toBeLessThanOrEqual(200);
            guest.kernel.iommu!.servicePageRequests();
            device.wake();
          }
        },
      ),
      { seed, numRuns: 200 },
    );
  });
});
