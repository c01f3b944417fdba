import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { pagingReports } from "../src/paging-report.ts";
import type { RunReport } from "../src/run-report.ts";
import { command, withFolder } from "./command.ts";
import type { Change } from "./guests.ts";
import { bootScalable, finished, PERMISSIONS, scalable } from "./scalable-guests.ts";

const GUEST = fileURLToPath(new URL("../guests/scalable.yaml", import.meta.url));

/** What is told of the accelerator of a small guest, after a run without problems. */
function pagingOf(...changes: readonly Change[]) {
  const { guest } = bootScalable(...changes);
  expect(finished(guest)).toEqual([]);
  expect(guest.blocked).toEqual([]);
  expect(guest.kernel.faults).toEqual([]);
  return { ...pagingReports(guest.kernel)[0]!, driver: guest.kernel.iommu!.counters };
}

describe("guests/scalable.yaml", () => {
  it("faults in more than 10,000 pages, under overflow and the ends of processes; all bytes are right", async () => {
    const { code, out } = await command("run", GUEST, "--json");
    const report = JSON.parse(out) as RunReport;
    expect(code).toBe(0);
    expect(report).toMatchObject({ ok: true, faults: { count: 0 }, problems: { count: 0 } });
    const { driver, paging } = report;
    const sum = (member: (one: RunReport["paging"][number]) => number): number =>
      paging.reduce((total, one) => total + member(one), 0);
    expect(sum(({ pages }) => pages.broughtIn)).toBeGreaterThan(10_000);
    // what reached a queue was taken, and what was lost was asked for again
    expect(sum(({ device }) => device.queued)).toBe(driver!.pageRequests);
    expect(sum(({ device }) => device.groups)).toBe(
      sum(({ device }) => device.succeeded + device.refused),
    );
    expect(driver!.pageRequestOverflows).toBeGreaterThan(20);
    expect(sum(({ device }) => device.overflowed)).toBeGreaterThan(100);
    for (const { processes, bound, unbound, copies, pages, device } of paging) {
      expect(bound - unbound).toBe(processes);
      expect(unbound).toBeGreaterThan(3);
      expect(copies.cutShort).toBeGreaterThan(3);
      expect(pages.reclaimed).toBeGreaterThan(1000);
      expect(pages.stored).toBeGreaterThan(10);
      expect(device.hits).toBeGreaterThan(1000);
      expect(device.misses).toBeGreaterThan(1000);
      expect(device.invalidations).toBeGreaterThan(pages.reclaimed);
    }
  });
});

describe("domains of devices", () => {
  it("are what the configuration asks for; first-stage where it asks for nothing", () => {
    const { guest } = bootScalable();
    const { iommu, devices } = guest.kernel;
    const stages = devices.map(
      ({ device }) => iommu!.domainOf(device.config.address)?.format.stage,
    );
    expect(stages).toEqual(["first", "first", "second", undefined]);
  });
});

describe("pages of processes", () => {
  it("come once, where there are frames for all of them and nobody ends", () => {
    const { pages, bound, unbound, copies, driver } = pagingOf(
      ["frames: 96", "frames: 4096"],
      ["lifetime: 400", "lifetime: 0"],
    );
    expect(pages).toMatchObject({ broughtBack: 0, reclaimed: 0, stored: 0 });
    expect({ bound, unbound, cutShort: copies.cutShort }).toEqual({
      ...{ bound: 3, unbound: 0, cutShort: 0 },
    });
    expect(driver.refused).toBe(0);
  });

  it("come back after they were taken away, with what was written to them", () => {
    const { pages } = pagingOf(["frames: 96", "frames: 64"], ["vectors: 4", "vectors: 16"]);
    expect(pages.reclaimed).toBeGreaterThan(1000);
    expect(pages.stored).toBeGreaterThan(50);
    expect(pages.broughtBack).toBeGreaterThan(10);
  });

  it("are asked for again when the queue was full", () => {
    const { device, driver } = pagingOf(["vectors: 4", "vectors: 16"]);
    expect(device.overflowed).toBeGreaterThan(100);
    expect(driver.pageRequestOverflows).toBeGreaterThan(5);
    expect(device.queued).toBe(driver.pageRequests);
  });

  it("are reached through a second stage below, too", () => {
    const { pages, unbound } = pagingOf(
      ["vectors: 4\n", "vectors: 4\n    domain: second-stage\n"],
      ["translations: 64", "translations: 64, nested: true"],
    );
    expect(pages.reclaimed).toBeGreaterThan(500);
    expect(unbound).toBeGreaterThan(3);
  });

  it.each([1, 2, 3])("whatever the seed: %i", (seed) => {
    expect(pagingOf(["seed: 7", `seed: ${seed}`]).copies.done).toBeGreaterThan(100);
  });

  it("the same seed gives the same run", () => {
    expect(pagingOf()).toEqual(pagingOf());
  });
});

