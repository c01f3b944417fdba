import { describe, expect, it } from "vitest";
import { DEVICE, guestHost, OFFSET, reach, VIRTUAL } from "./support/guest-host.ts";
import type { GuestHost } from "./support/guest-host.ts";
import { GuestKernel } from "./support/guest-kernel.ts";

/** Runs the driver to its end in slices; the work of each stays near its budget. */
function settle({ driver }: GuestHost): number {
  let slices = 0;
  for (; driver.pending; slices++) {
    expect(slices).toBeLessThan(100_000);
    expect(driver.run(100)).toBeLessThan(800);
  }
  return slices;
}

/** A device behind a table whose 512 entries all lead to itself. */
function selfReferencing(frameQuota: number): GuestHost & { kernel: GuestKernel } {
  const made = guestHost({ driver: { frameQuota, inlineBudget: 10 } });
  const kernel = new GuestKernel(made.memory, made.unit);
  const root = kernel.table();
  for (let i = 0; i < 512; i++) made.memory.write64(root * 4096 + 8 * i, BigInt(root * 4096) | 3n);
  kernel.setContext(VIRTUAL, root, 5);
  return { ...made, kernel };
}

describe("a guest with hostile tables", () => {
  it("that lead to themselves is blocked at its quota, and sees the fault", () => {
    const made = selfReferencing(200);
    const { driver, kernel, physical } = made;
    kernel.setTranslation(true);
    settle(made);
    const report = driver.report();
    expect(report.mostFrames).toBeLessThanOrEqual(206);
    expect(report.frames).toBe(0);
    expect(report.counters.quotaHits).toBe(1);
    expect(kernel.translation).toBe(true);
    expect(reach(physical, DEVICE, 5)).toBe(-1);
    expect(kernel.faults()).toEqual([{ sourceId: VIRTUAL, reason: 7, page: 5 }]);
  });

  it("leaves other devices alone, and gets its device back with better tables", () => {
    const made = selfReferencing(200);
    const { driver, kernel, physical, unit } = made;
    driver.assign({ sourceId: 0x0400, virtualSourceId: 0x0018, unit });
    const good = kernel.table();
    kernel.setContext(0x0018, good, 6);
    kernel.map(good, 3, 9);
    kernel.setTranslation(true);
    settle(made);
    expect(reach(physical, 0x0400, 3)).toBe(9 + OFFSET);
    expect(reach(physical, DEVICE, 3)).toBe(-1);
    kernel.setContext(VIRTUAL, good, 6);
    kernel.contextDevice(VIRTUAL, 5);
    settle(made);
    expect(reach(physical, DEVICE, 3)).toBe(9 + OFFSET);
  });

  it("of many empty tables is blocked at the limit of tables", () => {
    const made = guestHost({ driver: { tableLimit: 1000, inlineBudget: 10 } });
    const { driver, memory, unit } = made;
    const kernel = new GuestKernel(memory, unit);
    // 512 × 512 × 512 tables without a page, in three frames
    const tables = [kernel.table(), kernel.table(), kernel.table(), kernel.table()];
    for (let level = 0; level < 3; level++) {
      for (let i = 0; i < 512; i++) {
        memory.write64(tables[level]! * 4096 + 8 * i, BigInt(tables[level + 1]! * 4096) | 3n);
      }
    }
    kernel.setContext(VIRTUAL, tables[0]!, 5);
    kernel.setTranslation(true);
    expect(settle(made)).toBeLessThan(50);
    expect(driver.counters.quotaHits).toBe(1);
    expect(kernel.translation).toBe(true);
  });

  it("outside of its memory, or with reserved bits, maps nothing", () => {
    const made = guestHost();
    const { driver, memory, physical, unit } = made;
    const kernel = new GuestKernel(memory, unit);
    const root = kernel.table();
    kernel.setContext(VIRTUAL, root, 5);
    memory.write64(root * 4096, 0xff_ffff_f003n); // a table in no memory
    memory.write64(root * 4096 + 8, BigInt(root * 4096) | 0x83n); // PS at level 4
    kernel.map(root, 2 ** 28, 0x5000); // a page in no memory
    kernel.map(root, 2 ** 28 + 1, 0x6, 1, 1n << 62n); // no right
    kernel.setTranslation(true);
    settle(made);
    expect(driver.report().shadowPages).toEqual([0, 0, 0]);
    expect([0, 2 ** 27, 2 ** 28, 2 ** 28 + 1].map((dfn) => reach(physical, DEVICE, dfn))).toEqual([
      -1, -1, -1, -1,
    ]);
  });

  it("that maps one frame a great many times does not slow down its removal", () => {
    const made = guestHost();
    const { memory, p2m, physical, unit } = made;
    const kernel = new GuestKernel(memory, unit);
    const root = kernel.table();
    kernel.setContext(VIRTUAL, root, 5);
    for (let dfn = 0; dfn < 20_000; dfn++) kernel.map(root, dfn, 0x800);
    kernel.setTranslation(true);
    settle(made);
    expect(reach(physical, DEVICE, 19_999)).toBe(0x800 + OFFSET);
    p2m.unmap(0x800, 1);
    expect(reach(physical, DEVICE, 19_999)).toBe(-1);
    p2m.map(0x800, 0x55, 1, "ram");
    expect(reach(physical, DEVICE, 123)).toBe(0x55);
    for (let dfn = 0; dfn < 20_000; dfn++) kernel.unmap(root, dfn);
    kernel.iotlbDomain(5);
    settle(made);
    expect(reach(physical, DEVICE, 123)).toBe(-1);
  });
});

