import { ViommuError } from "@viommu/plugin";
import type { XlPosition } from "./value.ts";

/** What is wrong in a configuration file, and where. */
export interface XlProblem extends XlPosition {
  readonly text: string;
  readonly remedy: string;
}

/** More than these are not told: what follows is mostly due to the first ones. */
export const MOST_PROBLEMS = 20;

const SHOWN = 40;

/**
 * A configuration file that is refused: ERR_VIOMMU_XL_SYNTAX or ERR_VIOMMU_XL_VALUE. The message is
 * one line about the first problem: file, line, column, what is wrong, what to do.
 */
export class XlError extends ViommuError {
  /** All of them, in the order of the file; at least one. */
  readonly problems: readonly XlProblem[];

  constructor(
    code: "ERR_VIOMMU_XL_SYNTAX" | "ERR_VIOMMU_XL_VALUE",
    fileName: string,
    problems: readonly XlProblem[],
  ) {
    const { line, column, text, remedy } = problems[0]!;
    const more = problems.length === 1 ? "" : ` (and ${problems.length - 1} more)`;
    super(code, `${fileName}:${line}:${column}: ${text}; ${remedy}${more}`);
    this.problems = problems;
  }
}

/** Text of a file in a message: in quotes, on one line, not long. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text);
}
