import { expect, it } from "vitest";
import { runConformance } from "../src/index.ts";
import type { Check } from "../src/index.ts";

/** A deliberately wrong implementation, and the check that has to find it. */
export interface Mutant<H> {
  /** "… that <does something wrong>". */
  readonly that: string;
  readonly make: () => H;
  /** Name of the check. */
  readonly foundBy: string;
}

/** One test for each mutant: the suite finds it, by the check that is meant to. */
export function catchesAll<H>(
  what: string,
  suite: (make: () => H) => readonly Check[],
  mutants: readonly Mutant<H>[],
): void {
  for (const { that, make, foundBy } of mutants) {
    it(`catches ${what} that ${that}`, () => {
      const meant = suite(make).filter(({ name }) => name === foundBy);
      const { passed, failed } = runConformance(meant);
      expect({ passed, failed: failed.length }).toEqual({ passed: 0, failed: 1 });
    });
  }
}

/** One test for each check, on a right implementation. */
export function passesAll(checks: readonly Check[]): void {
  for (const check of checks) it(check.name, check.run);
}
