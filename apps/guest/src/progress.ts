import cliProgress from "cli-progress";
import type { Terminal } from "./terminal.ts";

/** How far a long task is; does nothing where there is no terminal to draw on. */
export interface ProgressBar {
  /** A part with this name and length begins. */
  begin(name: string, total: number): void;
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
    format: "{bar} {percentage}% | {value} of {total} events | {name}",
    barsize: 30,
    fps: 20,
    clearOnComplete: true,
    hideCursor: true,
    barCompleteChar: "=",
    barIncompleteChar: "-",
  });
  return {
    begin: (name, total) => {
      bar.stop();
      bar.start(total, 0, { name });
    },
    update: (done) => {
      if (done % STRIDE === 0) bar.update(done);
    },
    end: () => {
      bar.stop();
    },
  };
}
