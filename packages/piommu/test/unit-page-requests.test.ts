import { NO_PASID } from "@viommu/plugin";
import type { PageRequest } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { createPhysicalDevice } from "../src/index.ts";
import { UnitPageRequests } from "../src/unit/page-requests.ts";
import { FULL, LEGACY, unitHost } from "./support/unit-host.ts";

const DEVICE = 0x0123;
const REQUEST: PageRequest = {
  sourceId: DEVICE,
  pasid: 7,
  hi: 0,
  lo: 0x5000,
  access: 1,
  group: 3,
  last: true,
};

describe("groups of page requests (VT-d 7.6.1)", () => {
  function groups(): { requests: UnitPageRequests; answers: string[]; told: PageRequest[] } {
    const answers: string[] = [];
    const told: PageRequest[] = [];
    const requests = new UnitPageRequests({
      admits: () => true,
      answer: (...what) => answers.push(what.join()),
    });
    requests.listener = (request) => told.push(request) > 0;
    return { requests, answers, told };
  }

  it("are answered once, and not before their last request", () => {
    const { answers, requests, told } = groups();
    requests.accept({ ...REQUEST, last: false });
    expect(requests.respond(DEVICE, 7, 3, 0)).toBe(false);
    requests.accept(REQUEST);
    expect(told).toHaveLength(2);
    expect(requests.respond(DEVICE, 7, 3, 0)).toBe(true);
    expect(requests.respond(DEVICE, 7, 3, 0)).toBe(false);
    expect(answers).toEqual([`${DEVICE},7,3,0`]);
  });

  it("end, both of them, when a device uses an index twice", () => {
    const { answers, requests, told } = groups();
    requests.accept(REQUEST);
    requests.accept({ ...REQUEST, lo: 0x6000, last: false });
    requests.accept({ ...REQUEST, pasid: 8 });
    expect(told).toHaveLength(1);
    expect(answers).toEqual([`${DEVICE},8,3,1`]);
    expect(requests.respond(DEVICE, 7, 3, 0)).toBe(false);
    requests.accept({ ...REQUEST, sourceId: DEVICE + 1 });
    expect(told).toHaveLength(2);
  });

  it("owe no answer to a stop marker", () => {
    const { answers, requests, told } = groups();
    const marker = { ...REQUEST, access: 0 };
    requests.accept(marker);
    requests.listener = () => false;
    requests.accept(marker);
    expect([told.length, answers.length]).toEqual([1, 0]);
    expect(requests.respond(DEVICE, 7, 3, 0)).toBe(false);
  });
});

describe("a unit's page requests", () => {
  it("are missing in legacy mode, and without ECAP.PRS", () => {
    for (const { unit } of [unitHost(LEGACY), unitHost(FULL)]) {
      expect(unit.pageRequests).toBeUndefined();
      expect(unit.info.pageRequests).toBe(false);
    }
  });

  it("come from nobody with a PASID that is not attached", () => {
    const profile = { ...FULL, deviceTlb: true, pageRequests: true };
    const devices = [{ sourceId: DEVICE, ats: true, pri: true }];
    const { unit } = unitHost(profile, { devices });
    const told: number[] = [];
    unit.pageRequests!.listener = ({ pasid }) => told.push(pasid) > 0;
    const tlb = createPhysicalDevice(unit, DEVICE, { deviceTlb: { pageRequests: {} } }).deviceTlb!;
    unit.attach(DEVICE, 7, unit.createPagingSpace({ frameQuota: 8 }));
    for (const pasid of [NO_PASID, 7, 8]) tlb.requestPages({ ...REQUEST, pasid, pages: 1 });
    expect(told).toEqual([7]);
    expect(tlb.pending.groups).toBe(1);
  });

  it.each([
    ["the host has not been told of", { ats: true }],
    ["can't translate itself", { pri: true }],
  ])("come from no device that %s", (_what, abilities) => {
    const profile = { ...FULL, deviceTlb: true, pageRequests: true };
    const { unit } = unitHost(profile, { devices: [{ sourceId: DEVICE, ...abilities }] });
    let told = 0;
    unit.pageRequests!.listener = () => (told += 1) > 0;
    const codes: number[] = [];
    const pageRequests = { answered: ({ code }: { code: number }) => void codes.push(code) };
    const device = createPhysicalDevice(unit, DEVICE, { deviceTlb: { pageRequests } });
    unit.attach(DEVICE, NO_PASID, unit.createPagingSpace({ frameQuota: 8 }));
    const tlb = device.deviceTlb!;
    expect(tlb.pageRequestsEnabled).toBe(false);
    tlb.pageRequestsEnabled = true; // it asks all the same
    tlb.requestPages({ ...REQUEST, pasid: NO_PASID, pages: 1 });
    expect([told, codes]).toEqual([0, [1]]);
  });
});
