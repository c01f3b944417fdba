import { describe, expect, it } from "vitest";
import { DEVICE, guestHost, OFFSET, reach, VIRTUAL } from "./support/guest-host.ts";
import { GuestKernel, RW } from "./support/guest-kernel.ts";

describe("spaces of a passed-through device", () => {
  it("starts with guest-physical addresses", () => {
    const { physical } = guestHost();
    expect(reach(physical, DEVICE, 5)).toBe(5 + OFFSET);
    expect(reach(physical, DEVICE, 0x1000)).toBe(-1);
  });

  it("goes to the shadow when the guest switches translation on, and back", () => {
    const { driver, memory, physical, unit } = guestHost();
    const kernel = new GuestKernel(memory, unit);
    const root = kernel.table();
    kernel.setContext(VIRTUAL, root, 5);
    kernel.map(root, 0x100000, 7);
    kernel.setTranslation(true);
    expect(kernel.translation).toBe(true);
    expect(reach(physical, DEVICE, 0x100000)).toBe(7 + OFFSET);
    expect(reach(physical, DEVICE, 7)).toBe(-1);
    expect(driver.report().shadowPages).toEqual([1, 0, 0]);
    kernel.setTranslation(false);
    expect(reach(physical, DEVICE, 7)).toBe(7 + OFFSET);
    driver.run(1000);
    expect(driver.report().frames).toBe(0);
  });

  it("follows the context entry when the guest invalidates it", () => {
    const { driver, memory, physical, unit } = guestHost();
    const kernel = new GuestKernel(memory, unit);
    kernel.setTranslation(true);
    expect(reach(physical, DEVICE, 7)).toBe(-1);
    expect(kernel.faults()).toEqual([{ sourceId: VIRTUAL, reason: 1, page: 7 }]);
    kernel.setContext(VIRTUAL, 0, 5, 2);
    expect(reach(physical, DEVICE, 7)).toBe(-1);
    kernel.contextDevice(VIRTUAL, 0);
    expect(reach(physical, DEVICE, 7)).toBe(7 + OFFSET);
    kernel.clearContext(VIRTUAL);
    kernel.contextDomain(5);
    expect(reach(physical, DEVICE, 7)).toBe(-1);
    expect(driver.counters.switches).toBe(4);
  });

  it("shares one shadow between devices with one domain", () => {
    const { driver, memory, physical, unit } = guestHost();
    driver.assign({ sourceId: 0x0400, virtualSourceId: 0x0018, unit });
    const kernel = new GuestKernel(memory, unit);
    const root = kernel.table();
    kernel.setContext(VIRTUAL, root, 5);
    kernel.setContext(0x0018, root, 5);
    kernel.map(root, 1, 7, 1, RW);
    kernel.setTranslation(true);
    expect(driver.report().shadows).toBe(1);
    expect(reach(physical, 0x0400, 1)).toBe(7 + OFFSET);
    expect(reach(physical, DEVICE, 1)).toBe(7 + OFFSET);
  });
});

