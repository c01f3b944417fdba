import { faultReason } from "@viommu/vtd-spec";
import type { Comparison } from "./comparison.ts";
import { hex } from "./text.ts";

/** A field of an entry, register or message. */
export interface ExplainedField {
  readonly name: string;
  readonly value: string;
  readonly doc: string;
}

/** One look at a register, a message or a table entry in memory. */
export interface ExplainedStep {
  /** "context entry of 00:02.0". */
  readonly name: string;
  /** Chapter of VT-d 5.10 that lays it out. */
  readonly chapter: string;
  /** Where it lies: an address in memory, or an offset in the register block. */
  readonly address?: string;
  /** Raw contents in words of 64 bits, lowest first; empty when it could not be read. */
  readonly words: readonly string[];
  readonly fields: readonly ExplainedField[];
  /** What follows from it, in words. */
  readonly note: string;
}

/** A fault reason with its place in the specification. */
export interface ExplainedFault {
  readonly code: string;
  readonly name: string;
  /** Chapter of VT-d 5.10. */
  readonly chapter: string;
  readonly text: string;
}

/** The walk behind one event of a trace, as `viommu explain --json` prints it. */
export interface Explanation {
  readonly trace: string;
  /** Number of the event; the first one is 1. */
  readonly event: number;
  /** Line in the file. */
  readonly line: number;
  readonly kind: string;
  /** What was asked, in words. */
  readonly request: string;
  readonly steps: readonly ExplainedStep[];
  /** How it ends and why, in words. */
  readonly verdict: string;
  readonly fault?: ExplainedFault;
  /** What the unit of the replay answers; absent where there is no answer. */
  readonly unit?: string;
  /** Whether the unit answers what the walk leads to; absent where there is no answer. */
  readonly agrees?: boolean;
  /** The event against the replay, as `viommu replay` compares it. */
  readonly comparisons: readonly Comparison[];
}

/** How a walk ends. */
export type Outcome =
  | { readonly fault: number; readonly because: string }
  | {
      readonly fault?: undefined;
      readonly address: bigint;
      /** The answer holds for 2^pageShift bytes. */
      readonly pageShift: number;
      readonly because: string;
    };

/** A fault outcome. */
export function faulted(fault: number, because: string): Outcome {
  return { fault, because };
}

/** The part of an explanation that depends on the kind of event. */
export type Story = Pick<Explanation, "request" | "verdict" | "fault" | "unit" | "agrees">;

/** The end of a story: the result, why, and the fault reason if there is one. */
export function verdictOf(
  result: string,
  outcome: { readonly fault?: number | undefined; readonly because: string },
): Pick<Story, "verdict" | "fault"> {
  const text = `${result}: ${outcome.because}`;
  return outcome.fault === undefined
    ? { verdict: text }
    : { verdict: text, fault: faultDetails(outcome.fault) };
}

function faultDetails(code: number): ExplainedFault {
  const info = faultReason(code);
  return {
    code: hex(code, 2),
    name: info?.name ?? "unknown",
    chapter: info?.chapter ?? "",
    text: info?.text ?? "",
  };
}
