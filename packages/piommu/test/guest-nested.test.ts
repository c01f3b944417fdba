import { NO_PASID } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import type { GuestIommu } from "../src/index.ts";
import { DEVICE, guestHost, OFFSET, reach, VIRTUAL } from "./support/guest-host.ts";
import type { GuestHost, GuestHostOptions } from "./support/guest-host.ts";
import { GuestKernel } from "./support/guest-kernel.ts";
import { firstStage, nested, PASS_THROUGH, PASIDE, secondStage } from "./support/pasid-entry.ts";

const SCALABLE = { scalableMode: true, passThrough: true } as const;

function scalable(options: GuestHostOptions = {}): GuestHost & {
  kernel: GuestKernel;
  directory: number;
} {
  const made = guestHost({ physical: SCALABLE, profile: SCALABLE, ...options });
  const kernel = new GuestKernel(made.memory, made.unit, true);
  const directory = kernel.table();
  kernel.setScalableContext(VIRTUAL, directory, PASIDE);
  return { ...made, kernel, directory };
}

function settle(driver: GuestIommu): void {
  while (driver.pending) driver.run(100);
}

const reachWith = (made: GuestHost, pasid: number, page: number, access = 1): number =>
  reach(made.physical, DEVICE, page, access, pasid);

describe("first-stage tables of a guest", () => {
  it("are walked by the host on top of GPA→HPA", () => {
    const made = scalable();
    const { directory, kernel, p2m, physical } = made;
    const root = kernel.table();
    kernel.mapFirst(root, 0x20, 0x900);
    kernel.setPasid(directory, 0, firstStage(root, 5));
    kernel.setTranslation(true);
    expect(physical.attached(DEVICE, NO_PASID).kind).toBe("nested");
    expect(reach(physical, DEVICE, 0x20)).toBe(0x900 + OFFSET);
    p2m.map(0x900, 0x77, 1, "ram");
    expect(reach(physical, DEVICE, 0x20)).toBe(0x77);
    p2m.unmap(0x900, 1);
    expect(reach(physical, DEVICE, 0x20)).toBe(-1);
    expect(made.hostFaults).toHaveLength(1);
    expect(kernel.faults()).toEqual([]);
  });

  it("are invalidated in the host when the guest invalidates, by its domain id and PASID", () => {
    const made = scalable();
    const { directory, kernel } = made;
    const roots = [kernel.table(), kernel.table()];
    kernel.mapFirst(roots[0]!, 0x20, 0x900);
    kernel.mapFirst(roots[1]!, 0x20, 0x910);
    kernel.setPasid(directory, 33, firstStage(roots[0]!, 5));
    kernel.setPasid(directory, 70, firstStage(roots[1]!, 6));
    kernel.setTranslation(true);
    expect(reachWith(made, 33, 0x20)).toBe(0x900 + OFFSET);
    expect(reachWith(made, 70, 0x20)).toBe(0x910 + OFFSET);
    kernel.mapFirst(roots[0]!, 0x20, 0x901);
    kernel.mapFirst(roots[1]!, 0x20, 0x911);
    kernel.pasidIotlb(5, 33);
    expect(reachWith(made, 33, 0x20)).toBe(0x901 + OFFSET);
    expect(reachWith(made, 70, 0x20)).toBe(0x910 + OFFSET);
    kernel.iotlbPages(6, 0x99);
    expect(reachWith(made, 70, 0x20)).toBe(0x911 + OFFSET);
  });

  it("have nothing to do with host permission tables", () => {
    const made = scalable();
    const { directory, driver, kernel, physical } = made;
    kernel.setPasid(directory, 0, firstStage(kernel.table(), 5));
    kernel.setTranslation(true);
    const before = driver.counters.invalidations;
    const ticket = physical.dmaRemapper.enter();
    driver.hooks.invalidate("guest", {
      kind: "host-permission",
      granularity: "global",
      domainId: 0,
      hi: 0,
      lo: 0,
      order: 52,
      levels: 4,
    });
    expect(driver.counters.invalidations).toBe(before);
    expect(kernel.submit()).toBe(true); // nothing is held back
    physical.dmaRemapper.leave(ticket);
  });

  it("come and go with their PASID entries", () => {
    const made = scalable();
    const { directory, driver, kernel } = made;
    kernel.setTranslation(true);
    const root = kernel.table();
    kernel.mapFirst(root, 1, 0x900);
    expect(reachWith(made, 7, 1)).toBe(-1);
    kernel.setPasid(directory, 7, firstStage(root, 5));
    kernel.pasidCache(5, 7);
    expect(reachWith(made, 7, 1)).toBe(0x900 + OFFSET);
    kernel.setPasid(directory, 7, [0n, 0n, 0n]);
    kernel.pasidCache(5, 7);
    expect(reachWith(made, 7, 1)).toBe(-1);
    kernel.setPasid(directory, 7, firstStage(root, 5));
    kernel.pasidCache();
    expect(reachWith(made, 7, 1)).toBe(0x900 + OFFSET);
    kernel.setTranslation(false);
    expect(reachWith(made, 7, 1)).toBe(-1);
    expect(driver.report().frames).toBe(0);
  });

  it("put the guest's faults into its log, with the PASID", () => {
    const made = scalable();
    const { directory, kernel, unit } = made;
    const root = kernel.table();
    kernel.mapFirst(root, 1, 0x900, 5n);
    kernel.setPasid(directory, 7, firstStage(root, 5));
    kernel.setTranslation(true);
    expect(reachWith(made, 7, 1, 2)).toBe(-1);
    const words = new Int32Array(2);
    unit.read(0x228, 8, words);
    expect(words[1]! >>> 8).toBe(0x80_0007); // F and PASID 7
    expect(kernel.faults()).toEqual([{ sourceId: VIRTUAL, reason: 0x85, page: 1 }]);
    reachWith(made, 7, 2);
    expect(kernel.faults()).toEqual([{ sourceId: VIRTUAL, reason: 0x71, page: 2 }]);
    expect(made.hostFaults).toEqual([]);
  });

  it("stand on a shadow when the guest nests them itself", () => {
    const made = scalable();
    const { directory, driver, kernel, memory, physical } = made;
    const second = kernel.table();
    const first = kernel.table();
    kernel.mapFirst(first, 1, 0x900);
    // the first stage lies where it is, and 900h is 901h
    for (let frame = 0; frame < 0x100; frame++) kernel.map(second, frame, frame);
    kernel.map(second, 0x900, 0x901);
    kernel.setPasid(directory, 0, nested(first, second, 5));
    kernel.setTranslation(true);
    settle(driver);
    expect(reach(physical, DEVICE, 1)).toBe(0x901 + OFFSET);
    expect(driver.report().shadows).toBe(1);
    memory.write64(second * 4096, 0n);
    kernel.iotlbDomain(5);
    settle(driver);
    expect(reach(physical, DEVICE, 1)).toBe(-1);
    kernel.setTranslation(false);
    settle(driver);
    expect(driver.report().frames).toBe(0);
  });
});