describe("synchronisation", () => {
  it("shows what the guest wrote when the guest invalidates it", () => {
    const { memory, physical, unit } = guestHost();
    const kernel = new GuestKernel(memory, unit);
    const root = kernel.table();
    kernel.setContext(VIRTUAL, root, 5);
    kernel.setTranslation(true);
    kernel.map(root, 9, 3);
    expect(reach(physical, DEVICE, 9)).toBe(-1);
    expect(kernel.iotlbPages(5, 9)).toBe(true);
    expect(reach(physical, DEVICE, 9)).toBe(3 + OFFSET);
    kernel.unmap(root, 9);
    expect(reach(physical, DEVICE, 9)).toBe(3 + OFFSET);
    kernel.iotlbDomain(6);
    expect(reach(physical, DEVICE, 9)).toBe(3 + OFFSET);
    kernel.iotlbPages(5, 0, 4);
    expect(reach(physical, DEVICE, 9)).toBe(-1);
  });

  it("keeps large pages where guest and p2m have them", () => {
    const { driver, memory, p2m, physical, unit } = guestHost();
    const kernel = new GuestKernel(memory, unit);
    const root = kernel.table();
    kernel.setContext(VIRTUAL, root, 5);
    kernel.map(root, 0x40000, 0x200, 2);
    kernel.map(root, 0x40200, 0x400, 2);
    p2m.unmap(0x400, 1);
    kernel.setTranslation(true);
    expect(driver.report().shadowPages).toEqual([511, 1, 0]);
    expect(reach(physical, DEVICE, 0x40201)).toBe(0x401 + OFFSET);
    expect(reach(physical, DEVICE, 0x40200)).toBe(-1);
    kernel.unmap(root, 0x40000, 2);
    kernel.map(root, 0x40003, 0x123);
    kernel.iotlbPages(5, 0x40003);
    expect(reach(physical, DEVICE, 0x40003)).toBe(0x123 + OFFSET);
    expect(reach(physical, DEVICE, 0x40004)).toBe(-1);
  });

  it("merges rights of both sides", () => {
    const { memory, p2m, physical, unit } = guestHost();
    const kernel = new GuestKernel(memory, unit);
    const root = kernel.table();
    kernel.setContext(VIRTUAL, root, 5);
    kernel.map(root, 1, 0x300);
    kernel.map(root, 2, 0x301, 1, 1n);
    kernel.map(root, 3, 0x302, 1, 2n);
    p2m.setType(0x300, 1, "read-only");
    p2m.setType(0x302, 1, "read-only");
    kernel.setTranslation(true);
    const rights = [1, 2, 3].map((dfn) => [1, 2].map((need) => reach(physical, DEVICE, dfn, need)));
    expect(rights).toEqual([
      [0x300 + OFFSET, -1],
      [0x301 + OFFSET, -1],
      [-1, -1],
    ]);
  });

  it("holds the wait descriptor back until the range is synchronised", () => {
    const { driver, memory, physical, unit } = guestHost({ driver: { inlineBudget: 8 } });
    const kernel = new GuestKernel(memory, unit);
    const root = kernel.table();
    kernel.setContext(VIRTUAL, root, 5);
    kernel.setTranslation(true);
    while (driver.pending) driver.run(8);
    for (let i = 0; i < 600; i++) kernel.map(root, i, i % 64);
    expect(kernel.iotlbDomain(5)).toBe(false);
    expect(driver.pending).toBe(true);
    let runs = 0;
    for (; !kernel.complete; runs++) expect(driver.run(50)).toBeLessThan(200);
    expect(runs).toBeGreaterThan(5);
    expect(reach(physical, DEVICE, 599)).toBe((599 % 64) + OFFSET);
    expect(driver.pending).toBe(false);
  });

  it("stays with the old space until the new one is complete", () => {
    const { driver, memory, physical, unit } = guestHost({ driver: { inlineBudget: 1 } });
    const kernel = new GuestKernel(memory, unit);
    const root = kernel.table();
    kernel.setContext(VIRTUAL, root, 5);
    for (let i = 0; i < 100; i++) kernel.map(root, i, i + 1);
    kernel.setTranslation(true);
    expect(kernel.translation).toBe(false);
    expect(reach(physical, DEVICE, 99)).toBe(99 + OFFSET);
    while (driver.pending) driver.run(10);
    expect(kernel.translation).toBe(true);
    expect(reach(physical, DEVICE, 99)).toBe(100 + OFFSET);
  });
});

describe("large pages", () => {
  it("become whole again when the host puts the frame in again", () => {
    const { driver, frames, memory, p2m, physical, unit } = guestHost();
    const kernel = new GuestKernel(memory, unit);
    const root = kernel.table();
    kernel.setContext(VIRTUAL, root, 5);
    kernel.map(root, 0x40000, 0x200, 2);
    kernel.setTranslation(true);
    const [used, main] = [frames.used, driver.report().mainFrames];
    p2m.unmap(0x234, 1);
    expect(driver.report().shadowPages).toEqual([511, 0, 0]);
    p2m.map(0x234, 0x234 + OFFSET, 1, "ram");
    expect(driver.report().shadowPages).toEqual([0, 1, 0]);
    expect(reach(physical, DEVICE, 0x40034)).toBe(0x234 + OFFSET);
    expect([frames.used, driver.report().mainFrames]).toEqual([used, main]);
    // another frame: it stays in pieces
    p2m.map(0x234, 0x100, 1, "ram");
    expect(driver.report().shadowPages).toEqual([512, 0, 0]);
    expect(reach(physical, DEVICE, 0x40034)).toBe(0x100);
  });

  it("stay in pieces while dirty pages are tracked", () => {
    const tracking = { scalableMode: true, secondStageAccessedDirty: true } as const;
    const { device, driver, p2m } = guestHost({ physical: tracking });
    p2m.setType(0x234, 1, "read-only");
    driver.setDirtyTracking(true);
    device.dma.writeWord(0x300 * 4096, 1);
    p2m.setType(0x234, 1, "ram");
    const dirty: number[] = [];
    driver.readAndClearDirty(0x200, 0x200, (gfn) => dirty.push(gfn));
    expect(dirty).toEqual([0x234, 0x300]);
  });
});
