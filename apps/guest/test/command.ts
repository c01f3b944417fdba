import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { runCommandLine } from "../src/cli.ts";

const ROOT = new URL("../../../", import.meta.url);

/** A recorded guest shipped with the project. */
export const FIXTURE: string = fileURLToPath(
  new URL("fixtures/linux612-legacy-strict.jsonl.gz", ROOT),
);

/** What a command left behind. */
export interface Result {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the command line in this process, without a terminal. */
export async function command(...args: string[]): Promise<Result> {
  let out = "";
  let err = "";
  let time = 0;
  const code = await runCommandLine(args, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    bar: undefined,
    columns: 80,
    now: () => (time += 500),
  });
  return { code, out, err };
}

/** Runs the command line as users do, in a process of its own. */
export function spawned(...args: string[]): Result {
  const tool = fileURLToPath(new URL("tools/viommu.mjs", ROOT));
  const { status, stdout, stderr } = spawnSync(process.execPath, [tool, ...args], {
    encoding: "utf8",
  });
  return { code: status, out: stdout, err: stderr };
}

/** Hands a folder for files to `use`, and removes it afterwards. */
export async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "viommu-"));
  try {
    await use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Writes a copy of the fixture with its text changed. */
export function changedFixture(folder: string, change: (text: string) => string): string {
  const text = gunzipSync(readFileSync(FIXTURE)).toString("utf8");
  const file = join(folder, "changed.jsonl");
  writeFileSync(file, change(text));
  return file;
}

/** Gives the first allowed DMA request of a trace another address. */
export function wrongAddress(text: string): string {
  return text.replace(/"gpa":"0x[0-9a-f]+"/, '"gpa":"0x123000"');
}
