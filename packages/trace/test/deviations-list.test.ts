import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { DEVIATIONS } from "../src/deviations.ts";

const page = readFileSync(
  new URL("../../../docs/reference/replay-deviations.md", import.meta.url),
  "utf8",
);

describe("docs/reference/replay-deviations.md", () => {
  it("lists every deviation, in words, and no other", () => {
    const listed = [...page.matchAll(/^\| `([a-z0-9-]+)`/gm)].map(([, name]) => name);
    expect(listed).toEqual(DEVIATIONS.map(({ name }) => name).sort());
    const words = page.replaceAll(/\s+/g, " ");
    for (const { why } of DEVIATIONS) expect(words).toContain(why);
  });

  it("gives each a chapter and a name of its own", () => {
    for (const { why } of DEVIATIONS) expect(why).toMatch(/^VT-d \d+\.\d/);
    expect(new Set(DEVIATIONS.map(({ name }) => name)).size).toBe(DEVIATIONS.length);
  });
});
