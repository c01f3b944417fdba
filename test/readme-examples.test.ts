import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { format } from "node:util";
import { afterAll, describe, expect, it, vi } from "vitest";

const root = new URL("../", import.meta.url).pathname;

/** Folder inside the workspace (git ignores it), so that the examples resolve packages as a user's program would. */
const scratch = mkdtempSync(join(root, "test/.readme-"));
afterAll(() => {
  rmSync(scratch, { recursive: true });
});

/** Pages with examples among the README, those of the packages, and the guides. */
function pages(): string[] {
  const packages = readdirSync(join(root, "packages")).map((name) => `packages/${name}/README.md`);
  const guides = readdirSync(join(root, "docs/guides")).map((name) => `docs/guides/${name}`);
  const files = ["README.md", ...packages, ...guides];
  return files.filter((file) => existsSync(join(root, file)) && examples(file).length > 0);
}

/** The ts blocks of a page; the comment behind a console.log(...) says what is printed. */
function examples(file: string): string[] {
  const text = readFileSync(join(root, file), "utf8");
  return [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1]!);
}

const withoutRemark = (promised: string, printed = ""): string =>
  promised.startsWith(`${printed}: `) ? printed : promised;

describe.each(pages())("%s", (file) => {
  const blocks = examples(file);

  it.each(blocks.map((code, i) => [i + 1, code] as const))(
    "example %i runs and prints what it says",
    async (index, code) => {
      const printed: string[] = [];
      const log = vi.spyOn(console, "log").mockImplementation((...values: unknown[]) => {
        printed.push(format(...values));
      });
      try {
        const name = `${file.replaceAll(/\W/g, "-")}-${index}.ts`;
        writeFileSync(join(scratch, name), code);
        await import(pathToFileURL(join(scratch, name)).href);
      } finally {
        log.mockRestore();
      }
      const promised = [...code.matchAll(/console\.log\(.*\);\s*\/\/ (.*)$/gm)].map((m) => m[1]);
      expect(promised.length).toBeGreaterThan(0);
      // a remark may follow what is printed, behind a colon
      expect(printed).toEqual(promised.map((text, i) => withoutRemark(text!, printed[i])));
    },
  );
});
