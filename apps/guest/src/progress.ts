import cliProgress from "cli-progress";
import type { Terminal } from "./terminal.ts";

/** How far a long task is; does nothing where there is no terminal to draw on. */
export interface ProgressBar {
  /** A part with this name and length begins; `unit` is what is counted. */
  begin(name: string, total: number, unit: string): void;
  update(done: number): void;
  /** Removes the bar. */
  end(): void;
}

/** How many steps go by between two looks at the clock. */
const STRIDE = 256;

/** A progress bar on the terminal's error stream. */
export function createProgress({ bar: stream }: Terminal): ProgressBar {
  if (stream === undefined) {
    return { begin: () => undefined, update: () => undefined, end: () => undefined };
  }
  const bar = new cliProgress.SingleBar({
    stream,
    format: "{bar} {percentage}% | {value} of {total} {unit} | {name}",
    barsize: 30,
    fps: 20,
    clearOnComplete: true,
    hideCursor: true,
    barCompleteChar: "=",
    barIncompleteChar: "-",
  });
  let next = 0;
  return {
    begin: (name, total, unit) => {
      bar.stop();
      bar.start(total, 0, { name, unit });
      next = STRIDE;
    },
    update: (done) => {
      if (done < next) return;
      bar.update(done);
      next = done + STRIDE;
    },
    end: () => {
      bar.stop();
    },
  };
}
