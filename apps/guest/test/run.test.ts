import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { RunReport } from "../src/run-report.ts";
import { command, withFolder } from "./command.ts";
import { changed } from "./guests.ts";

async function runJson(...args: string[]): Promise<{ code: number | null; report: RunReport }> {
  const { code, out, err } = await command("run", "--json", ...args);
  expect(err).toBe("");
  expect(out.trim().split("\n")).toHaveLength(1);
  return { code, report: JSON.parse(out) as RunReport };
}

/** Runs a guest in the text of its configuration. */
async function runText(text: string, ...args: string[]): Promise<RunReport> {
  let found: RunReport | null = null;
  await withFolder(async (folder) => {
    const file = join(folder, "guest.yaml");
    writeFileSync(file, text);
    found = (await runJson(file, ...args)).report;
  });
  return found!;
}

const NO_UNITS = [
  `units:
  - name: dmar0
    base: 0xfed90000
    includeAll: true
    scope: [ioapic0]
    options: { eim: true }
`,
  "",
] as const;

describe("the reference guest", () => {
  it("has 288 vCPUs, and every interrupt and byte is right", async () => {
    const { code, report } = await runJson();
    expect(code).toBe(0);
    expect(report).toMatchObject({
      ok: true,
      name: "reference",
      vcpus: { count: 288, highestApicId: 287, apicMode: "x2apic" },
      interrupts: { sent: 20_000, delivered: 20_000, served: 20_000, moved: 2000 },
      faults: { count: 0 },
      problems: { count: 0 },
    });
    expect(report.vcpus.above254.vcpus).toBe(33);
    expect(report.vcpus.above254.interrupts).toBeGreaterThan(1000);
    expect(report.units).toHaveLength(2);
    for (const unit of report.units) {
      expect(unit).toMatchObject({ dmaRemapping: true, interruptRemapping: true, faults: 0 });
      expect(unit.walks).toBeGreaterThan(1000);
    }
    expect(report.devices).toHaveLength(9);
    for (const device of report.devices) expect(device.interrupts).toBeGreaterThan(100);
    expect(report.transfers.done).toBeGreaterThanOrEqual(20_000);
  });

  it("takes other numbers of vCPUs", async () => {
    const { report } = await runJson("--vcpus", "1000");
    expect(report).toMatchObject({ ok: true, vcpus: { count: 1000, highestApicId: 999 } });
  });
});

describe("seeds", () => {
  const stable = (report: RunReport): unknown => ({ ...report, time: null, memory: null });

  it("the same seed gives the same run, another one another run", async () => {
    const first = await runText(changed());
    expect(stable(await runText(changed()))).toEqual(stable(first));
    const other = await runText(changed(), "--seed", "8");
    expect(other.ok).toBe(true);
    expect(other.digest).not.toBe(first.digest);
    expect(other.seed).toBe(8);
  });
});

