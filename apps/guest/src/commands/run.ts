import { loadGuest, REFERENCE_GUEST } from "../config/file.ts";
import type { GuestConfig } from "../config/guest-config.ts";
import type { AddCommand } from "../add-command.ts";
import { Exit } from "../exit.ts";
import type { ExitCode } from "../exit.ts";
import { Guest } from "../guest.ts";
import { numberOption } from "../number-option.ts";
import { createProgress } from "../progress.ts";
import { reportOn } from "../run-report.ts";
import type { RunReport } from "../run-report.ts";
import { runText } from "../run-text.ts";
import type { Terminal } from "../terminal.ts";
import { runWorkload } from "../workload.ts";

interface RunOptions {
  readonly vcpus?: number;
  readonly seed?: number;
  readonly json?: boolean;
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
    .option("--json", "print one JSON object")
    .action(async (file: string | undefined, options: RunOptions) => {
      end(await runFile(file ?? REFERENCE_GUEST, options, terminal));
    });
};

/** Runs the guest of a file and reports. */
export async function runFile(
  file: string,
  { vcpus, seed, json = false }: RunOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const config = await loadGuest(file, [
    ...(vcpus === undefined ? [] : [{ path: ["vcpus", "count"], value: vcpus }]),
    ...(seed === undefined ? [] : [{ path: ["workload", "seed"], value: seed }]),
  ]);
  const report = runGuest(config, terminal);
  terminal.out(json ? `${JSON.stringify(report)}\n` : runText(report, terminal.columns));
  return report.ok ? Exit.OK : Exit.FAILED;
}

function runGuest(config: GuestConfig, terminal: Terminal): RunReport {
  const progress = createProgress(terminal);
  const marks = [terminal.now()];
  const lap = (): number => {
    marks.push(terminal.now());
    return marks.at(-1)! - marks.at(-2)!;
  };
  const guest = new Guest(config);
  const assemble = lap();
  const { devices } = guest.boot();
  const boot = lap();
  progress.begin(config.name, config.workload.interrupts, "interrupts");
  try {
    runWorkload(config.workload, devices, guest.interrupts, (done) => {
      progress.update(done);
    });
  } finally {
    progress.end();
  }
  guest.interrupts.checkTotals();
  const bytes = config.memory.reduce((sum, { size }) => sum + size, 0);
  const resident = process.resourceUsage().maxRSS * 1024;
  return reportOn(guest, { assemble, boot, workload: lap() }, { guest: bytes, resident });
}
