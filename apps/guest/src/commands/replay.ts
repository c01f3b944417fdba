import { isClean, replayStream } from "@viommu/trace";
import type { TraceHeader, TraceReport } from "@viommu/trace";
import type { AddCommand } from "../add-command.ts";
import { Exit } from "../exit.ts";
import type { ExitCode } from "../exit.ts";
import { createProgress } from "../progress.ts";
import { reportText, verdictLine } from "../replay-report.ts";
import type { Terminal } from "../terminal.ts";
import { withTrace } from "../trace-file.ts";

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

/** Replays files and reports; all are replayed first, so that a bad one stops it before any output. */
export async function replayFiles(
  files: readonly string[],
  json: boolean,
  terminal: Terminal,
): Promise<ExitCode> {
  const started = terminal.now();
  const replays = await replayAll(files, terminal);
  const reports = replays.map(({ report }) => report);
  const ok = reports.every(isClean);
  if (json) {
    terminal.out(`${JSON.stringify({ ok, traces: reports })}\n`);
  } else {
    for (const { header, report } of replays) {
      terminal.out(`${reportText(header, report, terminal.columns)}\n`);
    }
    terminal.out(verdictLine(reports, terminal.now() - started));
  }
  return ok ? Exit.OK : Exit.FAILED;
}

interface Replay {
  readonly header: TraceHeader;
  readonly report: TraceReport;
}

async function replayAll(files: readonly string[], terminal: Terminal): Promise<Replay[]> {
  const progress = createProgress(terminal);
  const replays: Replay[] = [];
  try {
    for (const file of files) {
      replays.push(
        await withTrace(file, async (stream) => {
          const { header, announced } = stream;
          progress.begin(header.name, announced, "events");
          const onProgress = (done: number): void => {
            progress.update(done);
          };
          return { header, report: await replayStream(stream, { onProgress }) };
        }),
      );
    }
    return replays;
  } finally {
    progress.end();
  }
}
