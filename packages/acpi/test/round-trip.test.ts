import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildDmar, buildMadt, parseDmar, parseMadt } from "../src/index.ts";
import type { Problem } from "../src/index.ts";
import * as arbitrary from "./arbitraries.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_122);

/** Notes about structures of a later specification are no faults. */
const faults = (problems: readonly Problem[]): readonly Problem[] =>
  problems.filter(({ text }) => !text.endsWith("is not known; kept as it is"));

const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => total + byte, 0) % 256;

describe("a table built and read again", () => {
  it("is the same DMAR, without a fault", () => {
    fc.assert(
      fc.property(arbitrary.dmar, (described) => {
        const bytes = buildDmar(described);
        expect(sum(bytes)).toBe(0);
        const { table, problems } = parseDmar(bytes);
        expect(faults(problems)).toEqual([]);
        expect(table).toEqual(described);
        expect(buildDmar(table)).toEqual(bytes);
      }),
      { seed, numRuns: 1000 },
    );
  });

  it("is the same MADT, without a fault", () => {
    fc.assert(
      fc.property(arbitrary.madt, (described) => {
        const bytes = buildMadt(described);
        expect(sum(bytes)).toBe(0);
        const { table, problems } = parseMadt(bytes);
        expect(faults(problems)).toEqual([]);
        expect(table).toEqual(described);
        expect(buildMadt(table)).toEqual(bytes);
      }),
      { seed, numRuns: 1000 },
    );
  });
});
