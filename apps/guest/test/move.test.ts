import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { restoreDomain, saveDomain } from "@viommu/xen";
import { describe, expect, it } from "vitest";
import { Guest } from "../src/guest.ts";
import { moveInto, moveToFile, restoreFromFile } from "../src/move.ts";
import { Random } from "../src/random.ts";
import type { RunReport } from "../src/run-report.ts";
import { command, spawned, withFolder } from "./command.ts";
import { changed, guestConfig } from "./guests.ts";
import type { Change } from "./guests.ts";
import { outcomeOf } from "./strays.ts";

function booted(...changes: readonly Change[]): Guest {
  const guest = new Guest(guestConfig(...changes));
  guest.boot();
  return guest;
}

/** What is the same for every run with one seed. */
function comparable({ units, ...report }: RunReport): object {
  return {
    ...report,
    migration: null,
    time: null,
    memory: null,
    units: units.map((unit) => ({ ...unit, walks: 0 })),
  };
}

/** The whole guest as bytes. */
function saved(guest: Guest): Buffer {
  const parts: Buffer[] = [];
  saveDomain(guest.domain, { write: (bytes) => parts.push(Buffer.from(bytes)) });
  return Buffer.concat(parts);
}

const report = (out: string): RunReport => JSON.parse(out) as RunReport;

/** Code and message of what a function throws. */
function refusal(action: () => void): { code: string; message: string } {
  try {
    action();
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return { code, message };
  }
  return { code: "", message: "" };
}

describe("viommu run --migrate-at", () => {
  it("moves to a second machine, and reports what the guest reports that stays", async () => {
    await withFolder(async (folder) => {
      const file = join(folder, "guest.yaml");
      writeFileSync(file, changed());
      const stays = report((await command("run", file, "--json")).out);
      expect(stays.migration).toBe(null);
      for (const point of ["0.4", "200"]) {
        const { code, out } = await command("run", file, "--json", "--migrate-at", point);
        const moved = report(out);
        expect(code).toBe(0);
        expect(comparable(moved)).toEqual(comparable(stays));
        expect(moved.migration).toMatchObject({ file: null, stoppedBy: "converged" });
        expect(moved.migration!.rounds[0]).toBeGreaterThan(100);
        if (point === "200") expect(moved.migration!.step).toBe(200);
      }
      const { out } = await command("run", file, "--migrate-at", ".5");
      expect(out).toMatch(/ {2}migration: after [\d,]+ steps to a second machine, /);
      expect(out).toMatch(/in a\s+downtime\s+of\s+\d+\s+steps?\n/);
      const late = report((await command("run", file, "--json", "--migrate-at", "99999999")).out);
      expect(late.migration).toBe(null);
    });
  });

  it("moves through a file to another process; restore goes on with it again", async () => {
    await withFolder((folder) => {
      const file = join(folder, "guest.yaml");
      const save = join(folder, "guest.save");
      writeFileSync(file, changed());
      const options = [file, "--vcpus", "6", "--seed", "3", "--json"];
      const stays = report(spawned("run", ...options).out);
      const { code, out, err } = spawned(
        "run",
        ...options,
        "--migrate-at",
        "0.5",
        "--migrate-file",
        save,
      );
      expect({ code, err }).toEqual({ code: 0, err: "" });
      expect(comparable(report(out))).toEqual(comparable(stays));
      expect(report(out).migration).toMatchObject({ file: save, bytes: readFileSync(save).length });
      const again = spawned("restore", save, ...options);
      expect(comparable(report(again.out))).toEqual(comparable(stays));

      const bytes = readFileSync(save);
      bytes[5000]! ^= 1;
      writeFileSync(save, bytes);
      const damaged = spawned("restore", save, ...options);
      expect(damaged).toMatchObject({ code: 2, out: "" });
      expect(damaged.err).toMatch(/^viommu: ERR_VIOMMU_SAVE_DAMAGED: [^\n]+\n$/);
      return Promise.resolve();
    });
  });

  it.each<[string, string[], RegExp]>([
    ["no point", ["--migrate-at", "soon"], /ERR_VIOMMU_USAGE: .*Give a number of steps from 1 on/],
    ["a file without a point", ["--migrate-file", "x"], /ERR_VIOMMU_USAGE: --migrate-file needs/],
    [
      "a folder that is not there",
      ["--migrate-at", "0.9", "--migrate-file", "/nowhere/x"],
      /ERR_VIOMMU_FILE: \/nowhere\/x: /,
    ],
  ])("refuses %s", async (_, options, message) => {
    const { code, out, err } = await command("run", "--vcpus", "4", ...options);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toMatch(message);
  });
});

