import type { ProfileOptions } from "@viommu/vtd";
import { describe, expect, it } from "vitest";
import type { DeviceFeatures, ProbeOptions } from "../src/index.ts";
import { thrown } from "./support/code.ts";
import { BUFFERS, Machine, PAGES, PAGES_OF_SUCCESSOR, PROCESSES } from "./support/machine.ts";
import { ProcessTable } from "./support/page-table.ts";

const NIC = { sourceId: 0x0010 };
const DISK = { sourceId: 0x0218 };
const GCMD = 0x18;
const MODE = { mode: "scalable" } as const;
const FULL: ProfileOptions = {
  scalableMode: true,
  deviceTlb: true,
  pageRequests: true,
  enhancedSetRootPointer: true,
};

const machineWith = (profile: ProfileOptions) => new Machine({ units: [{ profile }] });

describe("the start of a unit in scalable mode, in the order of Linux", () => {
  it("wide descriptors first, then TTM = 01b, page request queue, events, translation", () => {
    const machine = machineWith(FULL);
    machine.start({
      ...MODE,
      interruptRemapping: false,
      apicMode: "x2apic",
      pageRequestOrder: 0,
      pageRequestEvent: { apicId: 0x123, vector: 0x22 },
      faultEvent: { apicId: 0x123, vector: 0x20 },
    });
    const { base } = PAGES;
    const root = BigInt(base + 0x3000); // after queue and status words
    const pageRequests = BigInt(base + 0x4000);
    expect(machine.writes.filter(([offset]) => offset !== GCMD)).toEqual([
      [0x88, 4, 0n],
      [0x90, 8, BigInt(base) | 0x801n],
      [0x20, 8, root | 0x400n],
      [0xe4, 4, 0x22n],
      [0xe8, 4, 0xfee2_3000n],
      [0xec, 4, 0x100n],
      [0xe0, 4, 0n],
      [0xc0, 8, 0n],
      [0xc8, 8, 0n],
      [0xd0, 8, pageRequests],
      [0x3c, 4, 0x20n],
      [0x40, 4, 0xfee2_3000n],
      [0x44, 4, 0x100n],
      [0x38, 4, 0n],
    ]);
    expect(machine.written(GCMD)).toEqual([0x0400_0000n, 0x4400_0000n, 0x8400_0000n]);
  });

  it("invalidates context, PASID-cache and IOTLB where SRTP does not (ESRTPS = 0)", () => {
    const machine = machineWith({ ...FULL, enhancedSetRootPointer: false });
    machine.start({ ...MODE, interruptRemapping: false });
    expect(machine.descriptors(0)).toEqual(["11 0", "37 0", "d2 0"]);
  });

  it("stops, and starts again with the same tables", () => {
    const machine = machineWith(FULL);
    const driver = machine.start(MODE);
    driver.setFeatures(NIC, { pasidBits: 20 });
    const iova = driver.attach(NIC).map(BUFFERS, 4096);
    const table = ProcessTable.in(machine, PROCESSES);
    table.map(0x5000n, BUFFERS + 4096);
    const pasid = driver.allocatePasid();
    driver.bindProcess(NIC, pasid, table.root);
    const before = machine.writes.length;
    driver.stop();
    expect(machine.writes.slice(before, before + 2)).toEqual([
      [0x38, 4, 0x8000_0000n],
      [0xe0, 4, 0x8000_0000n],
    ]);
    driver.start();
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
    expect(machine.dmaWith(pasid, NIC.sourceId, 0x5000n)).toBe(BUFFERS + 4096);
  });

  it("may be told everything before the start, when there is nothing to invalidate", () => {
    const machine = machineWith(FULL);
    const driver = machine.probe(MODE);
    driver.setFeatures(NIC, { pasidBits: 20, deviceTlb: true, pageRequests: true });
    const domain = driver.attach(NIC);
    const gone = driver.allocatePasid();
    driver.bindProcess(NIC, gone, 0x1000);
    driver.unbindProcess(NIC, gone);
    const iova = domain.map(BUFFERS, 4096);
    expect(machine.writes).toEqual([]);
    driver.start();
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
    expect(machine.dmaWith(gone, NIC.sourceId, 0x1000n)).toBeLessThan(0);
  });

  it("drives a unit without second stage and without widths (SAGAW = 0)", () => {
    const machine = machineWith({ scalableMode: true, secondStage: false, addressWidths: [] });
    const driver = machine.start({ ...MODE, dmaRemapping: true });
    const iova = driver.attach(NIC).map(BUFFERS, 4096);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
  });
});

