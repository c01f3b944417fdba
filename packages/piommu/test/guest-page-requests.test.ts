import { AtcResult } from "@viommu/memory";
import { NO_PASID } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { compareCapabilities } from "../src/index.ts";
import { DEVICE, guestHost, VIRTUAL } from "./support/guest-host.ts";
import type { GuestHost } from "./support/guest-host.ts";
import { GuestKernel } from "./support/guest-kernel.ts";
import { DTE, firstStage, PASIDE, PRE } from "./support/pasid-entry.ts";

const PROFILE = { scalableMode: true, deviceTlb: true, pageRequests: true } as const;
const PAGE = 0x20;
const PASID = 33;

interface Asking extends GuestHost {
  readonly kernel: GuestKernel;
  readonly root: number;
  readonly directory: number;
}

/** A guest with a first stage for requests with PASID and without; the device asks for pages. */
function asking(flags = PASIDE | DTE | PRE): Asking {
  const made = guestHost({
    physical: PROFILE,
    profile: PROFILE,
    deviceTlbs: [DEVICE],
    pageRequests: true,
  });
  const kernel = new GuestKernel(made.memory, made.unit, true);
  kernel.takePageRequests();
  const root = kernel.table();
  const directory = kernel.table();
  for (const pasid of [0, PASID]) kernel.setPasid(directory, pasid, firstStage(root, 5));
  kernel.setScalableContext(VIRTUAL, directory, flags);
  kernel.setTranslation(true);
  return { ...made, kernel, root, directory };
}

const write = ({ deviceOf }: GuestHost, page = PAGE, pasid = PASID): number =>
  deviceOf(DEVICE)
    .dmaWith(pasid)
    .writeWord(page * 4096, 7);

const codes = ({ answered }: GuestHost): number[] => answered.map(({ code }) => code);

