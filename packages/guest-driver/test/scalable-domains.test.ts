import { Access } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import type { ProfileOptions } from "@viommu/vtd";
import { describe, expect, it } from "vitest";
import type { DomainOptions, IommuDriver } from "../src/index.ts";
import { thrown } from "./support/code.ts";
import { BUFFERS, GIB, Machine, MIB } from "./support/machine.ts";

const NIC = { sourceId: 0x0010 };
const DISK = { sourceId: 0x00f8 }; // upper half of its bus
const MODE = { mode: "scalable" } as const;
const ENTRY_ABSENT = -FaultReason.PASID_ENTRY_NOT_PRESENT;
const CONTEXT_ABSENT = -FaultReason.SM_CONTEXT_NOT_PRESENT;

function start(profile: ProfileOptions = {}): { machine: Machine; driver: IommuDriver } {
  const machine = new Machine({ units: [{ profile: { scalableMode: true, ...profile } }] });
  return { machine, driver: machine.start(MODE) };
}

describe("domains in scalable mode", () => {
  it("are first-stage where all units have it, as in Linux, and second-stage otherwise", () => {
    const first = { stage: "first", levels: 4, addressWidth: 47, pageLevels: [1, 2, 3] };
    const second = { stage: "second", levels: 4, addressWidth: 48, pageLevels: [1, 2, 3] };
    const formatOf = (profile: ProfileOptions, options: DomainOptions = {}) =>
      start(profile).driver.createDomain(options).format;
    expect(formatOf({})).toEqual(first);
    expect(formatOf({}, { stage: "second" })).toEqual(second);
    expect(formatOf({ firstStage: false })).toEqual(second);
    expect(formatOf({ secondStage: false, addressWidths: [] })).toEqual(first);
    expect(formatOf({ firstStage1GPages: false }).pageLevels).toEqual([1, 2]);
    expect(formatOf({ fiveLevelFirstStage: true })).toMatchObject({ levels: 5, addressWidth: 52 });
  });

  it("of a stage that a unit has not are refused", () => {
    const { driver } = start({ secondStage: false });
    expect(thrown(() => driver.createDomain({ stage: "second" }))).toMatchObject({
      code: "ERR_VIOMMU_DRIVER_DOMAIN",
      message: expect.stringContaining("second-stage") as string,
    });
    const legacy = new Machine().start();
    expect(thrown(() => legacy.attach(NIC, { stage: "first" })).code).toBe(
      "ERR_VIOMMU_DRIVER_DOMAIN",
    );
  });

  describe.each([
    ["first-stage, 4 levels", { firstStage: true }, "first"],
    ["first-stage, 5 levels", { fiveLevelFirstStage: true }, "first"],
    ["second-stage", {}, "second"],
  ] as const)("%s", (_name, profile, stage) => {
    it.each([
      ["4 KiB", 3 * MIB + 0x3000, 4096, 12],
      ["2 MiB", 6 * MIB, 2 * MIB, 21],
      ["1 GiB", 5 * GIB, GIB, 30],
    ])("%s pages: with and without PASID, then unmapped", (_size, target, length, shift) => {
      const { machine, driver } = start(profile);
      driver.setFeatures(NIC, { pasidBits: 20 });
      const domain = driver.attach(NIC, { stage });
      const pasid = driver.allocatePasid();
      driver.attach(NIC, { domain, pasid });
      const iova = domain.map(target, length, Access.READ);
      expect(machine.pageShift(NIC.sourceId, iova)).toBe(shift);
      const last = length - 1;
      expect(machine.dma(NIC.sourceId, iova + last)).toBe(target + last);
      expect(machine.dmaWith(pasid, NIC.sourceId, BigInt(iova + last))).toBe(target + last);
      const denied = -FaultReason.SM_WRITE_DENIED;
      expect(machine.dma(NIC.sourceId, iova, Access.WRITE)).toBe(denied);
      expect(machine.dmaWith(pasid, NIC.sourceId, BigInt(iova), Access.WRITE)).toBe(denied);
      domain.unmap(iova);
      expect(machine.dma(NIC.sourceId, iova + last)).toBeLessThan(0);
      expect(machine.dmaWith(pasid, NIC.sourceId, BigInt(iova + last))).toBeLessThan(0);
    });
  });

  it("by device and PASID: the same address leads elsewhere, and each is taken away by itself", () => {
    const { machine, driver } = start();
    for (const device of [NIC, DISK]) driver.setFeatures(device, { pasidBits: 16 });
    const pasids = [driver.allocatePasid(), driver.allocatePasid(0x8765)];
    const places = [
      { device: NIC, pasid: null },
      ...pasids.map((pasid) => ({ device: NIC, pasid })),
      { device: DISK, pasid: pasids[0]! },
    ];
    const reach = () =>
      places.map(({ device: { sourceId }, pasid }) =>
        pasid === null
          ? machine.dma(sourceId, 0xffff_f000)
          : machine.dmaWith(pasid, sourceId, 0xffff_f000n),
      );
    places.forEach(({ device, pasid }, i) => {
      const domain = driver.attach(device, {
        ...(pasid === null ? {} : { pasid }),
        stage: i % 2 === 0 ? "first" : "second",
      });
      expect(domain.map(BUFFERS + 4096 * i, 4096)).toBe(0xffff_f000);
    });
    const all = places.map((_, i) => BUFFERS + 4096 * i);
    expect(reach()).toEqual(all);
    driver.detach(NIC, pasids[0]);
    expect(reach()).toEqual([all[0], ENTRY_ABSENT, all[2], all[3]]);
    driver.detach(NIC);
    expect(reach()).toEqual([ENTRY_ABSENT, ENTRY_ABSENT, all[2], all[3]]);
    driver.detach(NIC, pasids[1]);
    expect(reach()).toEqual([CONTEXT_ABSENT, CONTEXT_ABSENT, CONTEXT_ABSENT, all[3]]);
  });

  it("share entries of units but nothing else: a device that moves leaves nothing behind", () => {
    const { machine, driver } = start();
    for (const stage of ["first", "second", "first"] as const) {
      const iova = driver.attach(NIC, { stage }).map(BUFFERS, 4096);
      expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
      driver.attach(NIC, { stage });
      expect(machine.dma(NIC.sourceId, iova)).toBeLessThan(0);
    }
  });

  it("give all tables back: those of the domain, and the PASID tables of a device", () => {
    const { driver } = start();
    driver.attach(NIC);
    driver.detach(NIC);
    const { pages } = driver.counters; // the context table stays
    driver.setFeatures(NIC, { pasidBits: 20 });
    const domain = driver.attach(NIC);
    driver.attach(NIC, { domain, pasid: driver.allocatePasid(0xf_ffff) });
    for (const length of [4096, 2 * MIB, GIB, GIB + 4096]) domain.map(GIB, length);
    driver.detach(NIC);
    expect(domain.inUse).toBe(true);
    driver.detach(NIC, 0xf_ffff);
    expect(driver.counters.pages).toBe(pages);
  });

  it("lazy: one flush for all PASIDs", () => {
    const machine = new Machine({ units: [{ profile: { scalableMode: true } }] });
    const driver = machine.start({ ...MODE, unmapping: "lazy" });
    const iova = driver.attach(NIC).map(BUFFERS, 4096);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
    driver.domainOf(NIC)!.unmap(iova);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
    driver.flush();
    expect(machine.dma(NIC.sourceId, iova)).toBe(-FaultReason.FS_NOT_PRESENT);
  });
});

