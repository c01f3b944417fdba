/** Where a command writes, and what it knows of the outside world. */
export interface Terminal {
  /** The result of the command. */
  out(text: string): void;
  /** Everything for people only: errors, progress. */
  err(text: string): void;
  /** The stream for a progress bar; undefined where nobody would see it. */
  readonly bar: NodeJS.WriteStream | undefined;
  /** Columns to wrap text at. */
  readonly columns: number;
  /** Milliseconds since some moment. */
  now(): number;
}

const NO_TERMINAL_COLUMNS = 100;

/** The terminal of this process. */
export function processTerminal(): Terminal {
  // A reader that has seen enough (`viommu … | head`) is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit();
    throw error;
  });
  return {
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    bar: process.stderr.isTTY ? process.stderr : undefined,
    columns: process.stdout.isTTY ? process.stdout.columns : NO_TERMINAL_COLUMNS,
    now: () => performance.now(),
  };
}
