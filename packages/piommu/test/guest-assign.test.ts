import { MapFlag } from "@viommu/plugin";
import { createProfile } from "@viommu/vtd";
import type { ProfileOptions } from "@viommu/vtd";
import { describe, expect, it } from "vitest";
import { compareCapabilities } from "../src/index.ts";
import { DEVICE, guestHost, OFFSET, reach, VIRTUAL } from "./support/guest-host.ts";
import { GuestKernel } from "./support/guest-kernel.ts";

const refused = (code: string): unknown => expect.objectContaining({ code }) as unknown;

function mismatches(guest: ProfileOptions, physical: ProfileOptions): string[] {
  const { physical: host } = guestHost({ physical, assign: false });
  const { capabilities } = createProfile(guest);
  return compareCapabilities(capabilities, host.info).map(({ capability }) => capability);
}

describe("capabilities of a guest's unit", () => {
  it("that the host has are no reason to refuse a device", () => {
    expect(mismatches({ cachingMode: true }, {})).toEqual([]);
    expect(mismatches({ cachingMode: true, scalableMode: true }, { scalableMode: true })).toEqual(
      [],
    );
    // for interrupts alone, nothing has to be shadowed
    expect(mismatches({ addressWidths: [] }, {})).toEqual([]);
  });

  it("are compared one by one", () => {
    expect(mismatches({}, {})).toEqual(["CM"]);
    const rich = {
      cachingMode: true,
      scalableMode: true,
      addressWidths: [39, 48, 57],
      protectedMemory: true,
      secondStageAccessedDirty: true,
      postedInterrupts: true,
      memoryTypes: true,
      deviceTlb: true,
      hostPermissionTables: true,
    } as const;
    expect(mismatches(rich, { snoopControl: false, eim: false })).toEqual([
      "inputWidth",
      "SC",
      "DT",
      "EIM",
      "PASID",
      "FSTS",
      "FS1GP",
      "nesting",
      "PLMR",
      "PHMR",
      "SSADS",
      "PI",
      "MTS",
      "HPTS",
    ]);
    const narrow = { scalableMode: true, pasidBits: 8 };
    expect(mismatches({ cachingMode: true, scalableMode: true }, narrow)).toEqual(["PSS"]);
  });

  it("stand all in the message of a refusal", () => {
    const made = guestHost({
      profile: { cachingMode: false },
      physical: { eim: false },
      assign: false,
    });
    const assign = (): void => {
      made.driver.assign({ sourceId: DEVICE, virtualSourceId: VIRTUAL, unit: made.unit });
    };
    expect(assign).toThrow(/- CM: the unit says 0, the host has 0 .*\n- EIM: /);
    expect(assign).toThrow(refused("ERR_VIOMMU_CAPABILITY_MISMATCH"));
    expect(made.driver.devices).toEqual([]);
  });
});

