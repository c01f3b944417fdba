import { Access } from "@viommu/plugin";
import type { Denial, DmaAnswer, IrqAnswer } from "./answers.ts";
import { comparison } from "./comparison.ts";
import type { Comparison, ComparisonClass } from "./comparison.ts";
import type { Substitute } from "./deviation.ts";
import { DEVIATIONS } from "./deviations.ts";
import type { DeniedResult, DmaEvent, IrqEvent } from "./format.ts";
import type { ReplayContext } from "./replay-context.ts";
import { accessLetters, faultText, hex, messageText } from "./text.ts";

/** A deviation's answer with its name. */
type Named<A> = Substitute<A> & { readonly name: string };

/**
 * Compares the answer to a DMA request: the decision, the address, the rights asked for, the reason.
 * `by` is the deviation that gave the answer in the unit's place, if one did. The answer may hold for
 * a smaller range than the reference's, not for a larger one.
 */
export function compareDma(
  event: DmaEvent,
  answer: DmaAnswer,
  context: ReplayContext,
  by?: Named<DmaAnswer>,
): Comparison {
  const { result } = event;
  let names: readonly string[] | undefined;
  if (result.ok && answer.ok) {
    const wanted = event.access & Access.ATOMIC;
    const whole = (answer.granted & Access.BYPASS) !== 0 || answer.mask <= result.mask;
    const same = answer.gpa === result.gpa && (answer.granted & wanted) === wanted && whole;
    names = same ? [] : undefined;
  } else if (!result.ok && !answer.ok) {
    names = explainReason(result, answer, context);
  }
  return judge(
    "dma",
    names,
    dmaText(result),
    dmaText(answer),
    by && { ...by, own: dmaText(by.own) },
  );
}

/** Compares the answer to an interrupt request: the decision, the message, the reason. */
export function compareIrq(
  event: IrqEvent,
  answer: IrqAnswer,
  context: ReplayContext,
  by?: Named<IrqAnswer>,
): Comparison {
  const { result } = event;
  let names: readonly string[] | undefined;
  if (result.ok && answer.ok) names = irqText(result) === irqText(answer) ? [] : undefined;
  else if (!result.ok && !answer.ok) names = explainReason(result, answer, context);
  return judge(
    "irq",
    names,
    irqText(result),
    irqText(answer),
    by && { ...by, own: irqText(by.own) },
  );
}

function explainReason(
  { fault: expected }: DeniedResult,
  { fault: actual }: Denial,
  context: ReplayContext,
): readonly string[] | undefined {
  if (expected === undefined || expected === actual) return [];
  if (actual === undefined) return undefined;
  const found = DEVIATIONS.find((deviation) => deviation.reason?.(expected, actual, context));
  return found && [found.name];
}

/** Where a deviation has answered and is right, it is named, and the unit's own answer shown. */
function judge(
  of: ComparisonClass,
  names: readonly string[] | undefined,
  expected: string,
  actual: string,
  by: { readonly name: string; readonly own: string } | undefined,
): Comparison {
  if (by === undefined || names === undefined) return comparison(of, names, expected, actual);
  return comparison(of, [by.name, ...names], expected, by.own);
}

function dmaText(result: DmaEvent["result"] | DmaAnswer): string {
  if (!result.ok) return faultText(result.fault);
  const rights = accessLetters("perm" in result ? result.perm : result.granted);
  return `${hex(result.gpa)}, ${rights} for a range of ${hex(result.mask + 1n)} bytes`;
}

function irqText(result: IrqEvent["result"] | IrqAnswer): string {
  if (!result.ok) return faultText(result.fault);
  return result.message === null ? "posted" : messageText(result.message);
}
