import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseXlConfig, plainXlValue, readXlDomain } from "@viommu/xen";
import type { XlPlain } from "@viommu/xen";

const FOLDER = new URL("../../../fixtures/xl/", import.meta.url);
const files = readdirSync(FOLDER).filter((name) => name.endsWith(".cfg"));

/** What stands in a file, and what it means, as JSON next to it. */
interface Expected {
  readonly settings: Readonly<Record<string, XlPlain>>;
  readonly domain: unknown;
}

/** Without the places of entries, which the tests of errors check. */
function withoutPlaces(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutPlaces);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => key !== "line" && key !== "column")
      .map(([key, member]) => [key, withoutPlaces(member)]),
  );
}

describe("files as administrators write them", () => {
  it("are twelve", () => {
    expect(files).toHaveLength(12);
  });

  it.each(files)("%s", (name) => {
    const config = parseXlConfig(readFileSync(new URL(name, FOLDER), "utf8"), name);
    const settings = Object.fromEntries(
      [...config.settings].map(([key, { value }]) => [key, plainXlValue(value)]),
    );
    const found = { settings, domain: withoutPlaces(readXlDomain(config)) };
    const json = readFileSync(new URL(name.replace(/cfg$/, "json"), FOLDER), "utf8");
    expect(found).toEqual(JSON.parse(json) as Expected);
  });
});