describe("page requests of a passed-through device", () => {
  it.each([PASID, NO_PASID])("are the guest's to answer, with PASID %i", (pasid) => {
    const made = asking();
    const { answered, driver, kernel, memory, root } = made;
    expect(write(made, PAGE, pasid)).toBe(AtcResult.PAGE_REQUESTED);
    const [request, ...more] = kernel.pageRequests();
    expect(request).toMatchObject({ sourceId: VIRTUAL, pasid, page: PAGE, last: true });
    expect(more).toEqual([]);
    expect(request!.access & 2).toBe(2);
    expect(answered).toEqual([]);
    kernel.mapFirst(root, PAGE, 0x900);
    expect(kernel.pageResponse(VIRTUAL, pasid, request!.group, 0)).toBe(true);
    expect(answered).toMatchObject([{ sourceId: DEVICE, pasid, code: 0 }]);
    expect(write(made, PAGE, pasid)).toBe(0);
    expect(memory.read32(0x90_0000)).toBe(7);
    expect(driver.counters).toMatchObject({ pageRequests: 1, pageResponses: 1 });
    expect([kernel.faults(), made.hostFaults]).toEqual([[], []]);
  });

  it("come in groups, each with one answer", () => {
    const made = asking();
    const { deviceOf, kernel } = made;
    const tlb = deviceOf(DEVICE).deviceTlb!;
    const need = { sourceId: DEVICE, pasid: PASID, hi: 0, lo: PAGE * 4096, access: 1 };
    expect(tlb.requestPages({ ...need, pages: 3 })).toBe(true);
    const requests = kernel.pageRequests();
    expect(requests.map(({ page, last }) => [page, last])).toEqual([
      [PAGE, false],
      [PAGE + 1, false],
      [PAGE + 2, true],
    ]);
    const { group } = requests[0]!;
    // what is no answer to it goes nowhere
    kernel.pageResponse(VIRTUAL, PASID, group + 1, 0);
    kernel.pageResponse(VIRTUAL, NO_PASID, group, 0);
    kernel.pageResponse(VIRTUAL + 1, PASID, group, 0);
    expect(codes(made)).toEqual([]);
    kernel.pageResponse(VIRTUAL, PASID, group, 1);
    kernel.pageResponse(VIRTUAL, PASID, group, 0);
    expect(codes(made)).toEqual([1]);
  });

  it.each([15, 7])("end with code %i, until the device has another owner", (code) => {
    const made = asking();
    const { deviceOf, driver, kernel, unit } = made;
    write(made);
    kernel.pageResponse(VIRTUAL, PASID, kernel.pageRequests()[0]!.group, code);
    expect(codes(made)).toEqual([15]);
    expect(write(made)).toBe(AtcResult.NO_PERMISSION);
    driver.unassign(DEVICE);
    expect(deviceOf(DEVICE).deviceTlb!.pageRequestsEnabled).toBe(false);
    driver.assign({ sourceId: DEVICE, virtualSourceId: VIRTUAL, unit });
    expect(write(made)).toBe(AtcResult.PAGE_REQUESTED);
  });

  it("are answered by the unit when its queue is full: with success, to be made again", () => {
    const made = asking();
    const { deviceOf, kernel } = made;
    const tlb = deviceOf(DEVICE).deviceTlb!;
    const need = { sourceId: DEVICE, pasid: PASID, hi: 0, lo: 0, access: 1 };
    expect(tlb.requestPages({ ...need, pages: 130 })).toBe(true);
    expect(codes(made)).toEqual([0]);
    expect(kernel.pageRequests()).toHaveLength(127);
    expect(kernel.overflowed()).toBe(true);
    expect(tlb.requestPages({ ...need, pages: 1 })).toBe(true);
    expect(kernel.pageRequests()).toHaveLength(1);
    expect(codes(made)).toEqual([0]);
  });

  it("are answered by the unit, and recorded, where the guest's tables take none", () => {
    const made = asking(PASIDE | DTE);
    expect(write(made)).toBe(AtcResult.NO_PERMISSION);
    expect(codes(made)).toEqual([1]);
    expect(made.kernel.pageRequests()).toEqual([]);
    expect(made.kernel.faults()).toMatchObject([{ sourceId: VIRTUAL, page: PAGE }]);
  });

  it("are answered by the driver where nobody hears the unit", () => {
    const made = asking(PASIDE | DTE);
    made.router.detach(VIRTUAL);
    expect(write(made)).toBe(AtcResult.NO_PERMISSION);
    expect(codes(made)).toEqual([1]);
    made.kernel.setScalableContext(VIRTUAL, made.directory, PASIDE | DTE | PRE);
    const need = { sourceId: DEVICE, pasid: PASID, hi: 0, lo: 0, access: 1 };
    made.deviceOf(DEVICE).deviceTlb!.requestPages({ ...need, pages: 130 });
    expect(codes(made)).toEqual([1, 0]);
  });

  it("are answered by the host for PASIDs and devices that the guest has not", () => {
    const made = asking();
    const { deviceOf, driver, kernel } = made;
    expect(write(made, PAGE, 34)).not.toBe(0);
    const tlb = deviceOf(DEVICE).deviceTlb!;
    const need = { sourceId: DEVICE, pasid: 34, hi: 0, lo: 0, access: 1, pages: 1 };
    tlb.requestPages(need);
    expect(codes(made)).toEqual([1, 1]);
    const request = { ...need, group: 1, last: true };
    expect(driver.pageRequest(request)).toBe(false);
    expect(driver.pageRequest({ ...request, pasid: PASID, sourceId: 0x0777 })).toBe(false);
    driver.unassign(DEVICE);
    tlb.requestPages({ ...need, pasid: NO_PASID });
    expect(codes(made)).toEqual([1, 1, 1]);
    expect(kernel.pageRequests()).toEqual([]);
    expect(driver.counters.pageRequests).toBe(0);
  });

  it("are answered when the device is taken away, and when the guest's unit is reset", () => {
    for (const what of ["unassign", "close", "reset"] as const) {
      const made = asking();
      const { driver, kernel, router, unit } = made;
      write(made);
      write(made, PAGE + 1, NO_PASID);
      const endpoint = driver.endpoint(DEVICE);
      const requests = kernel.pageRequests();
      expect(requests).toHaveLength(2);
      if (what === "reset") unit.reset();
      else if (what === "close") driver.close();
      else driver.unassign(DEVICE);
      expect(codes(made)).toEqual([1, 1]);
      // the guest's answers come too late
      for (const { group, pasid } of requests) {
        router.respond(VIRTUAL, pasid, group, 0);
        endpoint.respond(VIRTUAL, pasid, group, 0);
      }
      expect(codes(made)).toEqual([1, 1]);
    }
  });

  it("may use their group anew as soon as it is answered", () => {
    const made = asking(PASIDE | DTE);
    const { directory, driver, kernel, physical } = made;
    const request = { pasid: PASID, hi: 0, lo: 0x5000, access: 1, group: 3, last: true };
    const codes: number[] = [];
    physical.pageRequests!.respond = (_sourceId, _pasid, _group, code) => {
      if (codes.push(code) > 1) return true;
      kernel.setScalableContext(VIRTUAL, directory, PASIDE | DTE | PRE);
      return driver.pageRequest({ ...request, sourceId: DEVICE });
    };
    expect(driver.pageRequest({ ...request, sourceId: DEVICE })).toBe(true);
    expect(kernel.pageRequests()).toHaveLength(1);
    expect(codes).toEqual([1]);
    kernel.pageResponse(VIRTUAL, PASID, 3, 0);
    expect(codes).toEqual([1, 0]);
  });

  it("owe nothing to a stop marker", () => {
    const { driver, kernel } = asking();
    const marker = { pasid: PASID, hi: 0, lo: 0, access: 0, group: 3, last: true };
    expect(driver.pageRequest({ ...marker, sourceId: DEVICE })).toBe(true);
    expect(kernel.pageRequests()).toMatchObject([{ group: 3, access: 0 }]);
    driver.unassign(DEVICE);
    expect(driver.counters).toMatchObject({ pageRequests: 1, pageResponses: 0 });
  });

  it("end the guest's device-TLB invalidations, which the endpoint answers", () => {
    const made = asking();
    const { kernel, root } = made;
    kernel.mapFirst(root, PAGE, 0x900);
    expect(write(made)).toBe(0);
    kernel.unmapFirst(root, PAGE);
    kernel.pasidIotlb(5, PASID);
    expect(write(made)).toBe(0);
    expect(kernel.deviceTlb(VIRTUAL, PASID, PAGE)).toBe(true);
    expect(write(made)).toBe(AtcResult.PAGE_REQUESTED);
  });
});

describe("a host without page requests", () => {
  it("refuses a guest's unit that has them", () => {
    const { physical, unit } = guestHost({ profile: PROFILE, physical: PROFILE, assign: false });
    const { capabilities } = unit.profile;
    expect(compareCapabilities(capabilities, physical.info)).toEqual([]);
    const unsaid = { ...physical.info };
    Reflect.deleteProperty(unsaid, "pageRequests");
    for (const without of [unsaid, { ...unsaid, pageRequests: false }]) {
      expect(compareCapabilities(capabilities, without)).toMatchObject([{ capability: "PRS" }]);
    }
  });
});
