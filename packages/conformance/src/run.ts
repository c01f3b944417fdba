import type { Check } from "./check.ts";

/** What {@link runConformance} found. */
export interface ConformanceReport {
  /** How many checks passed. */
  readonly passed: number;
  readonly failed: readonly { readonly name: string; readonly message: string }[];
}

/** Runs checks one after the other, for programs without a test runner. */
export function runConformance(checks: readonly Check[]): ConformanceReport {
  const failed: { name: string; message: string }[] = [];
  for (const { name, run } of checks) {
    try {
      run();
    } catch (error) {
      failed.push({ name, message: error instanceof Error ? error.message : String(error) });
    }
  }
  return { passed: checks.length - failed.length, failed };
}
