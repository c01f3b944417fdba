/** What a replay compares, each with its own counts. */
export const COMPARISON_CLASSES = [
  "dma",
  "irq",
  "mmioRead",
  "memWrite",
  "msi",
  "frcd",
  "registers",
] as const;

/** One of {@link COMPARISON_CLASSES}. */
export type ComparisonClass = (typeof COMPARISON_CLASSES)[number];

/** One thing that an event said, against what the unit did. */
export interface Comparison {
  readonly class: ComparisonClass;
  readonly verdict: "equal" | "accepted" | "different";
  /** Names of the deviations that explain an accepted difference. */
  readonly deviations: readonly string[];
  /** What the trace says, and what the unit did; in words, for people. */
  readonly expected: string;
  readonly actual: string;
}

/**
 * Makes the comparison of two values that have been told apart already: `names` is empty when they
 * are equal, undefined when the difference has no explanation.
 */
export function comparison(
  of: ComparisonClass,
  names: readonly string[] | undefined,
  expected: string,
  actual: string,
): Comparison {
  const verdict = names === undefined ? "different" : names.length > 0 ? "accepted" : "equal";
  return { class: of, verdict, deviations: names ?? [], expected, actual };
}