describe("kinds of guests", () => {
  it.each<[string, string]>([
    ["without a unit, up to APIC id 254", changed(NO_UNITS, ["count: 4", "count: 255"])],
    [
      "without a unit, with extended destination ids",
      changed(NO_UNITS, ["count: 4", "count: 600, extendedDestinationId: true"]),
    ],
    [
      "without a unit, levels on several pins",
      changed(
        NO_UNITS,
        ["vectors: 2", "pin: { ioapic: ioapic0, number: 7, trigger: level }"],
        ["number: 5", "number: 6, trigger: level"],
      ),
    ],
    [
      "in xAPIC mode",
      changed(["count: 4", "count: 255, apicMode: xapic"], ["eim: true", "eim: false"]),
    ],
    [
      "with a level-triggered pin",
      changed(["vectors: 2", "pin: { ioapic: ioapic0, number: 7, trigger: level }"]),
    ],
    ["that unmaps lazily", changed(["seed: 7", "seed: 7, unmapping: lazy"])],
    ["with caching mode", changed(["eim: true", "cachingMode: true"])],
    ["with one descriptor for each access", changed(["options:", "queueBudget: 1\n    options:"])],
    ["with tables of 5 levels", changed(["eim: true", "addressWidths: [57]"])],
    [
      "without large pages and with a small IOTLB",
      changed(["options: { eim: true }", 'options: { pageSizes: ["4K"] }\n    iotlbSlots: 16']),
    ],
    ["with register-based invalidation", changed(["eim: true", "queuedInvalidation: false"])],
    [
      "that remaps interrupts only",
      changed(["eim: true", "addressWidths: [], passThrough: false"]),
    ],
    ["that remaps DMA only", changed(["eim: true", "interruptRemapping: false"])],
    [
      "with sparse APIC ids",
      changed(["count: 4", 'apicIds: [0, 300, 70000, "4000000000-4000000003"]']),
    ],
  ])("%s", async (_, text) => {
    const report = await runText(text);
    expect(report.problems.first).toEqual([]);
    expect(report).toMatchObject({
      ok: true,
      interrupts: { sent: 500, delivered: 500, served: 500, moved: 50 },
      faults: { count: 0 },
    });
    expect(report.devices.map(({ interrupts }) => interrupts).every((count) => count > 0)).toBe(
      true,
    );
  });

  it("transfers go on when there are enough interrupts", async () => {
    const report = await runText(changed(["interrupts: 500", "interrupts: 60, transfers: 500"]));
    expect(report.ok).toBe(true);
    expect(report.transfers.done).toBeGreaterThanOrEqual(500);
    expect(report.interrupts.served).toBeGreaterThan(60);
  });

  it("nothing to do is all right", async () => {
    const report = await runText(
      changed(["interrupts: 500, affinityChanges: 50", "interrupts: 0"]),
    );
    expect(report).toMatchObject({ ok: true, interrupts: { sent: 0 }, vcpus: { reached: 0 } });
  });
});

describe("run, for people", () => {
  it("shows units, devices, vCPUs, data, faults and a verdict", async () => {
    await withFolder(async (folder) => {
      const file = join(folder, "guest.yaml");
      writeFileSync(file, changed(["count: 4", "count: 300"]));
      const { code, out, err } = await command("run", file);
      expect({ code, err }).toEqual({ code: 0, err: "" });
      expect(out).toMatch(
        /^small: 300 vCPUs \(x2apic, APIC ids up to 299\), 1 remapping unit, 3 devices, 64 MiB of memory\n/,
      );
      expect(out).toMatch(/│ dmar0 │ 0xfed90000 │ +0 │ DMA, interrupts │ +3 │/);
      expect(out).toMatch(/│ timer0 │ timer │ 00:04\.0 │ dmar0 │ ioapic0 pin 5, edge │/);
      expect(out).toMatch(/ {2}vCPUs: \d+ of 300 got interrupts, \d+ to \d+ each, /);
      expect(out).toContain(
        "  interrupts: 500 sent, 500 delivered, 500 served; 50 changes of affinity\n",
      );
      expect(out).toContain("  faults: none\n");
      expect(out.trim().split("\n").at(-1)).toMatch(
        /^OK: .* \(seed 7; \d+\.\d s, [\d,]+ interrupts per second, \d+ MiB\)$/,
      );
    });
  });
});

describe("wrong usage", () => {
  it.each<[string, string[], RegExp]>([
    [
      "a file that is not there",
      ["/no/such/guest"],
      /ERR_VIOMMU_FILE: \/no\/such\/guest: .*give the configuration of a guest/,
    ],
    ["vCPUs that are no number", ["--vcpus", "many"], /ERR_VIOMMU_USAGE: .*'many'/],
    ["no vCPU", ["--vcpus", "0"], /ERR_VIOMMU_CONFIG: .*vcpus\.count \(0\) is not possible/],
    ["two files", ["a", "b"], /ERR_VIOMMU_USAGE: too many/],
  ])("%s", async (_, args, message) => {
    const { code, out, err } = await command("run", "--json", ...args);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toMatch(message);
    expect(err.split("\n")).toHaveLength(2);
  });

  it("a configuration that cannot work", async () => {
    await withFolder(async (folder) => {
      const file = join(folder, "guest.yaml");
      writeFileSync(file, changed(NO_UNITS));
      const { code, out, err } = await command("run", file, "--vcpus", "288");
      expect({ code, out }).toEqual({ code: 2, out: "" });
      expect(err).toContain(`ERR_VIOMMU_CONFIG_RULE: ${file}: vcpus.count (288) needs APIC id 287`);
    });
  });
});
