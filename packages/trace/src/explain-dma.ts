import { Access } from "@viommu/plugin";
import { bits, decode, FaultReason, fromQwords, GSTS, Offset, RTADDR } from "@viommu/vtd-spec";
import { TranslationTableMode } from "@viommu/vtd-spec";
import { askDma } from "./answers.ts";
import { walkLegacy } from "./explain-legacy.ts";
import { hasPasid, isInterruptRange, isTranslated } from "./explain-requests.ts";
import { walkScalable } from "./explain-scalable.ts";
import type { ExplainedTables } from "./explain-tables.ts";
import { faulted, verdictOf } from "./explanation.ts";
import type { Outcome, Story } from "./explanation.ts";
import type { DmaEvent } from "./format.ts";
import type { ReplayContext } from "./replay-context.ts";
import { readRegister } from "./replay-unit.ts";
import { accessName, deviceName, faultText, hex } from "./text.ts";

/** Follows a DMA request through the tables, as VT-d 7.1.3 orders the checks, and asks the unit. */
export function explainDma(
  event: DmaEvent,
  context: ReplayContext,
  tables: ExplainedTables,
): Story {
  const outcome = walkDma(event, context, tables);
  const answer = askDma(context.unit, event, "probe");
  const pasid = hasPasid(event) ? `PASID ${hex(event.pasid)}` : "no PASID";
  const kind = event.index === 1 ? "translated" : "untranslated";
  const walked = outcome.fault === undefined ? hex(outcome.address) : faultText(outcome.fault);
  return {
    request: `${accessName(event.access)} by ${deviceName(event.sid)} at ${hex(event.iova)} (${kind}, ${pasid})`,
    ...verdictOf(walked, outcome),
    unit: answer.ok ? hex(answer.gpa) : faultText(answer.fault),
    agrees: answer.ok
      ? outcome.fault === undefined && outcome.address === answer.gpa
      : outcome.fault === answer.fault,
  };
}

function walkDma(event: DmaEvent, context: ReplayContext, tables: ExplainedTables): Outcome {
  const status = readRegister(context.unit, Offset.GSTS, 4);
  tables.show(GSTS, "GSTS", fromQwords([status]).subarray(0, 1), hex(Offset.GSTS));
  if (((status >> BigInt(bits(GSTS, "TES").shift)) & 1n) === 0n) {
    tables.note("translation is off");
    return { address: event.iova, pageShift: 0, because: "translation is off" };
  }
  if (!hasPasid(event) && !isTranslated(event) && isInterruptRange(event.iova)) {
    return toInterruptRange(event);
  }
  const words = fromQwords([readRegister(context.unit, Offset.RTADDR, 8)]);
  tables.show(RTADDR, "RTADDR", words, hex(Offset.RTADDR));
  const { RTA, TTM, SSIRWE } = decode(RTADDR, words);
  const { SMTS, ADMS, SSIRWS } = context.capabilities;
  const ioPermissions = SSIRWS !== 0 && SSIRWE === 1n;
  const invalid = faulted(FaultReason.TTM_INVALID, `TTM ${TTM} is not valid here`);
  switch (Number(TTM)) {
    case TranslationTableMode.LEGACY:
      return ioPermissions ? invalid : walkLegacy(tables, RTA, event);
    case TranslationTableMode.SCALABLE:
      return SMTS === 0 ? invalid : walkScalable(tables, { table: RTA, ioPermissions }, event);
    case TranslationTableMode.ABORT:
      return ADMS === 0 ? invalid : faulted(FaultReason.ABORT_MODE, "the unit is in abort mode");
    default:
      return invalid;
  }
}

/** A request to FEEx_xxxxh that is no interrupt: of these, zero-length reads complete (VT-d 3.15). */
function toInterruptRange({ iova, access }: DmaEvent): Outcome {
  if ((access & Access.ATOMIC) !== Access.NONE) {
    return faulted(FaultReason.IR_MALFORMED, "a request to FEEx_xxxxh that is no interrupt");
  }
  return { address: iova, pageShift: 12, because: "a zero-length read of FEEx_xxxxh completes" };
}
