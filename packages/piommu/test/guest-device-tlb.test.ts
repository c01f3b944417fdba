import { ALL_PASIDS, NO_PASID } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { DEVICE, guestHost, OFFSET, reach, VIRTUAL } from "./support/guest-host.ts";
import type { GuestHost, GuestHostOptions } from "./support/guest-host.ts";
import { GuestKernel } from "./support/guest-kernel.ts";
import { DTE, firstStage, PASIDE } from "./support/pasid-entry.ts";

const SCALABLE = { scalableMode: true, passThrough: true, deviceTlb: true } as const;
const OTHER = 0x0308;
const VIRTUAL_OTHER = 0x0018;
const PAGE = 0x20;

interface Nested extends GuestHost {
  readonly kernel: GuestKernel;
  readonly directory: number;
  readonly root: number;
}

/** First-stage tables for requests without PASID and with 33, of two devices that cache. */
function nested(flags = DTE, options: GuestHostOptions = {}): Nested {
  const made = guestHost({
    physical: { ...SCALABLE, secondStageAccessedDirty: true },
    profile: SCALABLE,
    deviceTlbs: [DEVICE, OTHER],
    ...options,
  });
  made.driver.assign({ sourceId: OTHER, virtualSourceId: VIRTUAL_OTHER, unit: made.unit });
  const kernel = new GuestKernel(made.memory, made.unit, true);
  const directory = kernel.table();
  const root = kernel.table();
  kernel.mapFirst(root, PAGE, 0x900);
  for (const id of [VIRTUAL, VIRTUAL_OTHER]) {
    kernel.setScalableContext(id, directory, PASIDE | flags);
  }
  for (const pasid of [0, 33]) kernel.setPasid(directory, pasid, firstStage(root, 5));
  kernel.setTranslation(true);
  return { ...made, kernel, directory, root };
}

const seen = (made: GuestHost, pasid = NO_PASID, sourceId = DEVICE, access = 1): number => {
  const mfn = reach(made.deviceOf(sourceId), sourceId, PAGE, access, pasid);
  return mfn < 0 ? mfn : mfn - OFFSET;
};

/** The guest maps the page elsewhere and invalidates the IOTLB, not the devices. */
function remap({ kernel, root }: Nested, frame: number): void {
  kernel.mapFirst(root, PAGE, frame);
  kernel.pasidIotlb(5, 0);
  kernel.pasidIotlb(5, 33);
}

describe("device-TLB invalidations of a guest", () => {
  it("reach the physical device, and until then it may use what it has", () => {
    const made = nested();
    expect(seen(made)).toBe(0x900);
    remap(made, 0x901);
    expect(seen(made)).toBe(0x900);
    made.kernel.deviceTlb(VIRTUAL, NO_PASID, PAGE);
    expect(seen(made)).toBe(0x901);
  });

  it("are for one device, its PASIDs and pages", () => {
    const made = nested();
    const all = (): number[] =>
      [DEVICE, OTHER].flatMap((id) => [NO_PASID, 33].map((pasid) => seen(made, pasid, id)));
    all();
    remap(made, 0x901);
    const { kernel } = made;
    kernel.deviceTlb(VIRTUAL, 33, PAGE + 1);
    kernel.deviceTlb(VIRTUAL, 34, PAGE);
    kernel.deviceTlb(0x0077, ALL_PASIDS, PAGE, 9);
    expect(all()).toEqual([0x900, 0x900, 0x900, 0x900]);
    kernel.deviceTlb(VIRTUAL, 33, PAGE);
    expect(all()).toEqual([0x900, 0x901, 0x900, 0x900]);
    kernel.deviceTlb(VIRTUAL_OTHER, ALL_PASIDS, 0, 9);
    expect(all()).toEqual([0x900, 0x901, 0x901, 0x901]);
  });

  it("are complete when the transfers are over that use what was dropped", () => {
    const made = nested();
    const { deviceOf, kernel } = made;
    const transfer = deviceOf(DEVICE).dma.segments(PAGE * 4096, 64, 1);
    made.kernel.mapFirst(made.root, PAGE, 0x901);
    expect(kernel.deviceTlb(VIRTUAL, NO_PASID, PAGE)).toBe(false);
    transfer.release();
    expect(kernel.complete).toBe(true);
  });

  it("are not needed where the guest's context entry gives the device no cache", () => {
    const made = nested(0);
    expect(seen(made)).toBe(0x900);
    remap(made, 0x901);
    expect(seen(made)).toBe(0x901);
    // nor from a device on that the guest has taken it from
    const { directory, kernel } = made;
    kernel.setScalableContext(VIRTUAL, directory, PASIDE | DTE);
    kernel.setScalableContext(VIRTUAL_OTHER, directory, PASIDE | DTE);
    kernel.contextGlobal();
    remap(made, 0x902);
    expect(seen(made)).toBe(0x901);
    kernel.setScalableContext(VIRTUAL, directory, PASIDE);
    kernel.contextGlobal();
    expect(seen(made)).toBe(0x902);
  });

  it("are not waited for where one of the devices that share tables has no cache", () => {
    const made = nested();
    made.kernel.setScalableContext(VIRTUAL_OTHER, made.directory, PASIDE);
    made.kernel.contextDevice(VIRTUAL_OTHER, 0);
    expect([seen(made), seen(made, NO_PASID, OTHER)]).toEqual([0x900, 0x900]);
    remap(made, 0x901);
    expect([seen(made), seen(made, NO_PASID, OTHER)]).toEqual([0x901, 0x901]);
  });
});