describe("a guest that is restored", () => {
  it("replaces one that has done something else", () => {
    const [stay, from, to] = [booted(), booted(), booted()];
    stay.workload.run(Infinity);
    from.workload.run(1000);
    to.workload.run(1777);
    moveInto(from, to);
    to.workload.run(Infinity);
    expect(outcomeOf(to)).toEqual(outcomeOf(stay));
  });

  it("refuses 1,000 damaged saves, and stays as it is", () => {
    const from = booted();
    from.workload.run(1000);
    const save = saved(from);
    const guest = booted();
    guest.workload.run(700);
    const before = saved(guest);
    const random = new Random(Number(process.env.VIOMMU_SEED ?? 1));
    for (let i = 0; i < 1000; i += 1) {
      const damaged = Buffer.from(
        save.subarray(0, i % 10 === 0 ? random.below(save.length) : undefined),
      );
      const flips = i % 10 === 0 ? 0 : random.between(1, 8);
      for (let flip = 0; flip < flips; flip += 1) {
        // each in bytes of its own: no two undo each other
        const at = 8 * random.below(Math.floor(damaged.length / 8)) + flip;
        damaged[at] = damaged[at]! ^ (1 + random.below(255));
      }
      const source = {
        length: damaged.length,
        read: (offset: number, length: number) => damaged.subarray(offset, offset + length),
      };
      const { code } = refusal(() => {
        restoreDomain(guest.domain, source);
      });
      expect(code).toBe("ERR_VIOMMU_SAVE_DAMAGED");
    }
    expect(Buffer.compare(saved(guest), before)).toBe(0);
  });

  it.each<[string, readonly Change[], string[]]>([
    ["another seed", [["seed: 7", "seed: 8"]], ["guest"]],
    ["more vCPUs", [["count: 4", "count: 5"]], ["lapic-bus", "guest"]],
    [
      "other memory, devices and capabilities",
      [
        ["64M", "128M"],
        ["vectors: 2", "vectors: 3"],
        ["eim: true", "eim: true, faultRecords: 4"],
        ["timer0, kind", "clock0, kind"],
      ],
      ["memory", "dmar0", "disk0 MSI-X", "disk0", "clock0", "timer0", "guest"],
    ],
  ])("is refused with each difference, and untouched: %s", async (_, changes, differences) => {
    const guest = booted();
    guest.workload.run(500);
    await withFolder((folder) => {
      const file = join(folder, "guest.save");
      moveToFile(guest, file);
      const other = booted(...changes);
      other.workload.run(300);
      const before = saved(other);
      const { code, message } = refusal(() => {
        restoreFromFile(other, file);
      });
      expect(code).toBe("ERR_VIOMMU_SAVE_SHAPE");
      const parts = message.split(": ").slice(1).join(": ").split("; ").slice(0, -1);
      const named = parts.map((part) => /"([^"]+)"|memory/.exec(part)).map((m) => m![1] ?? m![0]);
      expect(named.sort()).toEqual([...differences].sort());
      expect(Buffer.compare(saved(other), before)).toBe(0);
      return Promise.resolve();
    });
  });
});
