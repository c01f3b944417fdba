import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Guest } from "../src/guest.ts";
import { moveInto, moveToFile } from "../src/move.ts";
import { Random } from "../src/random.ts";
import { command, withFolder } from "./command.ts";
import { bootedPassed, finished, passedText } from "./passed-through.ts";
import { addStrays, outcomeOf } from "./strays.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_122);
const NO_TRACKING = "{ options: { secondStageAccessedDirty: false } }";

/** All but the host, which is another one after a move. */
function withoutHost(guest: Guest): object {
  const { report, ...outcome } = outcomeOf(guest);
  return { ...outcome, report: { ...report, host: null } };
}

describe("a guest with devices of a host that moves", () => {
  it.each(["strict", "lazy"])(`20 times, unmapping %s (seed ${seed}): nothing is lost`, (how) => {
    const unmapping = ["seed: 7", `seed: 7, unmapping: ${how}`] as const;
    const boot = (): Guest => {
      const guest = bootedPassed(null, unmapping);
      addStrays(guest);
      return guest;
    };
    const stay = boot();
    stay.workload.run(Infinity);
    const { steps } = stay.workload;
    const random = new Random(seed);
    let guest = boot();
    for (let i = 0; i < 20; i += 1) {
      guest.workload.run(random.between(1, Math.floor(steps / 10)));
      const next = boot();
      moveInto(guest, next);
      guest = next;
    }
    guest.workload.run(Infinity);
    expect(withoutHost(guest)).toEqual(withoutHost(stay));
    const report = finished(guest);
    expect(report.host.devices.map(({ wrong }) => wrong)).toEqual([0, 0]);
    expect(report.host.strayBytes).toBe(0);
  });

  it("tells of every page that a device has written", () => {
    const guest = bootedPassed();
    const { workload, machine } = guest;
    const { memory } = machine.host!;
    const { pages } = guest.domain;
    const random = new Random(seed);
    memory.takeWritten();
    pages.takeDirty();
    let seen = 0;
    for (let i = 0; i < 40; i += 1) {
      workload.run(random.between(1, 60));
      const written = memory.takeWritten().map((address) => address / 4096);
      const told = new Set(pages.takeDirty());
      for (const page of written) expect(told).toContain(page);
      seen += written.length;
    }
    expect(seen).toBeGreaterThan(100);
  });

  it("is refused where the host cannot tell what they write, and goes on", async () => {
    const guest = bootedPassed(NO_TRACKING);
    const other = bootedPassed(NO_TRACKING);
    guest.workload.run(500);
    const refused: unknown = expect.objectContaining({ code: "ERR_VIOMMU_UNMOVABLE" });
    expect(() => moveInto(guest, other)).toThrow(refused);
    expect(() => moveToFile(guest, "/nowhere/x")).toThrow(/ "nic0", "disk0" write; give it second/);
    expect(finished(guest).ok).toBe(true);
    await withFolder(async (folder) => {
      const file = join(folder, "guest.yaml");
      writeFileSync(file, passedText(NO_TRACKING));
      const { code, out, err } = await command("run", file, "--migrate-at", "0.5");
      expect({ code, out }).toEqual({ code: 2, out: "" });
      expect(err).toMatch(/ERR_VIOMMU_UNMOVABLE: [^\n]+\n$/);
    });
  });
});
