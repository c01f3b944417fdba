/** Acceptance scenario 7: first-stage tables of a guest under a device that is passed through. */
import type { Domain, IommuDriver } from "@viommu/guest-driver";
import { describe, expect, it } from "vitest";
import { OFFSET, PassthroughHost, VIRTUAL } from "./passthrough-host.ts";
import { INTERRUPT_REMAPPING, L1_TRANSLATION, L2_TRANSLATION, MIB } from "./xen-host.ts";

const WRITE = 2;
/** Pages of the guest, and the frame of the first. */
const PAGE = 12 * MIB;
const FRAME = PAGE / 4096;

interface Nested {
  readonly host: PassthroughHost;
  readonly driver: IommuDriver;
  /** Each with its PASID. */
  readonly spaces: readonly (readonly [number, Domain])[];
}

/** A guest in scalable mode whose device has two PASIDs, each with first-stage tables of its own. */
function nested(): Nested {
  const host = new PassthroughHost({
    capabilities: L1_TRANSLATION | L2_TRANSLATION | INTERRUPT_REMAPPING,
    physical: { scalableMode: true, passThrough: true },
  });
  const poll = (): void => void host.host.registry.run(); // the host has its turns
  const driver = host.boot({ mode: "scalable", poll });
  driver.setFeatures({ sourceId: VIRTUAL }, { pasidBits: 20 });
  const spaces = [0, 1].map(() => {
    const pasid = driver.allocatePasid();
    return [pasid, driver.attach({ sourceId: VIRTUAL }, { pasid })] as const;
  });
  return { host, driver, spaces };
}

describe("7. two PASIDs of a passed-through device, nested", () => {
  it("see the same address on different pages, and are invalidated apart", () => {
    const { host, spaces } = nested();
    const [[one, first], [two, second]] = [spaces[0]!, spaces[1]!];
    const iova = first.map(PAGE, 4096);
    expect(second.map(PAGE + 4096, 4096)).toBe(iova);
    expect(host.physical.attached(0x300, one).kind).toBe("nested");
    expect(host.reach(iova, WRITE, one)).toBe(FRAME + OFFSET);
    expect(host.reach(iova, WRITE, two)).toBe(FRAME + 1 + OFFSET);
    first.unmap(iova);
    expect(host.reach(iova, WRITE, one)).toBeLessThan(0);
    expect(host.reach(iova, WRITE, two)).toBe(FRAME + 1 + OFFSET);
  });

  it("first-stage faults are in the guest's log, with the guest's ids", () => {
    const { driver, host, spaces } = nested();
    const [[one, first], [two]] = [spaces[0]!, spaces[1]!];
    const iova = first.map(PAGE, 4096, 1);
    expect(host.reach(iova, WRITE, one)).toBe(-0x85); // a page that may be read only
    // a log collapses what one device does: it is read in between
    expect(driver.serviceFaults().faults).toMatchObject([
      { sourceId: VIRTUAL, pasid: one, access: "write", reason: 0x85, address: iova },
    ]);
    expect(host.reach(0x5000, 1, two)).toBe(-0x71); // no page
    expect(driver.serviceFaults().faults).toMatchObject([
      { sourceId: VIRTUAL, pasid: two, access: "read", reason: 0x71, address: 0x5000 },
    ]);
    expect(host.hostFaults).toEqual([]);
  });

  it("second-stage faults are not told to the guest", () => {
    const { driver, host, spaces } = nested();
    const [[one, first], [two, second]] = [spaces[0]!, spaces[1]!];
    const iova = first.map(PAGE, 4096);
    second.map(PAGE + 4096, 4096);
    host.p2m.unmap(FRAME, 1); // ballooned
    expect(host.reach(iova, 1, one)).toBeLessThan(0);
    host.p2m.setType(FRAME + 1, 1, "read-only");
    expect(host.reach(iova, WRITE, two)).toBeLessThan(0);
    expect(host.reach(iova, 1, two)).toBe(FRAME + 1 + OFFSET);
    expect(host.hostFaults.map(({ pasid }) => pasid)).toEqual([one, two]);
    expect(driver.serviceFaults().faults).toEqual([]);
    expect(host.iommu.counters).toMatchObject({ guestFaults: 0, hostFaults: 2 });
  });
});