describe("five-level first-stage tables of a guest", () => {
  it("are walked by a host that has them", () => {
    const five = { ...SCALABLE, fiveLevelFirstStage: true };
    const made = scalable({ physical: five, profile: five });
    const { directory, kernel, memory } = made;
    const top = kernel.table();
    const root = kernel.table();
    kernel.mapFirst(root, 0x20, 0x900);
    memory.write64(top * 4096 + 8, BigInt(root * 4096) | 7n); // 2^48 on
    kernel.setPasid(directory, 7, firstStage(top, 5, 5));
    kernel.setTranslation(true);
    expect(reachWith(made, 7, 2 ** 36 + 0x20)).toBe(0x900 + OFFSET);
    expect(reachWith(made, 7, 0x20)).toBe(-1);
    expect(kernel.faults()).toMatchObject([{ sourceId: VIRTUAL, reason: 0x71 }]);
  });

  it("are nothing that a guest's unit without them accepts", () => {
    const made = scalable();
    const { directory, kernel, physical } = made;
    kernel.setPasid(directory, 7, firstStage(kernel.table(), 5, 5));
    kernel.setTranslation(true);
    expect(physical.attached(DEVICE, 7)).toBe(physical.blocking);
    expect(made.driver.counters.quotaHits).toBe(0);
  });
});

describe("second stages in scalable mode", () => {
  it("are shadowed, and pass-through is GPA→HPA", () => {
    const made = scalable();
    const { directory, kernel, physical } = made;
    const root = kernel.table();
    kernel.map(root, 3, 0x900);
    kernel.setPasid(directory, 0, secondStage(root, 5));
    kernel.setTranslation(true);
    expect(reach(physical, DEVICE, 3)).toBe(0x900 + OFFSET);
    kernel.setPasid(directory, 0, PASS_THROUGH);
    kernel.pasidCache();
    expect(reach(physical, DEVICE, 3)).toBe(3 + OFFSET);
  });

  it("grant what IR and IW say where the guest chose so, and R and W elsewhere", () => {
    const io = { ...SCALABLE, secondStageIoPermissions: true };
    const made = scalable({ profile: io });
    const { directory, kernel, physical, unit } = made;
    const root = kernel.table();
    kernel.map(root, 3, 0x900);
    kernel.setPasid(directory, 0, secondStage(root, 5));
    kernel.setTranslation(true);
    expect(reach(physical, DEVICE, 3)).toBe(0x900 + OFFSET);
    kernel.map(root, 4, 0x902, 1, (3n << 61n) | 3n);
    unit.write(0x20, 8, 0x10_480, 0); // SSIRWE
    unit.write(0x18, 4, (1 << 31) | (1 << 30) | (1 << 26), 0);
    settle(made.driver);
    for (const dfn of [3, 4]) {
      const own = unit.dma.translateNumber(VIRTUAL, dfn * 4096, 1);
      const mfn = own < 0 ? -1 : Math.floor(own / 4096) + OFFSET;
      expect(reach(physical, DEVICE, dfn)).toBe(mfn);
    }
    expect(reach(physical, DEVICE, 3)).toBe(-1);
  });

  it("end at the quota of PASIDs", () => {
    const made = scalable({ driver: { pasidQuota: 20 } });
    const { directory, driver, kernel, physical } = made;
    for (let pasid = 1; pasid < 40; pasid++) kernel.setPasid(directory, pasid, PASS_THROUGH);
    kernel.setPasid(directory, 0, PASS_THROUGH);
    kernel.setTranslation(true);
    settle(driver);
    expect(driver.counters.quotaHits).toBeGreaterThan(0);
    expect(reachWith(made, 3, 3)).toBe(-1);
    expect(reach(physical, DEVICE, 3)).toBe(-1);
    expect(kernel.faults()[0]).toMatchObject({ sourceId: VIRTUAL, reason: 0x78 });
  });
});
