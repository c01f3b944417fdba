import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Guest } from "../src/guest.ts";
import {
  BlockOperation,
  BlockRequest,
  MAX_RING,
  NicRing,
  QUEUE_BASE,
  RingRegister,
} from "../src/devices/layout.ts";
import { guestConfig } from "./guests.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 1);

/** A machine with all kinds of devices and no unit: a driver may point them anywhere. */
function machine() {
  const guest = new Guest(
    guestConfig([
      `units:
  - name: dmar0
    base: 0xfed90000
    includeAll: true
    scope: [ioapic0]
    options: { eim: true }
`,
      "",
    ]),
  );
  const { bus, memory, devices } = guest.machine;
  const [nic, disk, timer] = devices;
  const put = (address: number, ...words: number[]): void => {
    words.forEach((word, i) => memory.writeWord(0, address + 4 * i, word));
  };
  const word = (address: number): number => {
    const out = new Int32Array(1);
    memory.readWords(0, address, 1, out);
    return out[0]!;
  };
  return { bus, nic: nic!, disk: disk!, timer: timer!, put, word };
}

describe("NIC", () => {
  const RING = 0x10_0000;
  const RECEIVE = 0x10_1000;

  it("drops what has no buffer, and says so", () => {
    const { bus, nic, put, word } = machine();
    const queue = nic.config.bar + QUEUE_BASE;
    bus.write(queue + NicRing.TRANSMIT + RingRegister.BASE, 8, RING, 0);
    bus.write(queue + NicRing.TRANSMIT + RingRegister.SIZE, 4, 4, 0);
    put(RING, 0x20_0000, 0, 64, 0);
    bus.write(queue + NicRing.TRANSMIT + RingRegister.TAIL, 4, 1, 0);
    expect(word(RING + 12)).toBe(2); // failed
    expect(nic.counters).toMatchObject({ transfers: 0, failedDma: 0, bytesRead: 64 });
    expect(nic.interrupts.sent[0]).toBe(1);
  });

  it("does not write more than a buffer has room for", () => {
    const { bus, nic, put, word } = machine();
    const queue = nic.config.bar + QUEUE_BASE;
    for (const [ring, base] of [
      [NicRing.TRANSMIT, RING],
      [NicRing.RECEIVE, RECEIVE],
    ] as const) {
      bus.write(queue + ring + RingRegister.BASE, 8, base, 0);
      bus.write(queue + ring + RingRegister.SIZE, 4, 4, 0);
    }
    put(RECEIVE, 0x30_0000, 0, 63, 0);
    bus.write(queue + NicRing.RECEIVE + RingRegister.TAIL, 4, 1, 0);
    put(0x20_0000, 0x1234_5678);
    put(RING, 0x20_0000, 0, 64, 0);
    bus.write(queue + NicRing.TRANSMIT + RingRegister.TAIL, 4, 1, 0);
    expect(word(0x30_0000)).toBe(0);
    expect(word(RECEIVE + 12)).toBe(2);
    expect(nic.counters.failedDma).toBe(1);
  });
});

describe("disk", () => {
  const RING = 0x10_0000;
  const LIST = 0x10_1000;

  it.each<[string, number[], number[]]>([
    ["an unknown operation", [3, 1, 0, 0, LIST, 0, 1, 0], [0x20_0000, 0, 512, 0]],
    ["sectors beyond its end", [1, 2, 2047, 0, LIST, 0, 1, 0], [0x20_0000, 0, 1024, 0]],
    ["a number of sectors beyond all sizes", [1, -1, 0, 0, LIST, 0, 1, 0], [0x20_0000, 0, 512, 0]],
    ["a list that is too long", [1, 1, 0, 0, LIST, 0, 17, 0], [0x20_0000, 0, 512, 0]],
    ["a list with too much memory", [1, 1, 0, 0, LIST, 0, 1, 0], [0x20_0000, 0, 513, 0]],
    ["a list with too little memory", [1, 1, 0, 0, LIST, 0, 1, 0], [0x20_0000, 0, 511, 0]],
    ["memory that is not there", [1, 1, 0, 0, LIST, 0, 1, 0], [0, 0x7fff_ffff, 512, 0]],
    ["a list that is not there", [1, 1, 0, 0, 0, -1, 1, 0], []],
  ])("refuses %s", (_, request, list) => {
    const { bus, disk, put, word } = machine();
    const queue = disk.config.bar + QUEUE_BASE;
    bus.write(queue + RingRegister.BASE, 8, RING, 0);
    bus.write(queue + RingRegister.SIZE, 4, 4, 0);
    put(RING, ...request);
    put(LIST, ...list);
    bus.write(queue + RingRegister.TAIL, 4, 1, 0);
    expect(word(RING + BlockRequest.STATUS)).toBe(2);
    expect(disk.counters).toMatchObject({ transfers: 0, failedDma: 1 });
    expect(disk.interrupts.sent[0]).toBe(1);
  });

  it("reads zeros from sectors that nobody has written", () => {
    const { bus, disk, put, word } = machine();
    const queue = disk.config.bar + QUEUE_BASE;
    bus.write(queue + RingRegister.BASE, 8, RING, 0);
    bus.write(queue + RingRegister.SIZE, 4, 4, 0);
    put(RING, BlockOperation.READ, 1, 5, 0, LIST, 0, 1, 0);
    put(LIST, 0x20_0000, 0, 512, 0);
    put(0x20_0000, -1);
    bus.write(queue + RingRegister.TAIL, 4, 1, 0);
    expect(word(0x20_0000)).toBe(0);
    expect(word(RING + BlockRequest.STATUS)).toBe(1);
  });
});

describe("hostile drivers", () => {
  it("write what they like to all registers: nothing throws, no access does more than a round", () => {
    const { bus, nic, disk, timer, put } = machine();
    for (let i = 0; i < 64; i += 1) put(0x10_0000 + 32 * i, 1, 1, 0, 0, 0x10_0000, 0, 1, 0);
    const value = fc.oneof(
      fc.constantFrom(0, 1, 4, MAX_RING, MAX_RING + 1, -1, 0x10_0000, 0x7fff_ffff),
      fc.integer(),
    );
    const access = fc.record({
      device: fc.constantFrom(nic, disk, timer),
      offset: fc.oneof(
        fc.integer({ min: 0, max: 31 }).map((n) => QUEUE_BASE + 4 * n),
        fc.integer({ min: 0, max: 0xafff }),
      ),
      size: fc.constantFrom(1, 2, 4, 8),
      low: value,
      high: value,
    });
    const out = new Int32Array(2);
    const property = fc.property(fc.array(access, { maxLength: 60 }), (accesses) => {
      for (const { device, offset, size, low, high } of accesses) {
        const before = device.counters.transfers + device.counters.failedDma;
        bus.write(device.config.bar + offset, size, low, high);
        bus.read(device.config.bar + offset, size, out);
        const after = device.counters.transfers + device.counters.failedDma;
        expect(after - before).toBeLessThanOrEqual(4 * MAX_RING);
      }
    });
    fc.assert(property, { seed, numRuns: 300 });
  });
});