describe("host permissions", () => {
  /** What is told of a run in which the accelerator forges translated requests. */
  function forgedIn(...changes: readonly Change[]) {
    const { guest, device } = bootScalable(...PERMISSIONS, ...changes);
    expect(finished(guest)).toEqual([]);
    expect(guest.blocked).toEqual([]);
    const { faults } = guest.kernel;
    const { sourceId } = device.config.address;
    expect(faults.length).toBeGreaterThan(0);
    expect(faults.every((fault) => fault.sourceId === sourceId)).toBe(true);
    const names = new Set(faults.map(({ name }) => name));
    expect([...names].sort()).toEqual(["HPT_READ_DENIED", "HPT_WRITE_DENIED"]);
    return pagingReports(guest.kernel)[0]!;
  }

  it.each<[string, readonly Change[]]>([
    ["of processes, as the kernel tells them", []],
    [
      "without pages of 1 GiB",
      [["hostPermissionTables: true", "hostPermissionTables: true, hostPermission1GPages: false"]],
    ],
    [
      "of the domain below processes",
      [
        ["vectors: 4\n", "vectors: 4\n    domain: second-stage\n"],
        ["translations: 64", "translations: 64, nested: true"],
      ],
    ],
  ])("%s: what is mapped gets through, what is forged does not", (_name, changes) => {
    const { device, pages, unbound } = forgedIn(...changes);
    expect(device.translated).toBeGreaterThan(1000);
    expect(device.forgedBlocked).toBeGreaterThan(10);
    expect(device.forged - device.forgedBlocked).toBeGreaterThan(3);
    // under the ends of processes, and while pages come and go
    expect(unbound).toBeGreaterThan(3);
    expect(pages.reclaimed).toBeGreaterThan(500);
  });

  it("are not asked for by a guest that does not want them", () => {
    const { device, hostPermissions } = pagingOf();
    expect(hostPermissions).toBe(false);
    expect(device).toMatchObject({ forged: 0, forgedBlocked: 0 });
  });
});

describe("the report", () => {
  it("tells people of processes, pages, page requests and the device-TLB", async () => {
    await withFolder(async (folder) => {
      const file = join(folder, "guest.yaml");
      writeFileSync(file, scalable(...PERMISSIONS));
      const { out } = await command("run", file);
      const text = out.replaceAll(/\n {2}(?=[a-z])/g, " ");
      for (const line of [
        /accel0: 3 processes at a time, \d+ PASIDs bound, \d+ unbound; [\d,]+ copies, \d+ cut short/,
        /accel0: [\d,]+ pages brought in, [\d,]+ of them back; [\d,]+ taken away, [\d,]+ of/,
        /accel0: [\d,]+ page requests in [\d,]+ groups, [\d,]+ lost as the queue was full; answ/,
        /accel0: host permissions: [\d,]+ translated requests let through;/,
        /;\s+[\d,]+\s+forged,\s+[\d,]+\s+of\s+them\s+blocked,\s+[\d,]+\s+for pages/,
        /accel0: device-TLB: [\d,]+ hits \(\d+ %\), [\d,]+ misses, [\d,]+ invalidations/,
      ]) {
        expect(text).toMatch(line);
      }
    });
  });
});

describe("what goes wrong is noticed", () => {
  it("units and devices that go on using pages which were taken away", () => {
    const { guest, driver } = bootScalable(["lifetime: 400", "lifetime: 0"]);
    guest.kernel.iommu!.invalidateRange = () => undefined;
    expect(finished(guest)).toContainEqual(
      expect.stringMatching(/page \d+ of a copy of \d+ bytes is wrong/),
    );
    expect(driver.settle()).toMatch(/^\d+ page frames were written to after they had been taken/);
  });

  it("permissions that are not taken back, and those that are not given", () => {
    const text = (guest: ReturnType<typeof bootScalable>["guest"]) => finished(guest).join("\n");
    const { guest } = bootScalable(...PERMISSIONS);
    guest.kernel.iommu!.forbidPages = () => undefined;
    expect(text(guest)).toMatch(
      /accel0 forged a translated \w+ of 0x\w+: the answer is 0h instead of a/,
    );
    const other = bootScalable(...PERMISSIONS);
    other.guest.kernel.iommu!.permitPages = () => undefined;
    other.guest.kernel.iommu!.forbidPages = () => undefined;
    expect(text(other.guest)).toMatch(/a copy has status 2 instead of "done"/);
    expect(other.guest.blocked[0]?.name).toBe("HPT_READ_DENIED");
  });

  it("a device that goes on after its process has ended", () => {
    const { guest } = bootScalable(["frames: 96", "frames: 2048"]);
    guest.kernel.iommu!.endProcess = () => undefined;
    expect(finished(guest)).not.toEqual([]);
  });

  it("answers to page requests that never come", () => {
    const { guest, device } = bootScalable();
    guest.kernel.iommu!.servicePageRequests = () => ({ groups: 0, overflow: false });
    expect(finished(guest)).toContainEqual(
      expect.stringMatching(/^accel0 sent \d+ groups of page/),
    );
    expect(device.access.outstanding).toBeGreaterThan(0);
  });

  it("page requests that are in the queue and nobody has made", () => {
    const { guest, device } = bootScalable();
    const { sourceId } = device.config.address;
    guest.workload.run(1000);
    guest.machine.units[0]!.pageRequest({
      ...{ sourceId, pasid: 1, access: 1, hi: 0, lo: 0, group: 511, last: true },
    });
    expect(finished(guest)).toContainEqual(expect.stringMatching(/page requests were queued, and/));
  });
});
