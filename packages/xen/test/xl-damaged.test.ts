import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseXlConfig, readXlDomain, XlError } from "@viommu/xen";
import type { XlConfig, XlPosition } from "@viommu/xen";

const seed = Number(process.env.VIOMMU_SEED ?? 20_170_917);
const FOLDER = new URL("../../../fixtures/xl/", import.meta.url);
const texts = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".cfg"))
  .map((name) => readFileSync(new URL(name, FOLDER), "utf8"));

/** What makes a difference to a parser. */
const pieces = fc.constantFrom(
  ...[
    "'",
    '"',
    "[",
    "]",
    ",",
    "=",
    "+=",
    ";",
    "\n",
    "#",
    "\\",
    "\\x41",
    "\r\n",
    "\0",
    "☂",
    "\ud800",
  ],
  ...[
    "True",
    "-1",
    "0x",
    "08",
    "a",
    "viommu",
    "disk",
    "vif",
    "pci",
    "name",
    "type",
    "\t",
    "[[[[[[",
  ],
  ...["type=intel_vtd,", "03:00.0@", "target=", "raw:", "hdc:cdrom", "mac=", "__proto__", "1e9"],
);

/** What is often right. */
const mild = fc.constantFrom("", " ", "1", "x", "\n#", ",");

const damaged = fc
  .tuple(
    fc.constantFrom(...texts),
    fc.array(
      fc.tuple(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.nat(3),
        fc.oneof(pieces, mild, fc.string()),
      ),
      {
        minLength: 1,
        maxLength: 3,
      },
    ),
  )
  .map(([text, changes]) =>
    changes.reduce((changed, [at, cut, put]) => {
      const start = Math.floor(at * changed.length);
      return changed.slice(0, start) + put + changed.slice(start + cut);
    }, text),
  );

const random = fc
  .array(fc.oneof({ weight: 4, arbitrary: pieces }, fc.string()), { maxLength: 60 })
  .map((parts) => parts.join(" "));

/** A plain comparison: it is made some million times. */
function expectInside(lines: readonly string[], { line, column }: XlPosition): void {
  const length = lines[line - 1]?.length ?? -1;
  if (column < 1 || column > length + 1) throw new Error(`${line}:${column} is outside`);
}

/** Null when it is refused as it should be. */
function read<T>(text: string, what: () => T): T | null {
  try {
    return what();
  } catch (error) {
    if (!(error instanceof XlError)) throw error;
    expect(error.code).toMatch(/^ERR_VIOMMU_XL_(?:SYNTAX|VALUE)$/);
    expect(error.message).not.toMatch(/[\n\r\0]/);
    for (const problem of error.problems) expectInside(text.split("\n"), problem);
    return null;
  }
}

describe("texts that are no xl.cfg, or only nearly", () => {
  it.each([
    ["damaged files", damaged],
    ["random texts", random],
  ])("10,000 %s: the documented error, with places inside the text", (_, arbitrary) => {
    let taken = 0;
    fc.assert(
      fc.property(arbitrary, (text) => {
        const config: XlConfig | null = read(text, () => parseXlConfig(text));
        if (config === null) return;
        const lines = text.split("\n");
        for (const setting of config.settings.values()) {
          expectInside(lines, setting);
          expectInside(lines, setting.value);
        }
        const domain = read(text, () => readXlDomain(config));
        if (domain === null) return;
        taken += 1;
        for (const ignored of domain.ignored) expectInside(lines, ignored);
      }),
      { numRuns: 10_000, seed },
    );
    if (arbitrary === damaged) expect(taken).toBeGreaterThan(500);
  });

  it("deep and long ones end as well", () => {
    for (const text of ["[".repeat(1e5), `a = ${"[".repeat(1e5)}`, `a = '${"\\n".repeat(1e5)}`]) {
      expect(read(text, () => parseXlConfig(text))).toBeNull();
    }
    const long = `a = [${"'x',".repeat(1e5)}]\nb = '${"\\\\".repeat(1e5)}'`;
    expect(read(long, () => parseXlConfig(long))?.settings.size).toBe(2);
  });
});
