import { ViommuError } from "@viommu/plugin";
import { Command, CommanderError } from "commander";
import { addBench } from "./commands/bench.ts";
import { addExplain } from "./commands/explain.ts";
import { addDmar } from "./commands/dmar.ts";
import { addReplay } from "./commands/replay.ts";
import { addRestore } from "./commands/restore.ts";
import { addRun } from "./commands/run.ts";
import { addStart } from "./commands/start.ts";
import type { AddCommand } from "./add-command.ts";
import { Exit } from "./exit.ts";
import type { ExitCode } from "./exit.ts";
import type { Terminal } from "./terminal.ts";
import { usageError } from "./usage-error.ts";

const COMMANDS: readonly AddCommand[] = [
  addRun,
  addRestore,
  addReplay,
  addExplain,
  addDmar,
  addBench,
  addStart,
];

/**
 * Runs a command line (without node and script) and returns the exit code. What goes wrong with the
 * usage or the input becomes one line on the error stream: code, value, remedy.
 */
export async function runCommandLine(
  args: readonly string[],
  terminal: Terminal,
): Promise<ExitCode> {
  let code: ExitCode = Exit.OK;
  const program = new Command("viommu")
    .description(
      "a virtual Intel VT-d IOMMU: runs guests, replays recorded ones, explains translations",
    )
    .exitOverride()
    .configureOutput({
      writeOut: (text) => {
        terminal.out(text);
      },
      writeErr: () => undefined,
    });
  for (const add of COMMANDS) {
    add(program, terminal, (result) => {
      code = result;
    });
  }
  try {
    await program.parseAsync(args, { from: "user" });
    return code;
  } catch (error) {
    return fail(error, terminal);
  }
}

function fail(error: unknown, terminal: Terminal): ExitCode {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return Exit.OK; // help was asked for, and shown
    const problem = error.code === "commander.help" ? "no command given" : error.message;
    return fail(usageError(problem.replace(/^error: |\.$/g, "")), terminal);
  }
  if (!(error instanceof ViommuError)) throw error;
  terminal.err(`viommu: ${error.code}: ${error.message.replace(/\s*\n\s*/g, " ")}\n`);
  return Exit.USAGE;
}
