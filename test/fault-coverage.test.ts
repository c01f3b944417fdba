import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { FAULT_REASONS } from "@viommu/vtd-spec";

const root = new URL("../", import.meta.url).pathname;
const page = readFileSync(join(root, "docs/spec-coverage.md"), "utf8");

/** Rows of the table of fault reasons: reason, name, condition, file, test. */
const rows = page
  .split("\n")
  .filter((line) => /^\| [0-9A-F]{2}h /.test(line))
  .map((line) => line.split("|").map((cell) => cell.trim().replaceAll("`", "")))
  .map(([, reason, name, condition, file, test]) => ({
    ...{ reason: reason!, name: name!, condition: condition! },
    ...{ file: file!, test: test! },
  }));

const hex = (code: number): string => `${code.toString(16).toUpperCase().padStart(2, "0")}h`;

describe("the table of fault reasons in docs/spec-coverage.md", () => {
  it("has one row for each reason of the specification", () => {
    expect(rows.map(({ reason, name, condition }) => [reason, name, condition])).toEqual(
      FAULT_REASONS.map(({ code, name, label }) => [hex(code), name, label]),
    );
  });

  it.each(rows)(
    "$reason: names a test that is there, and that speaks of the reason",
    ({ reason, name, file, test }) => {
      const path = join(root, "packages", file);
      expect(existsSync(path)).toBe(true);
      const source = readFileSync(path, "utf8");
      expect(source).toContain(`"${test}"`);
      const code = `0x${reason.slice(0, 2).toLowerCase()}`;
      expect(source.includes(code) || source.includes(`FaultReason.${name}`)).toBe(true);
    },
  );
});