describe("pass-through (PGTT = 100b)", () => {
  it("lets a device's addresses be, and takes that back", () => {
    const { machine, driver } = start();
    driver.passThrough(NIC);
    expect(machine.dma(NIC.sourceId, BUFFERS + 5)).toBe(BUFFERS + 5);
    expect(driver.domainOf(NIC)).toBe(null);
    const iova = driver.attach(NIC).map(BUFFERS, 4096);
    expect(machine.dma(NIC.sourceId, BUFFERS + 5)).toBeLessThan(0);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
    driver.passThrough(NIC);
    driver.detach(NIC);
    expect(machine.dma(NIC.sourceId, BUFFERS)).toBe(CONTEXT_ABSENT);
  });

  it("is refused by a unit without it", () => {
    const { driver } = start({ passThrough: false });
    const act = () => {
      driver.passThrough(NIC);
    };
    expect(thrown(act).code).toBe("ERR_VIOMMU_DRIVER_CAPABILITY");
  });
});

describe("reserved memory (RMRR)", () => {
  it("is mapped to itself in a first-stage domain, too", () => {
    const base = BUFFERS + 8 * MIB;
    const machine = new Machine({
      units: [{ profile: { scalableMode: true } }],
      structures: [
        {
          type: "RMRR",
          segment: 0,
          base,
          limit: base + 0x1fff,
          scopes: [
            {
              type: "PCI_ENDPOINT",
              flags: [],
              enumerationId: 0,
              startBus: 0,
              path: [{ device: 2, function: 0 }],
            },
          ],
        },
      ],
    });
    const driver = machine.start(MODE);
    expect(driver.domainOf(NIC)?.format.stage).toBe("first");
    expect(machine.dma(NIC.sourceId, base + 0x1fff)).toBe(base + 0x1fff);
    expect(machine.dma(NIC.sourceId, base + 0x2000)).toBeLessThan(0);
  });
});

describe("caching mode (CM)", () => {
  it("new entries of devices are invalidated, first-stage pages are not (VT-d 6.1)", () => {
    const { machine, driver } = start({ cachingMode: true });
    const from = machine.tail;
    const first = driver.attach(NIC);
    // device in domain 0; PASID 0 of domain 2, twice
    expect(machine.descriptors(from)).toEqual(["1000000031 0", "20017 0", "20026 0"]);
    const mapped = machine.tail;
    first.map(BUFFERS, 4096);
    expect(machine.descriptors(mapped)).toEqual([]);
    const second = driver.attach(NIC, { stage: "second" });
    const again = machine.tail;
    const iova = second.map(BUFFERS, 4096);
    expect(machine.descriptors(again)).toEqual([`200f2 ${iova.toString(16)}`]);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
  });
});
