/** Acceptance scenario 4: a passed-through device behind a vIOMMU that was made by hypercall. */
import { describe, expect, it } from "vitest";
import { MIB } from "./xen-host.ts";
import { OFFSET, PassthroughHost, VIRTUAL } from "./passthrough-host.ts";

/** A page of the guest, and its frame. */
const PAGE = 12 * MIB;
const FRAME = PAGE / 4096;

describe("4. a passed-through device", () => {
  it("goes from guest-physical addresses to the shadow when the guest sets TE", () => {
    const host = new PassthroughHost();
    expect(host.reach(PAGE)).toBe(FRAME + OFFSET);
    expect(host.iommu.report().shadows).toBe(0);
    const { driver, mapping } = host.start();
    const iova = mapping.map(PAGE, 4096);
    expect(host.reach(iova)).toBe(FRAME + OFFSET);
    expect(host.reach(PAGE)).toBeLessThan(0);
    expect(host.iommu.report().shadowPages).toEqual([1, 0, 0]);
    driver.stop();
    expect(host.reach(PAGE)).toBe(FRAME + OFFSET);
  });

  it("reaches nothing of what was unmapped, once the wait descriptor is complete", () => {
    const host = new PassthroughHost();
    const { driver, mapping } = host.start();
    const [first, second] = [mapping.map(PAGE, 4096), mapping.map(PAGE + 4096, 4096)];
    mapping.unmap(first); // the driver polls the status of its wait descriptor
    expect(host.reach(first, 2)).toBe(-5);
    expect(host.reach(second)).toBe(FRAME + 1 + OFFSET);
    const { faults } = driver.serviceFaults();
    expect(faults).toMatchObject([{ sourceId: VIRTUAL, reason: 5, address: first }]);
    expect(host.hostFaults).toEqual([]);
  });

  it("loses a page that the host takes from the guest, and gets the one that comes instead", () => {
    const host = new PassthroughHost();
    const { driver, mapping } = host.start();
    const iova = mapping.map(PAGE, 8192);
    let isReleased = false;
    const ticket = host.physical.dmaRemapper.enter();
    expect(host.p2m.unmap(FRAME, 1, () => void (isReleased = true))).toBe(false);
    expect(host.reach(iova)).toBeLessThan(0);
    expect(host.reach(iova + 4096)).toBe(FRAME + 1 + OFFSET);
    expect(isReleased).toBe(false); // a transfer that began before is under way
    host.physical.dmaRemapper.leave(ticket);
    expect(isReleased).toBe(true);
    // the guest has done nothing wrong: no fault in its log
    expect(driver.serviceFaults().faults).toEqual([]);
    expect(host.hostFaults).toHaveLength(1);
    host.p2m.map(FRAME, 0x1234, 1, "ram");
    expect(host.reach(iova)).toBe(0x1234);
  });

  it("is given and taken while the guest runs", () => {
    const host = new PassthroughHost();
    const { driver, mapping } = host.start();
    const iova = mapping.map(PAGE, 4096);
    const [unit] = host.guest.units;
    const hot = { sourceId: 0x0400, virtualSourceId: 0x0020, unit: unit! };
    host.iommu.assign(hot);
    const own = driver.attach({ sourceId: hot.virtualSourceId });
    const ownIova = own.map(PAGE + 4096, 4096);
    expect(host.physical.attached(hot.sourceId, -1).kind).toBe("paging");
    expect(host.iommu.report()).toMatchObject({ devices: 2, shadows: 2 });
    expect(host.reach(iova)).toBe(FRAME + OFFSET);
    own.unmap(ownIova);
    host.iommu.unassign(hot.sourceId);
    expect(host.physical.attached(hot.sourceId, -1)).toBe(host.physical.blocking);
    expect(host.reach(iova)).toBe(FRAME + OFFSET);
  });
});
