import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const root = new URL("../", import.meta.url).pathname;

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\/src(\/|$)/.test(entry.parentPath))
    .filter((entry) => entry.name.endsWith(".ts") && !entry.parentPath.includes("node_modules"))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8"));
}

const codes = (text: string): string[] =>
  text.match(/ERR_VIOMMU_[A-Z0-9_]*[A-Z0-9](?![A-Z0-9_])/g) ?? [];

describe("docs/reference/errors.md", () => {
  it("lists exactly the codes that the sources use", () => {
    const used = new Set([...sources("packages"), ...sources("apps")].flatMap(codes));
    const page = readFileSync(join(root, "docs/reference/errors.md"), "utf8");
    const listed = new Set(page.split("\n").flatMap((line) => codes(line.split("|")[1] ?? "")));
    expect([...listed].sort()).toEqual([...used].sort());
  });
});
