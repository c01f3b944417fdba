import { Access } from "@viommu/plugin";
import type { Denial, DmaAnswer, IrqAnswer } from "./answers.ts";
import { comparison } from "./comparison.ts";
import type { Comparison } from "./comparison.ts";
import { DEVIATIONS } from "./deviations.ts";
import type { DeniedResult, DmaEvent, IrqEvent } from "./format.ts";
import type { ReplayContext } from "./replay-context.ts";
import { accessLetters, faultText, hex, messageText } from "./text.ts";

/**
 * Compares the answer to a DMA request: the decision, the address, the rights asked for, the reason.
 * `name` is the deviation that gave the answer in the unit's place, if one did. The answer may hold
 * for a smaller range than the reference's, not for a larger one.
 */
export function compareDma(
  event: DmaEvent,
  answer: DmaAnswer,
  name: string | undefined,
  context: ReplayContext,
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
  return comparison("dma", withName(names, name), dmaText(result), dmaText(answer));
}

/** Compares the answer to an interrupt request: the decision, the message, the reason. */
export function compareIrq(
  event: IrqEvent,
  answer: IrqAnswer,
  name: string | undefined,
  context: ReplayContext,
): Comparison {
  const { result } = event;
  let names: readonly string[] | undefined;
  if (result.ok && answer.ok) names = irqText(result) === irqText(answer) ? [] : undefined;
  else if (!result.ok && !answer.ok) names = explainReason(result, answer, context);
  return comparison("irq", withName(names, name), irqText(result), irqText(answer));
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

function withName(
  names: readonly string[] | undefined,
  name: string | undefined,
): readonly string[] | undefined {
  return names === undefined || name === undefined ? names : [name, ...names];
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