describe("what a unit lacks is refused by name", () => {
  const refusal = (profile: ProfileOptions, options: Partial<ProbeOptions>) =>
    thrown(() => machineWith(profile).probe(options));

  it("scalable mode itself", () => {
    expect(refusal({}, MODE)).toMatchObject({
      code: "ERR_VIOMMU_DRIVER_CAPABILITY",
      message: expect.stringContaining("ECAP.SMTS") as string,
    });
    // a unit for interrupts alone has no say
    expect(refusal({ addressWidths: [] }, MODE).code).toBe("");
  });

  it.each([-1, 8, 1.5])("a page request queue of order %d", (pageRequestOrder) => {
    expect(refusal(FULL, { ...MODE, pageRequestOrder }).code).toBe("ERR_VIOMMU_DRIVER_MEMORY");
  });

  it.each<[string, ProfileOptions, DeviceFeatures, RegExp]>([
    ["a device-TLB", { scalableMode: true }, { deviceTlb: true }, /ECAP.DT/],
    [
      "page requests",
      { scalableMode: true, deviceTlb: true },
      { deviceTlb: true, pageRequests: true },
      /ECAP.PRS/,
    ],
    ["page requests without device-TLB", FULL, { pageRequests: true }, /give deviceTlb too/],
    ["PASIDs", { scalableMode: true, pasidBits: 0 }, { pasidBits: 8 }, /ECAP.PASID/],
    ["wider PASIDs", FULL, { pasidBits: 21 }, /give 1 to 20/],
    ["no invalidations", FULL, { deviceTlb: true, pendingInvalidations: 0 }, /give 1 to 32/],
  ])("%s", (_name, profile, features, message) => {
    const driver = machineWith(profile).start(MODE);
    const error = thrown(() => {
      driver.setFeatures(NIC, features);
    });
    expect(error.code).toBe("ERR_VIOMMU_DRIVER_CAPABILITY");
    expect(error.message).toMatch(message);
  });

  it("PASIDs, page requests and processes in legacy mode", () => {
    const driver = machineWith(FULL).start();
    const code = (action: () => unknown) => thrown(action).code;
    const features = [{ pasidBits: 20 }, { deviceTlb: true, pageRequests: true }];
    for (const each of features) {
      expect(
        code(() => {
          driver.setFeatures(NIC, each);
        }),
      ).toBe("ERR_VIOMMU_DRIVER_CAPABILITY");
    }
    const pasid = driver.allocatePasid();
    expect(
      code(() => {
        driver.bindProcess(NIC, pasid, 0);
      }),
    ).toBe("ERR_VIOMMU_DRIVER_CAPABILITY");
    expect(code(() => driver.attach(NIC, { pasid }))).toBe("ERR_VIOMMU_DRIVER_CAPABILITY");
    expect(driver.servicePageRequests()).toEqual({ groups: 0, overflow: false });
  });

  it("features are told before a device is used, and hold for all its PASIDs", () => {
    const driver = machineWith(FULL).start(MODE);
    const code = (action: () => unknown) => thrown(action).code;
    const set = () => {
      driver.setFeatures(NIC, { pasidBits: 16 });
    };
    driver.attach(NIC, { deviceTlb: true }); // the only use: it may still say so here
    expect(code(set)).toBe("ERR_VIOMMU_DRIVER_STATE");
    driver.detach(NIC);
    set();
    driver.bindProcess(NIC, driver.allocatePasid(), 0x1000);
    expect(code(() => driver.attach(NIC, { deviceTlb: true }))).toBe("ERR_VIOMMU_DRIVER_STATE");
    driver.attach(NIC);
  });
});

describe("what another driver has left (kexec)", () => {
  /** A guest that crashed in scalable mode. */
  function crashed() {
    const machine = machineWith(FULL);
    const first = machine.start(MODE);
    first.setFeatures(NIC, { pasidBits: 20 });
    const iova = first.attach(NIC).map(BUFFERS, 4096);
    const other = first.attach(DISK, { stage: "second" }).map(BUFFERS + 4096, 4096);
    const table = ProcessTable.in(machine, PROCESSES);
    table.map(0x5000n, BUFFERS);
    const pasid = first.allocatePasid(0x1234);
    first.bindProcess(NIC, pasid, table.root);
    const reach = () => [
      machine.dma(NIC.sourceId, iova),
      machine.dma(DISK.sourceId, other),
      machine.dmaWith(pasid, NIC.sourceId, 0x5000n),
    ];
    expect(reach()).toEqual([BUFFERS, BUFFERS + 4096, BUFFERS]);
    machine.writes.length = 0;
    const successor = (options: Partial<ProbeOptions>) =>
      machine.start({ pages: PAGES_OF_SUCCESSOR, ...options });
    return { machine, reach, successor };
  }

  it("is taken over without a gap, device by device, and ids in use are not given out", () => {
    const { machine, reach, successor } = crashed();
    const driver = successor({ ...MODE, predecessor: "take-over" });
    expect(reach()).toEqual([BUFFERS, BUFFERS + 4096, BUFFERS]);
    const domain = driver.attach(DISK);
    const iova = domain.map(BUFFERS + 8192, 4096);
    expect(machine.dma(DISK.sourceId, iova)).toBe(BUFFERS + 8192);
    expect(reach()[0]).toBe(BUFFERS);
    // 2 and 3 are the predecessor's
    expect(domain.layout).toContain("dmar0 4:");
    driver.detach(NIC);
    expect(reach()[0]).toBeLessThan(0);
    expect(reach()[2]).toBeLessThan(0);
  });

  it.each([
    ["the other mode", { predecessor: "take-over" }],
    ["a driver that doesn't want it", MODE],
  ] as const)("is switched off by %s", (_name, options) => {
    const { machine, reach, successor } = crashed();
    successor(options);
    expect(machine.written(GCMD).some((value) => value >> 31n === 0n)).toBe(true);
    expect(reach().every((result) => result < 0)).toBe(true);
  });
});
