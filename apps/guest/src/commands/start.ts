import { readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { ViommuError } from "@viommu/plugin";
import type { AddCommand } from "../add-command.ts";
import { REFERENCE_GUEST } from "../config/file.ts";
import { Exit } from "../exit.ts";
import { replayFiles } from "./replay.ts";
import { runFile } from "./run.ts";

const FIXTURES = new URL("../../../../fixtures/", import.meta.url);

/** `npm start`: the reference guest, then the recorded guests shipped with the project. */
export const addStart: AddCommand = (program, terminal, end) => {
  program.command("start", { hidden: true }).action(async () => {
    const ran = await runFile(REFERENCE_GUEST, {}, terminal);
    terminal.out("\n");
    const replayed = await replayFiles(await fixtures(), false, terminal);
    end(ran === Exit.OK ? replayed : ran);
  });
};

async function fixtures(): Promise<string[]> {
  const folder = fileURLToPath(FIXTURES);
  const names = await readdir(folder).catch(() => []);
  const files = names.filter((name) => name.endsWith(".jsonl.gz")).sort();
  if (files.length > 0) return files.map((name) => fileURLToPath(new URL(name, FIXTURES)));
  throw new ViommuError(
    "ERR_VIOMMU_FILE",
    `${folder}: no recorded guest (*.jsonl.gz) is there; run from a complete clone`,
  );
}
