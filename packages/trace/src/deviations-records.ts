import { FaultReason } from "@viommu/vtd-spec";
import type { Deviation } from "./deviation.ts";
import { reasonOf, RECORD_PASID, RECORD_PP, RECORD_REASON } from "./record-bits.ts";
import type { ReplayContext } from "./replay-context.ts";

type ReasonRule = (expected: number, actual: number, context: ReplayContext) => boolean;

/** A deviation in the fault reason shows in the answer and in the record. */
function reasonDeviation(name: string, why: string, reason: ReasonRule): Deviation {
  return {
    name,
    why,
    reason,
    recordBits: (expected, actual, context) =>
      reason(reasonOf(expected), reasonOf(actual), context) ? RECORD_REASON : 0n,
  };
}

/** Legacy-mode reasons and the scalable-mode reasons of the same conditions (VT-d 7.1.3). */
const SCALABLE_REASONS: ReadonlyMap<number, readonly number[]> = new Map<number, readonly number[]>(
  [
    [FaultReason.ROOT_NOT_PRESENT, [FaultReason.SM_ROOT_NOT_PRESENT]],
    [FaultReason.CONTEXT_NOT_PRESENT, [FaultReason.SM_CONTEXT_NOT_PRESENT]],
    [FaultReason.ADDRESS_BEYOND_WIDTH, [FaultReason.SM_SS_WIDTH]],
    [FaultReason.WRITE_DENIED, [FaultReason.SM_WRITE_DENIED, FaultReason.SM_SS_NO_PERMISSION]],
    [FaultReason.READ_DENIED, [FaultReason.SM_READ_DENIED, FaultReason.SM_SS_NO_PERMISSION]],
    [FaultReason.SS_RESERVED, [FaultReason.SM_SS_RESERVED]],
  ],
);

const scalableLegacyReason = reasonDeviation(
  "scalable-legacy-reason",
  "VT-d 7.1.3 has reasons of its own for scalable mode (39h, 41h, 79h, 7Ah, 84h to 86h); the reference reports those of legacy mode (01h, 02h, 0Ch, 04h to 06h) for root, context and second-stage entries",
  (expected, actual, context) =>
    context.scalable && (SCALABLE_REASONS.get(expected)?.includes(actual) ?? false),
);

const pasidEntryAbsentReason = reasonDeviation(
  "pasid-entry-absent-reason",
  "VT-d 7.1.3 reports an absent PASID entry as 59h; the reference looks at its type first and reports 5Bh",
  (expected, actual, context) =>
    context.scalable &&
    expected === FaultReason.PASID_ENTRY_INVALID &&
    actual === FaultReason.PASID_ENTRY_NOT_PRESENT,
);

const faultRecordPp: Deviation = {
  name: "fault-record-pp",
  why: "VT-d 11.4.7.6 has PP = 0 for a request without PASID; the reference records PP = 1 and PASID 0 for page-walk faults in scalable mode",
  recordBits: (expected, _, context) =>
    context.scalable && (expected & RECORD_PP) !== 0n && (expected & RECORD_PASID) === 0n
      ? RECORD_PP
      : 0n,
};

/** What the reference leaves in the PASID field: 16 ones. */
const NO_PASID_FIELD = 0xffffn << 104n;

const faultRecordPasidField: Deviation = {
  name: "fault-record-pasid-field",
  why: "VT-d 11.4.7.6 gives the PASID field a meaning only with PP = 1; the reference leaves ffffh in it for page-walk faults in legacy mode, where a unit has 0",
  recordBits: (expected, actual, context) =>
    !context.scalable &&
    ((expected | actual) & RECORD_PP) === 0n &&
    (expected & RECORD_PASID) === NO_PASID_FIELD &&
    (actual & RECORD_PASID) === 0n
      ? RECORD_PASID
      : 0n,
};

/** Deviations in fault reasons and fault records. */
export const RECORD_DEVIATIONS: readonly Deviation[] = [
  pasidEntryAbsentReason,
  scalableLegacyReason,
  faultRecordPp,
  faultRecordPasidField,
];
