import { FaultReason, faultReason } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import type { Deviation } from "./deviation.ts";
import { RECORD_ADDRESS, RECORD_PASID, RECORD_PP, RECORD_REASON } from "./record-bits.ts";
import { reasonOf, RECORD_SID } from "./record-bits.ts";
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
    [FaultReason.ROOT_ACCESS, [FaultReason.SM_ROOT_ACCESS]],
    [FaultReason.ROOT_NOT_PRESENT, [FaultReason.SM_ROOT_NOT_PRESENT]],
    [FaultReason.ROOT_RESERVED, [FaultReason.SM_ROOT_RESERVED]],
    [FaultReason.CONTEXT_ACCESS, [FaultReason.SM_CONTEXT_ACCESS]],
    [FaultReason.CONTEXT_NOT_PRESENT, [FaultReason.SM_CONTEXT_NOT_PRESENT]],
    [FaultReason.CONTEXT_RESERVED, [FaultReason.SM_CONTEXT_RESERVED]],
    // the only condition of 03h that the reference knows in scalable mode: the top table
    [FaultReason.CONTEXT_INVALID, [FaultReason.SM_SS_ROOT_ACCESS]],
    [FaultReason.SS_ENTRY_ACCESS, [FaultReason.SM_SS_ENTRY_ACCESS]],
    [FaultReason.ADDRESS_BEYOND_WIDTH, [FaultReason.SM_SS_WIDTH]],
    [FaultReason.WRITE_DENIED, [FaultReason.SM_WRITE_DENIED, FaultReason.SM_SS_NO_PERMISSION]],
    [FaultReason.READ_DENIED, [FaultReason.SM_READ_DENIED, FaultReason.SM_SS_NO_PERMISSION]],
    [FaultReason.SS_RESERVED, [FaultReason.SM_SS_RESERVED]],
  ],
);

const scalableLegacyReason = reasonDeviation(
  "scalable-legacy-reason",
  "VT-d 7.1.3 has reasons of its own for scalable mode (38h to 42h, 78h to 7Bh, 84h to 86h); the reference reports those of legacy mode (01h to 0Ch) for root, context and second-stage entries",
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

const interruptRangeReason = reasonDeviation(
  "interrupt-range-reason",
  "VT-d 7.1.3: an output address in FEEx_xxxxh has reason 0Eh in legacy mode; a reference with scalable mode reports 87h there too",
  (expected, actual, { scalable, capabilities }) =>
    !scalable &&
    capabilities.SMTS !== 0 &&
    expected === FaultReason.SM_OUTPUT_IN_INTERRUPT_RANGE &&
    actual === FaultReason.OUTPUT_IN_INTERRUPT_RANGE,
);

const firstStagePermissionFirst = reasonDeviation(
  "first-stage-permission-first",
  "VT-d 7.1.3: a present first-stage entry with a reserved bit is reported as 72h; the reference looks at U/S and R/W of the entry first (81h, 85h)",
  (expected, actual, { scalable }) =>
    scalable &&
    (expected === FaultReason.FS_USER_DENIED || expected === FaultReason.SM_WRITE_DENIED) &&
    actual === FaultReason.FS_RESERVED,
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

/** Reasons that the reference finds before it walks page tables, in its own codes. */
const BEFORE_WALK: ReadonlySet<number> = new Set<number>([
  FaultReason.ROOT_NOT_PRESENT,
  FaultReason.CONTEXT_NOT_PRESENT,
  FaultReason.ROOT_ACCESS,
  FaultReason.CONTEXT_ACCESS,
  FaultReason.ROOT_RESERVED,
  FaultReason.CONTEXT_RESERVED,
  FaultReason.PASID_DIR_ACCESS,
  FaultReason.PASID_DIR_NOT_PRESENT,
  FaultReason.PASID_ENTRY_ACCESS,
  FaultReason.PASID_ENTRY_NOT_PRESENT,
  FaultReason.PASID_ENTRY_INVALID,
]);

/** The upper 4 bits of the PASID field. */
const PASID_UPPER = 0xfn << 120n;

const faultRecordPasidLost: Deviation = {
  name: "fault-record-pasid-lost",
  why: "VT-d 11.4.7.6 has PP = 1 and the PASID of 20 bits for a request with PASID; the reference records neither for faults before the page walk, and 16 bits of the PASID for others",
  recordBits: (expected, actual, context) => {
    if (!context.scalable || (actual & RECORD_PP) === 0n) return 0n;
    if ((expected & (RECORD_PP | RECORD_PASID)) === 0n) {
      return BEFORE_WALK.has(reasonOf(expected)) ? RECORD_PP | RECORD_PASID : 0n;
    }
    const cut = (expected & RECORD_PP) !== 0n && (expected & PASID_UPPER) === 0n;
    return cut ? PASID_UPPER : 0n;
  },
};

const faultRecordAddressWhole: Deviation = {
  name: "fault-record-address-whole",
  why: "VT-d 11.4.7.6: bits of the address at and above the largest supported AGAW are 0 in a record; the reference records them",
  recordBits: (expected, actual, { capabilities }) => {
    if (faultReason(reasonOf(expected))?.group !== "dma") return 0n;
    const beyond = RECORD_ADDRESS & ~((1n << BigInt(largestAddressWidth(capabilities))) - 1n);
    return (actual & beyond) === 0n ? beyond : 0n;
  },
};

/** Width in bits of the widest input address: 39, 48 or 57. */
function largestAddressWidth({ SAGAW, FSTS, FS5LP }: Capabilities): number {
  if ((SAGAW & 8) !== 0 || FS5LP !== 0) return 57;
  return (SAGAW & 4) !== 0 || FSTS !== 0 ? 48 : 39;
}

/** Interrupt faults that the reference reports of an I/O APIC. */
const INTERRUPT_FAULTS: ReadonlySet<number> = new Set<number>([
  FaultReason.IR_REQUEST_RESERVED,
  FaultReason.IR_INDEX_BEYOND_TABLE,
  FaultReason.IRTE_NOT_PRESENT,
  FaultReason.IRTE_ACCESS,
  FaultReason.IRTE_RESERVED,
]);

const faultRecordNoRequester: Deviation = {
  name: "fault-record-no-requester",
  why: "VT-d 11.4.7.6: SID is the source-id of the blocked request; I/O APIC interrupts of the reference carry none, and their faults are recorded with FFFFh",
  recordBits: (expected, actual, { header }) =>
    INTERRUPT_FAULTS.has(reasonOf(expected)) &&
    (expected & RECORD_SID) === RECORD_SID &&
    header.ioapic !== undefined &&
    (actual & RECORD_SID) >> 64n === BigInt(header.ioapic.sid)
      ? RECORD_SID
      : 0n,
};

/** Deviations in fault reasons and fault records. */
export const RECORD_DEVIATIONS: readonly Deviation[] = [
  pasidEntryAbsentReason,
  scalableLegacyReason,
  interruptRangeReason,
  firstStagePermissionFirst,
  faultRecordPp,
  faultRecordPasidField,
  faultRecordPasidLost,
  faultRecordAddressWhole,
  faultRecordNoRequester,
];
