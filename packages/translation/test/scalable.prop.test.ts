import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Random } from "./support/random.ts";
import { compare, kindOf, randomRequest } from "./support/scalable-compare.ts";
import { changeTables, scalableSoup, Shadow } from "./support/scalable-soup.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_122);
const MACHINES = 390;
const REQUESTS = 65;
const PHASES = 4;

describe("scalable mode against a slow model", () => {
  it(
    `agrees on ${MACHINES * REQUESTS * PHASES} requests, each asked twice`,
    { timeout: 120_000 },
    () => {
      const tally = new Map<string, number>();
      fc.assert(
        fc.property(fc.integer(), (number) => {
          const soup = scalableSoup(new Random(number));
          const shadow = new Shadow(soup);
          for (let phase = 0; phase < PHASES; phase += 1) {
            for (let i = 0; i < REQUESTS; i += 1) {
              const kind = kindOf(compare(soup, shadow, randomRequest(soup)).answer);
              tally.set(kind, (tally.get(kind) ?? 0) + 1);
            }
            if (!shadow.isSame()) throw new Error("memory was written that should not have been");
            changeTables(soup);
            shadow.refresh();
          }
        }),
        { seed, numRuns: MACHINES, endOnFailure: true },
      );
      // the machines are such that most reasons occur
      expect(tally.get("0")).toBeGreaterThan(10_000);
      expect(tally.size).toBeGreaterThan(35);
    },
  );
});
