import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HostPermissionSoup } from "./support/host-permission-soup.ts";
import { tableLevel } from "./support/host-permission-tables.ts";
import type { Ask } from "./support/machine.ts";
import { Random } from "./support/random.ts";
import { compare, kindOf, randomRequest } from "./support/scalable-compare.ts";
import type { Expected } from "./support/scalable-compare.ts";
import { Shadow } from "./support/scalable-soup.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_122);
const MACHINES = 110;
const REQUESTS = 50;
const PHASES = 6;

const TRANSLATED = 2;
const PAGES = ["", "4K", "2M", "1G"];

/** What an answer is counted by: its fault reason, or the size of the page that permitted it. */
function kindOfTranslated({ addressType }: Ask, { answer, lastRead }: Expected): string {
  if (addressType !== TRANSLATED) return "other";
  const kind = kindOf(answer);
  return kind === "0" ? PAGES[tableLevel(lastRead)]! || "unchecked" : kind;
}

describe("host permission tables against a slow model", () => {
  it(
    `agrees on ${MACHINES * REQUESTS * PHASES} requests, each asked twice`,
    { timeout: 120_000 },
    () => {
      const tally = new Map<string, number>();
      fc.assert(
        fc.property(fc.integer(), (number) => {
          const machine = new HostPermissionSoup(new Random(number));
          const { soup } = machine;
          const shadow = new Shadow(soup);
          for (let phase = 0; phase < PHASES; phase += 1) {
            for (let i = 0; i < REQUESTS; i += 1) {
              const ask = soup.random.chance(75) ? machine.request() : randomRequest(soup);
              const kind = kindOfTranslated(ask, compare(soup, shadow, ask));
              tally.set(kind, (tally.get(kind) ?? 0) + 1);
            }
            if (!shadow.isSame()) throw new Error("memory was written that should not have been");
            machine.change();
            shadow.refresh();
          }
        }),
        { seed, numRuns: MACHINES, endOnFailure: true },
      );
      for (const kind of ["60", "a0", "a1", "a2", "a3", "a4", "a5", ...PAGES.slice(1)]) {
        expect(tally.get(kind), kind).toBeGreaterThan(40);
      }
    },
  );
});
