import { InvalidArgumentError } from "commander";
import { REFERENCE_GUEST } from "../config/file.ts";
import type { GuestConfig } from "../config/guest-config.ts";
import type { AddCommand } from "../add-command.ts";
import { Exit } from "../exit.ts";
import type { ExitCode } from "../exit.ts";
import { loadGuestOf } from "../guest-options.ts";
import type { GuestOptions } from "../guest-options.ts";
import { Guest } from "../guest.ts";
import { checkMovable, moveInto, moveToFile, runUpTo } from "../move.ts";
import type { MovePoint, MoveReport } from "../move.ts";
import { numberOption } from "../number-option.ts";
import { restoreElsewhere } from "../other-process.ts";
import { createProgress } from "../progress.ts";
import { reportOn, withMove } from "../run-report.ts";
import type { RunReport, RunTimes } from "../run-report.ts";
import { runText } from "../run-text.ts";
import type { Terminal } from "../terminal.ts";
import { usageError } from "../usage-error.ts";
import { runWorkload } from "../workload.ts";

interface RunOptions extends GuestOptions {
  readonly migrateAt?: MovePoint;
  readonly migrateFile?: string;
}

/** `viommu run`: a whole guest, from its configuration to its last interrupt. */
export const addRun: AddCommand = (program, terminal, end) => {
  program
    .command("run")
    .description("assemble a guest, run its workload, check every byte and every interrupt")
    .argument(
      "[config]",
      "configuration (YAML or xl.cfg); without it, the reference guest with 288 vCPUs",
    )
    .option("--vcpus <N>", "number of vCPUs instead of the configured one", numberOption)
    .option("--seed <N>", "seed of the workload instead of the configured one", numberOption)
    .option(
      "--migrate-at <point>",
      "move the running guest to another machine: after this many steps, or at a part of its " +
        "workload (0.5)",
      movePoint,
    )
    .option("--migrate-file <file>", "move it through this file, to another process")
    .option("--json", "print one JSON object")
    .action(async (file: string | undefined, options: RunOptions) => {
      end(await runFile(file ?? REFERENCE_GUEST, options, terminal));
    });
};

/** Runs the guest of a file and reports. */
export async function runFile(
  file: string,
  options: RunOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const { migrateAt, migrateFile } = options;
  if (migrateFile !== undefined && migrateAt === undefined) {
    throw usageError("--migrate-file needs --migrate-at, which says when");
  }
  const run = new GuestRun(await loadGuestOf(file, options), terminal);
  if (migrateAt !== undefined) checkMovable(run.guest);
  if (migrateAt === undefined || !runUpTo(run.guest, migrateAt)) {
    return tell(run.finish(), options, terminal);
  }
  if (migrateFile === undefined) return tell(run.moveAndFinish(), options, terminal);
  const move = moveToFile(run.guest, migrateFile);
  const report = await restoreElsewhere(migrateFile, file, options);
  return tell(withMove(report, move, run.times), options, terminal);
}

/** Prints a report. */
export function tell(
  report: RunReport,
  { json = false }: GuestOptions,
  terminal: Terminal,
): ExitCode {
  terminal.out(json ? `${JSON.stringify(report)}\n` : runText(report, terminal.columns));
  return report.ok ? Exit.OK : Exit.FAILED;
}

/** A guest that has booted, on its way to its report. */
export class GuestRun {
  guest: Guest;
  readonly #terminal: Terminal;
  readonly #assemble: number;
  readonly #boot: number;
  readonly #booted: number;

  constructor(config: GuestConfig, terminal: Terminal) {
    const start = terminal.now();
    this.#terminal = terminal;
    this.guest = new Guest(config);
    const assembled = terminal.now();
    this.guest.boot();
    this.#booted = terminal.now();
    this.#assemble = assembled - start;
    this.#boot = this.#booted - assembled;
  }

  /** Milliseconds until now. */
  get times(): RunTimes {
    const workload = this.#terminal.now() - this.#booted;
    return { assemble: this.#assemble, boot: this.#boot, workload };
  }

  /** The rest of the workload, and the report. */
  finish(): RunReport {
    const { guest } = this;
    const { config, interrupts } = guest;
    const progress = createProgress(this.#terminal);
    progress.begin(config.name, config.workload.interrupts, "interrupts");
    try {
      runWorkload(guest.workload, () => {
        progress.update(interrupts.counters.served);
      });
    } finally {
      progress.end();
    }
    guest.checkTotals();
    const bytes = config.memory.reduce((sum, { size }) => sum + size, 0);
    const resident = process.resourceUsage().maxRSS * 1024;
    return reportOn(guest, this.times, { guest: bytes, resident });
  }

  /** Moves the guest to a second machine, and finishes there. */
  moveAndFinish(): RunReport {
    const next = new Guest(this.guest.config);
    next.boot();
    const move: MoveReport = moveInto(this.guest, next);
    this.guest = next;
    return withMove(this.finish(), move);
  }
}

/** "1500": steps; "0.25": part of the workload. */
function movePoint(text: string): MovePoint {
  if (/^[1-9][0-9]{0,14}$/.test(text)) return { step: Number(text) };
  if (/^0?\.[0-9]{1,15}$/.test(text)) return { fraction: Number(text) };
  throw new InvalidArgumentError("Give a number of steps from 1 on, or a part between 0 and 1.");
}
