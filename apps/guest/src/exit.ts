/** How a command ends; other programs rely on the numbers. */
export const Exit = {
  OK: 0,
  /** A check failed: something differs from what it should be. */
  FAILED: 1,
  /** Wrong usage, or input that can't be read. */
  USAGE: 2,
} as const;

/** One of {@link Exit}. */
export type ExitCode = (typeof Exit)[keyof typeof Exit];