describe("assigning a device", () => {
  it("is refused where it can't be, and changes nothing", () => {
    const { driver, physical, unit } = guestHost();
    const other = guestHost().unit;
    const first = { sourceId: DEVICE, virtualSourceId: VIRTUAL, unit };
    for (const bad of [
      first,
      { ...first, sourceId: 0x400 },
      { ...first, sourceId: 0x400, virtualSourceId: 0x20, aliases: [DEVICE] },
      { ...first, sourceId: 0x400, virtualSourceId: 0x20, unit: other },
    ]) {
      expect(() => {
        driver.assign(bad);
      }).toThrow(refused("ERR_VIOMMU_ASSIGN"));
    }
    physical.attach(0x500, -1, physical.identity);
    expect(() => {
      driver.assign({ ...first, sourceId: 0x500, virtualSourceId: 0x20 });
    }).toThrow(refused("ERR_VIOMMU_ASSIGN"));
    expect(() => driver.unassign(0x600)).toThrow(refused("ERR_VIOMMU_ASSIGN"));
    expect(driver.devices).toEqual([DEVICE]);
  });

  it("ends in quarantine", () => {
    const { driver, physical } = guestHost();
    const ticket = physical.dmaRemapper.enter();
    let isReleased = false;
    expect(driver.unassign(DEVICE, () => void (isReleased = true))).toBe(false);
    expect(reach(physical, DEVICE, 5)).toBe(-1);
    expect(isReleased).toBe(false);
    physical.dmaRemapper.leave(ticket);
    expect(isReleased).toBe(true);
  });

  it("takes phantom functions and aliases along, and knows their faults", () => {
    const { driver, physical, unit, hostFaults } = guestHost({
      assign: false,
      unit: { devices: [{ sourceId: DEVICE, aliases: [0x301, 0x302] }] },
    });
    driver.assign({ sourceId: DEVICE, virtualSourceId: VIRTUAL, unit, aliases: [0x301, 0x302] });
    expect([0x300, 0x301, 0x302].map((id) => reach(physical, id, 5))).toEqual(
      [5, 5, 5].map((gfn) => gfn + OFFSET),
    );
    reach(physical, 0x302, 0x5000);
    expect(hostFaults).toMatchObject([{ sourceId: 0x302 }]);
    driver.unassign(DEVICE);
    expect(reach(physical, 0x301, 5)).toBe(-1);
  });

  it("needs its reserved regions one to one, and keeps them so", () => {
    const { driver, p2m, physical, unit } = guestHost({
      assign: false,
      unit: { devices: [{ sourceId: DEVICE, direct: [{ dfn: 0x1800, frames: 2 }] }] },
    });
    const assignment = { sourceId: DEVICE, virtualSourceId: VIRTUAL, unit };
    expect(() => {
      driver.assign(assignment);
    }).toThrow(refused("ERR_VIOMMU_P2M"));
    expect(driver.devices).toEqual([]);
    p2m.map(0x1800, 0x1800, 2, "ram");
    driver.assign(assignment);
    expect(reach(physical, DEVICE, 0x1801)).toBe(0x1801);
    expect(() => p2m.unmap(0x1801, 1)).toThrow(refused("ERR_VIOMMU_P2M"));
    driver.unassign(DEVICE);
    expect(p2m.unmap(0x1801, 1)).toBe(true);
  });

  it("blocks a device whose guest leaves a reserved region out of its tables", () => {
    const { driver, kernel, physical, root } = withReserved();
    kernel.setTranslation(true);
    expect(reach(physical, DEVICE, 3)).toBe(-1);
    expect(driver.counters.quotaHits).toBe(1);
    kernel.map(root, 0x1800, 0x1800);
    kernel.iotlbDomain(5);
    expect(reach(physical, DEVICE, 3)).toBe(7 + OFFSET);
  });
});

function withReserved() {
  const made = guestHost({
    assign: false,
    unit: { devices: [{ sourceId: DEVICE, direct: [{ dfn: 0x1800, frames: 1 }] }] },
  });
  made.p2m.map(0x1800, 0x1800, 1, "ram");
  made.driver.assign({ sourceId: DEVICE, virtualSourceId: VIRTUAL, unit: made.unit });
  const kernel = new GuestKernel(made.memory, made.unit);
  const root = kernel.table();
  kernel.map(root, 3, 7);
  kernel.setContext(VIRTUAL, root, 5);
  return { ...made, kernel, root };
}

describe("types of guest frames", () => {
  it("decide what devices may do", () => {
    const frames = { ram: 3, "read-only": 1, "log-dirty": 1, mmio: 0, foreign: 0 } as const;
    for (const [type, rights] of Object.entries(frames)) {
      const { p2m, physical } = guestHost();
      p2m.setType(0x800, 1, type as keyof typeof frames);
      expect(reach(physical, DEVICE, 0x800, 1) >= 0, `${type} read`).toBe((rights & 1) !== 0);
      expect(reach(physical, DEVICE, 0x800, 2) >= 0, `${type} write`).toBe((rights & 2) !== 0);
    }
  });

  it("open MMIO to DMA, uncached, where the host says so", () => {
    const { driver, p2m } = guestHost({ p2m: { dmaToMmio: true } });
    p2m.map(0x5000, 0x3f00, 1, "mmio");
    const mapping = { mfn: 0, order: 0, flags: 0 };
    expect(driver.main.lookup(0x5000, mapping)).toBe(true);
    expect(mapping).toEqual({ mfn: 0x3f00, order: 0, flags: MapFlag.READ | MapFlag.WRITE });
    driver.main.lookup(0x800, mapping);
    expect(mapping.flags & MapFlag.SNOOP).toBe(MapFlag.SNOOP);
  });
});
