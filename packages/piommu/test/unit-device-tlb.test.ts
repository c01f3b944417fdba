import { NO_PASID } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { createPhysicalDevice } from "../src/index.ts";
import type { PhysicalDevice } from "../src/index.ts";
import { reach } from "./support/guest-host.ts";
import { FULL, LEGACY, RW, unitHost } from "./support/unit-host.ts";
import type { UnitHost } from "./support/unit-host.ts";

const DEVICE = 0x0123;
const ALIAS = 0x0201;

interface Caching extends UnitHost {
  readonly device: PhysicalDevice;
  readonly alias: PhysicalDevice;
  readonly see: (page: number, from?: PhysicalDevice) => number;
}

function caching(profile = FULL, ats = true): Caching {
  const devices = [{ sourceId: DEVICE, aliases: [ALIAS], ats }];
  const host = unitHost({ deviceTlb: true, ...profile }, { devices });
  const device = createPhysicalDevice(host.unit, DEVICE, { deviceTlb: { entries: 64 } });
  const alias = createPhysicalDevice(host.unit, ALIAS, { deviceTlb: {} });
  const see = (page: number, from = device): number => reach(from, from.sourceId, page);
  return { ...host, device, alias, see };
}

describe.each([
  ["scalable mode", FULL],
  ["legacy mode", LEGACY],
] as const)("device-TLBs below a unit of %s", (_name, profile) => {
  it("keep what they have until a flush, and then drop what was changed", () => {
    const { alias, device, see, unit } = caching(profile);
    const space = unit.createPagingSpace({ frameQuota: 64 });
    for (const page of [1, 2]) space.map(page, 0x100 + page, 0, RW);
    unit.attach(DEVICE, NO_PASID, space);
    for (const from of [device, alias]) {
      expect([see(1, from), see(2, from)]).toEqual([0x101, 0x102]);
    }
    space.map(1, 0x111, 0, RW);
    space.unmap(2, 0);
    expect([see(1), see(2)]).toEqual([0x101, 0x102]);
    space.flush();
    for (const from of [device, alias]) {
      expect([see(1, from), see(2, from)]).toEqual([0x111, -1]);
    }
  });

  it("drop everything where many pages have changed", () => {
    const { see, unit } = caching(profile);
    const space = unit.createPagingSpace({ frameQuota: 64 });
    const pages = Array.from({ length: 20 }, (_, i) => 3 * i);
    for (const page of pages) space.map(page, 0x100 + page, 0, RW);
    unit.attach(DEVICE, NO_PASID, space);
    const both = pages.map((page) => see(page));
    expect(both).toEqual(pages.map((page) => 0x100 + page));
    for (const page of pages) space.map(page, 0x200 + page, 0, RW);
    space.flush();
    expect(pages.map((page) => see(page))).toEqual(pages.map((page) => 0x200 + page));
  });

  it("have nothing of the space before, and are off where nothing can be asked for", () => {
    const { alias, device, faults, see, unit } = caching(profile);
    const space = unit.createPagingSpace({ frameQuota: 64 });
    space.map(1, 0x101, 0, RW);
    for (let round = 0; round < 2; round++) {
      unit.attach(DEVICE, NO_PASID, space);
      expect([see(1), see(1, alias), see(5)]).toEqual([0x101, 0x101, -1]);
      unit.attach(DEVICE, NO_PASID, unit.identity);
      expect([see(1), see(1, alias), see(5)]).toEqual([1, 1, 5]);
      expect(device.deviceTlb!.enabled).toBe(profile === FULL);
    }
    expect(faults).toEqual([]); // a translation that is not there is no fault
    unit.attach(DEVICE, NO_PASID, unit.blocking);
    expect([see(1), see(1, alias)]).toEqual([-1, -1]);
  });

  it("are off where the unit has none, and where the device is not known to have one", () => {
    for (const made of [caching({ ...profile, deviceTlb: false }), caching(profile, false)]) {
      const { device, see, unit } = made;
      const space = unit.createPagingSpace({ frameQuota: 64 });
      space.map(1, 0x101, 0, RW);
      unit.attach(DEVICE, NO_PASID, space);
      expect(device.deviceTlb!.enabled).toBe(false);
      expect(see(1)).toBe(0x101);
      space.unmap(1, 0);
      space.flush();
      expect(see(1)).toBe(-1);
    }
  });
});

describe("a device-TLB that is connected late", () => {
  it("is as the space of its device wants it", () => {
    const { unit } = unitHost(
      { deviceTlb: true, ...LEGACY },
      { devices: [{ sourceId: DEVICE, ats: true }] },
    );
    unit.attach(DEVICE, NO_PASID, unit.identity);
    const device = createPhysicalDevice(unit, DEVICE, { deviceTlb: {} });
    expect(device.deviceTlb!.enabled).toBe(false);
    expect(device.dma.writeWord(0x1000, 1)).toBe(0);
    const transfer = device.dma.segments(0x1000, 16, 1);
    let over = false;
    unit.attach(DEVICE, NO_PASID, unit.createPagingSpace({ frameQuota: 8 }));
    expect(device.deviceTlb!.enabled).toBe(true);
    expect(unit.drain(() => void (over = true))).toBe(false);
    transfer.release();
    expect(over).toBe(true);
    expect(device.dma.writeWord(0x1000, 1)).not.toBe(0);
  });
});
