/** docs/xen-coverage.md names tests that are there, and what it calls done has its number in them. */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const root = new URL("../../../", import.meta.url).pathname;

interface Row {
  readonly number: string;
  readonly state: string;
  readonly files: readonly string[];
}

const rows: readonly Row[] = readFileSync(`${root}docs/xen-coverage.md`, "utf8")
  .split("\n")
  .map((line) => line.split("|").map((cell) => cell.trim()))
  .filter((cells) => /^[DU]?\d+$/.test(cells[1] ?? ""))
  .map((cells) => ({
    number: cells[1]!,
    state: cells[3]!,
    files: [...cells[5]!.matchAll(/`([^`]+)`/g)].map(([, file]) => file!),
  }));

const numbers = (prefix: string, last: number): string[] =>
  Array.from({ length: last }, (_, i) => `${prefix}${i + 1}`);

describe("docs/xen-coverage.md", () => {
  it("has each defect, scenario and unsolved point once", () => {
    const expected = [...numbers("D", 29), ...numbers("", 12), ...numbers("U", 18)];
    expect(rows.map(({ number }) => number)).toEqual(expected);
    expect(new Set(rows.map(({ state }) => state))).toEqual(new Set(["done", "partly", "not"]));
  });

  it.each(rows)("$number: its tests exist", ({ files }) => {
    expect(files.length).toBeGreaterThan(0);
    expect(files.filter((file) => !existsSync(root + file))).toEqual([]);
  });

  // scenario 6 is the table of defects
  const numbered = rows.filter(
    ({ number, state }) => /^D?\d+$/.test(number) && number !== "6" && state === "done",
  );

  it.each(numbered)("$number: a test has its number", ({ number, files }) => {
    const mark = number.startsWith("D") ? `("${number}: ` : `describe("${number}. `;
    const texts = files.map((file) => readFileSync(root + file, "utf8"));
    expect(texts.some((text) => text.includes(mark))).toBe(true);
  });
});