describe("a host that runs short", () => {
  it("of table frames blocks the device and goes on", () => {
    const made = guestHost({ tableFrames: 0x120 });
    const { driver, memory, physical, unit } = made;
    const kernel = new GuestKernel(memory, unit);
    const root = kernel.table();
    for (let i = 0; i < 16; i++) kernel.map(root, i * 512, 7);
    kernel.setContext(VIRTUAL, root, 5);
    const taken = physical.createPagingSpace({ frameQuota: 1000 });
    for (let i = 0; made.frames.available > 5; i++) taken.map(i * 512, 0, 0, 3);
    kernel.setTranslation(true);
    settle(made);
    expect(driver.counters.quotaHits).toBe(1);
    expect(reach(physical, DEVICE, 0)).toBe(-1);
    taken.destroy();
    kernel.iotlbDomain(5);
    settle(made);
    expect(reach(physical, DEVICE, 0)).toBe(7 + OFFSET);
  });
});

describe("faults of a passed-through device", () => {
  it("for the guest's reasons are in its fault log, under the source-id that it knows", () => {
    const { driver, hostFaults, memory, physical, unit } = guestHost();
    const kernel = new GuestKernel(memory, unit);
    const root = kernel.table();
    kernel.setContext(VIRTUAL, root, 5);
    kernel.map(root, 4, 4, 1, 1n);
    kernel.setTranslation(true);
    reach(physical, DEVICE, 4, 2);
    reach(physical, DEVICE, 9, 1);
    expect(kernel.faults()).toEqual([{ sourceId: VIRTUAL, reason: 5, page: 4 }]);
    expect(driver.counters.guestFaults).toBe(2); // the second of one source-id is collapsed
    expect(hostFaults).toEqual([]);
  });

  it("for the host's reasons are kept from it", () => {
    const { driver, hostFaults, memory, p2m, physical, unit } = guestHost();
    const kernel = new GuestKernel(memory, unit);
    const root = kernel.table();
    kernel.setContext(VIRTUAL, root, 5);
    kernel.map(root, 4, 0x800);
    kernel.setTranslation(true);
    p2m.unmap(0x800, 1);
    reach(physical, DEVICE, 4);
    expect(kernel.faults()).toEqual([]);
    expect(hostFaults).toHaveLength(1);
    expect(driver.counters.hostFaults).toBe(1);
  });
});
