import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const root = new URL("../", import.meta.url).pathname;
const folder = join(root, "examples");
const files = readdirSync(folder).filter((name) => name.endsWith(".ts"));
const readme = readFileSync(join(folder, "README.md"), "utf8");

const withoutSpace = (lines: string): string[] => lines.split("\n").map((line) => line.trimEnd());

describe.each(files)("examples/%s", (file) => {
  const source = readFileSync(join(folder, file), "utf8");
  const name = file.replace(".ts", "");

  it("prints what its last comment says", () => {
    const promised = /\/\* prints:\n([\s\S]*)\*\/\n$/.exec(source)?.[1];
    const command = [join(root, "tools/example.mjs"), name];
    const { status, stdout, stderr } = spawnSync(process.execPath, command, { encoding: "utf8" });
    expect(stderr).toBe("");
    expect(withoutSpace(stdout)).toEqual(withoutSpace(promised ?? "nothing promised"));
    expect(status).toBe(0);
  });

  it("has at most 80 lines, says on its first one what it does, and is in the list", () => {
    expect(source.trimEnd().split("\n").length).toBeLessThanOrEqual(80);
    expect(source).toMatch(/^\/\/ [A-Z]/);
    expect(readme).toContain(`npm run example -- ${name}`);
  });
});