describe("what a device has cached is dropped without the guest", () => {
  it("when the host changes the p2m", () => {
    const made = nested();
    expect(seen(made)).toBe(0x900);
    made.p2m.map(0x900, 0x77, 1, "ram");
    expect(seen(made)).toBe(0x77 - OFFSET);
    made.p2m.setType(0x900, 1, "read-only");
    expect(seen(made, NO_PASID, DEVICE, 2)).toBe(-1);
    made.p2m.unmap(0x900, 1);
    expect(seen(made)).toBe(-1);
  });

  it("when the device is switched, and when it is taken away", () => {
    const made = nested();
    const { driver, kernel } = made;
    expect([seen(made), seen(made, 33)]).toEqual([0x900, 0x900]);
    kernel.setTranslation(false);
    expect([seen(made), seen(made, 33)]).toEqual([PAGE, -1]);
    kernel.setTranslation(true);
    expect([seen(made), seen(made, 33)]).toEqual([0x900, 0x900]);
    driver.unassign(DEVICE);
    expect([seen(made), seen(made, 33)]).toEqual([-1, -1]);
  });

  it("when its guest runs into the quota", () => {
    const made = guestHost({ deviceTlbs: [DEVICE], driver: { frameQuota: 40 } });
    const kernel = new GuestKernel(made.memory, made.unit);
    const root = kernel.table();
    kernel.map(root, PAGE, 0x900);
    kernel.setContext(VIRTUAL, root, 5);
    kernel.setTranslation(true);
    expect(seen(made)).toBe(0x900);
    for (let i = 1; i < 60; i++) kernel.map(root, 512 * i, 0x900);
    kernel.iotlbDomain(5);
    expect(made.driver.counters.quotaHits).toBe(1);
    expect(seen(made)).toBe(-1);
  });

  it("when a migration begins, and each time that it reads what was written", () => {
    const made = nested();
    const write = (): number => made.deviceOf(DEVICE).dma.writeWord(PAGE * 4096, 1);
    const told = (): number[] => {
      const found: number[] = [];
      made.driver.readAndClearDirty(0x900, 1, (gfn) => found.push(gfn));
      return found;
    };
    expect(write()).toBe(0);
    made.driver.setDirtyTracking(true);
    for (let round = 0; round < 3; round++) {
      expect(write()).toBe(0);
      expect(told()).toEqual([0x900]);
      expect(told()).toEqual([]);
    }
  });
});
