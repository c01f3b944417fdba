import { describe, expect, it } from "vitest";
import { Guest } from "../src/guest.ts";
import { parseGuest } from "../src/config/load.ts";
import { moveInto } from "../src/move.ts";
import { Random } from "../src/random.ts";
import type { Change } from "./guests.ts";
import { acceleratorOf, bootScalable, PERMISSIONS, scalable } from "./scalable-guests.ts";
import { outcomeOf } from "./strays.ts";
import type { Outcome } from "./strays.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_123);

/** Translations are asked for again after a move: hits and misses may differ, nothing else. */
function comparable({ report, ...outcome }: Outcome): object {
  const paging = report.paging.map(({ device, ...rest }) => ({
    ...rest,
    device: { ...device, hits: 0, misses: 0 },
  }));
  return { ...outcome, report: { ...report, paging } };
}

describe("a guest whose processes are at work", () => {
  it.each<[number, string, readonly Change[]]>([
    [30, "no page request is lost, no process is forgotten", []],
    [12, "nor any permission (HPT)", PERMISSIONS],
  ])("moves %i times: %s", (moves, _name, others) => {
    const changes = [["frames: 96", "frames: 64"], ...others] as const;
    const stays = bootScalable(...changes).guest;
    stays.workload.run(Infinity);
    const expected = outcomeOf(stays);
    expect(expected.report.problems.first).toEqual([]);

    const random = new Random(seed);
    const most = Math.floor(expected.steps / moves);
    let { guest } = bootScalable(...changes);
    const seen = { jobs: 0, unanswered: 0, ended: 0, restarted: 0 };
    for (let move = 0; move < moves; move += 1) {
      guest.workload.run(random.between(1, most));
      const next = new Guest(parseGuest("guest.yaml", scalable(...changes)));
      next.boot();
      expect(moveInto(guest, next).stoppedBy).not.toBe("end");
      guest = next;
      const { device, driver } = acceleratorOf(guest);
      const { all } = driver.processes;
      if (device.save().accelerator!.waiting.length > 0) seen.jobs += 1;
      if (device.access.outstanding > 0) seen.unanswered += 1;
      if (all.some(({ ended }) => ended)) seen.ended += 1;
      if (all.some(({ life }) => life > 0)) seen.restarted += 1;
    }
    guest.workload.run(Infinity);
    const outcome = outcomeOf(guest);
    expect(comparable(outcome)).toEqual(comparable(expected));
    // in the middle of everything
    const often = Math.ceil(moves / 6);
    expect(seen.jobs).toBeGreaterThan(often);
    expect(seen.unanswered).toBeGreaterThan(often);
    if (moves >= 30) expect(seen.ended).toBeGreaterThan(0);
    expect(seen.restarted).toBeGreaterThan(often);
  });

  it("does not move to a guest with other processes", () => {
    const { guest } = bootScalable();
    const other = bootScalable(["pages: 128", "pages: 129"]).guest;
    expect(() => moveInto(guest, other)).toThrow(/"guest"/);
  });
});
