import { isClean, replayTrace } from "@viommu/trace";
import type { Trace, TraceReport } from "@viommu/trace";
import type { AddCommand } from "../add-command.ts";
import { Exit } from "../exit.ts";
import type { ExitCode } from "../exit.ts";
import { createProgress } from "../progress.ts";
import { reportText, verdictLine } from "../replay-report.ts";
import type { Terminal } from "../terminal.ts";
import { loadTrace } from "../trace-file.ts";

/** `viommu replay`: recorded guests through the unit. */
export const addReplay: AddCommand = (program, terminal, end) => {
  program
    .command("replay")
    .description("replay recorded guests through the unit and compare everything it does")
    .argument("<trace...>", "trace files (viommu-trace version 1, .jsonl.gz or .jsonl)")
    .option("--json", "print one JSON object")
    .action(async (files: string[], { json = false }: { json?: boolean }) => {
      end(await replayFiles(files, json, terminal));
    });
};

/** Replays files and reports; all are read first, so that a bad one stops it before any output. */
export async function replayFiles(
  files: readonly string[],
  json: boolean,
  terminal: Terminal,
): Promise<ExitCode> {
  const started = terminal.now();
  const traces: Trace[] = [];
  for (const file of files) traces.push(await loadTrace(file));
  const reports = replayAll(traces, terminal);
  const ok = reports.every(isClean);
  if (json) {
    terminal.out(`${JSON.stringify({ ok, traces: reports })}\n`);
  } else {
    reports.forEach((report, i) => {
      terminal.out(`${reportText(traces[i]!, report, terminal.columns)}\n`);
    });
    terminal.out(verdictLine(reports, terminal.now() - started));
  }
  return ok ? Exit.OK : Exit.FAILED;
}

function replayAll(traces: readonly Trace[], terminal: Terminal): TraceReport[] {
  const progress = createProgress(terminal);
  try {
    return traces.map((trace) => {
      progress.begin(trace.header.name, trace.events.length, "events");
      return replayTrace(trace, {
        onProgress: (done) => {
          progress.update(done);
        },
      });
    });
  } finally {
    progress.end();
  }
}
