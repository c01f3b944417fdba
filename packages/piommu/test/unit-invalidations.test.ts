import { NO_PASID } from "@viommu/plugin";
import type { DeviceSpace } from "@viommu/plugin";
import { TranslationEngine } from "@viommu/translation";
import { describe, expect, it } from "vitest";
import type { PhysicalUnit } from "../src/index.ts";
import { buildFirstStage } from "./support/first-stage.ts";
import { FULL, RW, unitHost } from "./support/unit-host.ts";

const DEVICE = 0x0010;
const METHODS = [
  "invalidateContextDevice",
  "invalidatePasidCachePasid",
  "invalidateIotlbDomain",
  "invalidatePasidIotlb",
] as const;

/** What the driver invalidates from now on: short names and the ids. */
function watch({ dmaRemapper }: PhysicalUnit): string[] {
  if (!(dmaRemapper instanceof TranslationEngine)) throw new Error("another engine");
  const log: string[] = [];
  for (const name of METHODS) {
    const real: (...ids: number[]) => void = dmaRemapper[name].bind(dmaRemapper);
    Object.assign(dmaRemapper, {
      [name]: (...ids: number[]): void => {
        log.push(`${name.slice("invalidate".length)} ${ids.join()}`);
        real(...ids);
      },
    });
  }
  return log;
}

interface Spaces {
  readonly unit: PhysicalUnit;
  readonly second: DeviceSpace;
  readonly nested: DeviceSpace;
  readonly other: DeviceSpace;
}

/** Spaces of the domains 2 (second stage), 3 and 4 (nested). */
function spaces(): Spaces {
  const { memory, unit } = unitHost(FULL);
  const second = unit.createPagingSpace({ frameQuota: 20, nestingParent: true });
  second.map(0, 0, 9, RW);
  const stage = {
    rootFrame: buildFirstStage(memory, 0x100, []),
    levels: 4,
    supervisor: false,
    writeProtect: false,
    extendedAccessed: false,
  } as const;
  const nested = unit.createNestedSpace(second, stage);
  const other = unit.createNestedSpace(second, stage);
  return { unit, second, nested, other };
}

// The engine forgets translations with the last way to them; hardware does not. What a driver has to
// invalidate is seen by its commands alone.
describe("after a change of a PASID entry the driver invalidates (VT-d 6.5.3.3, table 28)", () => {
  it.each([
    ["the last one of its device", [], ["ContextDevice 0,16,0"]],
    ["the last one of its table", [70], []],
    ["one of several in its table", [3], []],
  ] as const)("%s: the PASID-cache, then the pages of PASID or domain", (_name, others, first) => {
    for (const [pick, pasid, pages] of [
      ["nested", 1, "PasidIotlb 3,1"],
      ["nested", NO_PASID, "PasidIotlb 3,0"],
      ["second", 1, "IotlbDomain 2"],
    ] as const) {
      const made = spaces();
      const { unit } = made;
      for (const each of others) unit.attach(DEVICE, each, unit.identity);
      unit.attach(DEVICE, pasid, made[pick]);
      const log = watch(unit);
      unit.attach(DEVICE, pasid, unit.blocking);
      const domain = pick === "nested" ? 3 : 2;
      // a table that is copied is forgotten with all its entries
      const cached = [`PasidCachePasid ${domain},${pasid === NO_PASID ? 0 : pasid}`];
      if (others[0] === 3) cached.unshift("PasidCachePasid 1,3");
      expect(log).toEqual([...first, ...cached, pages]);
    }
  });

  it("one that leads to another space: of the old one", () => {
    const { nested, other, second, unit } = spaces();
    unit.attach(DEVICE, 1, nested);
    const log = watch(unit);
    for (const space of [other, second, nested]) unit.attach(DEVICE, 1, space);
    expect(log).toEqual([
      ...["PasidCachePasid 3,1", "PasidIotlb 3,1"],
      ...["PasidCachePasid 4,1", "PasidIotlb 4,1"],
      ...["PasidCachePasid 2,1", "IotlbDomain 2"],
    ]);
  });
});
