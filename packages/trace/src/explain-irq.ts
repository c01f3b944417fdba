import { bits, decode, fromQwords, GSTS, IRTA, Offset } from "@viommu/vtd-spec";
import { askIrq } from "./answers.ts";
import type { IrqAnswer } from "./answers.ts";
import { requesterOf } from "./remapping-entry.ts";
import { walkInterrupt } from "./explain-interrupt.ts";
import type { ExplainedTables } from "./explain-tables.ts";
import { verdictOf } from "./explanation.ts";
import type { Story } from "./explanation.ts";
import type { IrqEvent, Message } from "./format.ts";
import type { ReplayContext } from "./replay-context.ts";
import { readRegister } from "./replay-unit.ts";
import { deviceName, faultText, hex, messageText } from "./text.ts";

/** Follows an interrupt request through the interrupt-remapping table, and asks the unit. */
export function explainIrq(
  event: IrqEvent,
  context: ReplayContext,
  tables: ExplainedTables,
): Story {
  const status = readRegister(context.unit, Offset.GSTS, 4);
  tables.show(GSTS, "GSTS", fromQwords([status]).subarray(0, 1), hex(Offset.GSTS));
  const words = fromQwords([readRegister(context.unit, Offset.IRTA, 8)]);
  tables.show(IRTA, "IRTA", words, hex(Offset.IRTA));
  const table = decode(IRTA, words);
  const isSet = (name: "IRES" | "CFIS"): boolean =>
    ((status >> BigInt(bits(GSTS, name).shift)) & 1n) === 1n;
  const requester = requesterOf(event, context);
  const request = { address: event.addr, data: event.data };
  const modes = {
    remapping: isSet("IRES"),
    compatibility: isSet("CFIS"),
    extended: table.EIME === 1n && context.capabilities.EIM !== 0,
    table: table.IRTA,
    size: 2 << Number(table.S),
  };
  const outcome = walkInterrupt(tables, modes, requester, request);
  const answer = askIrq(context.unit, event, requester, "probe");
  const walked =
    outcome.fault === undefined ? deliveryText(outcome.message) : faultText(outcome.fault);
  return {
    request: `interrupt of ${deviceName(requester)}${event.sid === null ? " (I/O APIC)" : ""}: ${messageText(request)}`,
    ...verdictOf(walked, outcome),
    unit: answerText(answer),
    agrees: answerText(answer) === walked,
  };
}

function answerText(answer: IrqAnswer): string {
  return answer.ok ? deliveryText(answer.message) : faultText(answer.fault);
}

function deliveryText(message: Message | null): string {
  return message === null ? "posted" : messageText(message);
}
