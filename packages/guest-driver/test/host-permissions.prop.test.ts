import { Access, AddressType, DmaRequest, hiFromNumber, loFromNumber } from "@viommu/plugin";
import type { ProfileOptions } from "@viommu/vtd";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Domain, TableMode } from "../src/index.ts";
import { BUFFERS, Machine, PROCESSES } from "./support/machine.ts";
import { ProcessTable } from "./support/page-table.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_124);
const MODE: TableMode = "scalable";
const DEVICES = [0x0010, 0x0018].map((sourceId) => ({ sourceId }));
const READ_WRITE = Access.READ | Access.WRITE;
/** Pages around borders of 2 MiB, near and far. */
const PAGES = [0, 1, 2, 511, 512, 513, 1024, 1535, 0x4_0000 - 1, 0x4_0000, 0x4_0001].map(
  (page) => BUFFERS / 4096 + page,
);

/** Why a device may reach pages. */
interface Reason {
  readonly page: number;
  readonly count: number;
  readonly access: number;
}

interface Mapping extends Reason {
  readonly iova: number;
}

const access = fc.constantFrom(Access.READ, Access.WRITE, READ_WRITE);
const pages = fc.record({
  page: fc.constantFrom(...PAGES),
  count: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.constantFrom(512, 1024, 1536)),
  access,
});
const which = fc.nat(1000);
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant("map" as const), which, pages }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("unmap" as const), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("permit" as const), pages }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("forbid" as const), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("bind" as const), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("move" as const), which }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function translated(machine: Machine, sourceId: number, page: number, need: number): boolean {
  const request = new DmaRequest();
  request.sourceId = sourceId;
  request.addressType = AddressType.TRANSLATED;
  request.access = need;
  request.hi = hiFromNumber(page * 4096);
  request.lo = loFromNumber(page * 4096);
  return machine.unit.dma.translate(request) === 0;
}

/** Two devices, two domains to be in, and one process to be bound to: each as steps have it. */
function run(profile: ProfileOptions, steps: readonly Step[]): void {
  const machine = new Machine({
    units: [
      {
        profile: { scalableMode: true, deviceTlb: true, hostPermissionTables: true, ...profile },
        settings: { deviceTlb: { invalidate: () => "done" } },
      },
    ],
  });
  const driver = machine.start({ interruptEntries: 256, mode: MODE });
  const spaces = [0, 1].map(() => ({ domain: driver.createDomain(), live: [] as Mapping[] }));
  const process: Reason[] = [];
  const pasid = driver.allocatePasid();
  const { root } = ProcessTable.in(machine, PROCESSES);
  const devices = DEVICES.map((device) => {
    driver.setFeatures(device, { deviceTlb: true, hostPermissions: true, pasidBits: 8 });
    return { device, domain: null as Domain | null, bound: false };
  });
  const readable = spaces[0]!.domain.format.stage === "first" ? Access.READ : 0;

  const take = <T>(list: T[], at: number): T | undefined =>
    list.splice(at % (list.length + 1), 1)[0];
  const unbind = (one: (typeof devices)[number]): void => {
    if (one.bound) driver.unbindProcess(one.device, pasid);
    one.bound = false;
    // the process goes with its last device
    if (!devices.some(({ bound }) => bound)) process.length = 0;
  };
  const carryOut = (action: Step): void => {
    const one = devices["which" in action ? action.which % devices.length : 0]!;
    switch (action.do) {
      case "map": {
        const space = spaces[action.which % spaces.length]!;
        const { page, count } = action.pages;
        const iova = space.domain.map(page * 4096, count * 4096, action.pages.access);
        space.live.push({ iova, page, count, access: action.pages.access | readable });
        break;
      }
      case "unmap": {
        const space = spaces[action.which % spaces.length]!;
        const gone = take(space.live, action.which >> 1);
        if (gone !== undefined) space.domain.unmap(gone.iova);
        break;
      }
      case "permit": {
        const { page, count } = action.pages;
        if (!devices.some(({ bound }) => bound)) break;
        driver.permitPages(pasid, page * 4096, count, action.pages.access);
        process.push(action.pages);
        break;
      }
      case "forbid": {
        const gone = take(process, action.which);
        if (gone !== undefined)
          driver.forbidPages(pasid, gone.page * 4096, gone.count, gone.access);
        break;
      }
      case "bind": {
        if (one.bound) unbind(one);
        else if (one.domain !== null) {
          driver.bindProcess(one.device, pasid, root);
          one.bound = true;
        }
        break;
      }
      case "move": {
        unbind(one);
        const at = (action.which >> 1) % (spaces.length + 1);
        one.domain = spaces[at]?.domain ?? null;
        if (one.domain === null) driver.detach(one.device);
        else driver.attach(one.device, { domain: one.domain });
      }
    }
  };
  const check = (): void => {
    for (const { device, domain, bound } of devices) {
      const mappings = spaces.find((space) => space.domain === domain)?.live ?? [];
      const reasons = [...mappings, ...(bound ? process : [])];
      for (const page of PAGES) {
        const rights = reasons
          .filter((reason) => page >= reason.page && page < reason.page + reason.count)
          .reduce((all, reason) => all | reason.access, 0);
        for (const need of [Access.READ, Access.WRITE]) {
          expect(translated(machine, device.sourceId, page, need)).toBe((rights & need) !== 0);
        }
      }
    }
  };
  for (const action of steps) {
    carryOut(action);
    check();
  }
  for (const space of spaces) for (const { iova } of space.live.splice(0)) space.domain.unmap(iova);
  for (const one of devices) unbind(one);
  check();
  const { permissions } = driver.save().units[0]!;
  expect(permissions.devices.flatMap(([, counts]) => counts)).toEqual([]);
}

describe("a device reaches by translated requests what there is a reason for, and nothing else", () => {
  it.each<[string, ProfileOptions]>([
    ["a unit of today", {}],
    ["without pages of 1 GiB", { hostPermission1GPages: false }],
    ["second stage, caching mode", { firstStage: false, cachingMode: true }],
  ])("%s", (_name, profile) => {
    const usable = profile.firstStage === false ? steps(["bind"]) : steps([]);
    fc.assert(
      fc.property(fc.array(usable, { minLength: 10, maxLength: 60 }), (all) => {
        run(profile, all);
      }),
      { seed, numRuns: 25 },
    );
  });
});

/** Steps without some kinds: a process needs a first stage. */
function steps(without: readonly Step["do"][]): fc.Arbitrary<Step> {
  return step.filter((one) => !without.includes(one.do));
}
