import { Access } from "@viommu/plugin";
import { FaultReason, maxGuestAddressWidth } from "@viommu/vtd-spec";
import { askDma } from "./answers.ts";
import type { DmaAnswer } from "./answers.ts";
import type { Deviation, Substitute } from "./deviation.ts";
import { FLAG_A, FLAG_D, firstStageWay, withFlags } from "./first-stage-walk.ts";
import type { DmaEvent } from "./format.ts";
import { lastRead, PASID_ENTRY } from "./read-bytes.ts";
import type { ReplayContext } from "./replay-context.ts";

/** Whether the reference leaves out flags that it should set: it does where the other one is set. */
function isMissed(before: number, missed: number, cached: boolean): boolean {
  return cached || (missed === FLAG_D ? before & FLAG_A : before & FLAG_D) !== 0;
}

/**
 * The unit's answer where first-stage flags need not be set; undefined where that is not what keeps
 * it from answering as the reference has. `missed`: the reference has not set them either.
 */
function answerWithoutFlags(
  event: DmaEvent,
  context: ReplayContext,
  missed: boolean,
): Substitute<DmaAnswer> | undefined {
  const { unit, memory, capabilities } = context;
  if (!context.scalable || capabilities.FSTS === 0 || isUnreported(event)) return undefined;
  const own = memory.unnoticed(() => askDma(unit, event, "probe"));
  if (own.ok || own.fault !== FaultReason.FS_FLAGS_NOT_SNOOPED) return undefined;
  const way = firstStageWay(event, context);
  const cached = event.reads.length === 0;
  for (const { before, flags } of missed ? way : []) {
    if ((flags & ~before) !== 0 && !isMissed(before, flags & ~before, cached)) return undefined;
  }
  return { answer: withFlags(way, context, () => askDma(unit, event, "translate")), own };
}

/** Nothing was reported: another deviation is about that. */
function isUnreported({ result }: DmaEvent): boolean {
  return !result.ok && result.fault === undefined;
}

const firstStageFlagsUnsnooped: Deviation = {
  name: "first-stage-flags-unsnooped",
  why: "VT-d 7.1.3: where walks do not snoop (ECAP.SMPWCS = 0, or PWSNP = 0), a request that would set A or D of a first-stage entry is blocked (90h); the reference sets the flags",
  dma: (event, context) =>
    event.writes.length === 0 ? undefined : answerWithoutFlags(event, context, false),
  flags: ({ address, before, expected }, event, context) => {
    if (event.kind !== "dma" || context.capabilities.SMPWCS !== 0) return false;
    const entry = firstStageWay(event, context).find((candidate) => candidate.address === address);
    if (entry === undefined || (before & entry.flags) !== 0) return false;
    return expected === (before | entry.flags);
  },
};

const firstStageDirtyMissed: Deviation = {
  name: "first-stage-dirty-missed",
  why: "VT-d 3.6.2: a write sets D of the first-stage entry of its page; the reference sets nothing if A or D is 1 already, nor in an entry that it has cached",
  dma: (event, context) =>
    event.writes.length === 0 ? answerWithoutFlags(event, context, true) : undefined,
  flags: ({ address, before, expected, actual }, event, context) => {
    if (event.kind !== "dma" || !context.scalable || context.capabilities.FSTS === 0) return false;
    const missed = expected ^ actual;
    const mine = (event.access & Access.WRITE) !== 0 ? FLAG_A | FLAG_D : FLAG_A;
    if ((address & 7n) !== 0n || (missed & ~mine) !== 0 || (missed & expected) !== 0) return false;
    return isMissed(before, missed, event.reads.length === 0);
  },
};

/** Whether all bits from bit `width - 1` up are alike. */
function isCanonical(address: bigint, width: number): boolean {
  const upper = address >> BigInt(width - 1);
  return upper === 0n || upper === (1n << BigInt(65 - width)) - 1n;
}

const firstStageCanonicalByWidth: Deviation = {
  name: "first-stage-canonical-by-aw",
  why: "VT-d 3.6: a first-stage address is canonical by the levels of its tables, 48 or 57 bits; the reference goes by AW of the PASID table entry, which is a field of the second stage",
  dma: (event, context) => {
    const { result, iova } = event;
    if (result.ok || result.fault !== FaultReason.FS_NOT_CANONICAL || !context.scalable) {
      return undefined;
    }
    const entry = lastRead(event, PASID_ENTRY);
    if (!entry) return undefined;
    const aw = 30 + 9 * Number((entry.qword(0) >> 2n) & 7n);
    const width = Math.min(aw, maxGuestAddressWidth(context.capabilities));
    const levels = (entry.qword(16) & 4n) === 0n ? 48 : 57;
    if (isCanonical(iova, width) || !isCanonical(iova, levels)) return undefined;
    // the reference has not walked: what our walk meets need not be in the trace
    const own = context.memory.unnoticed(() => askDma(context.unit, event, "probe"));
    if (!own.ok && own.fault === result.fault) return undefined;
    if (!result.disabled && !context.record(event, result.fault)) return undefined;
    return { answer: { ok: false, fault: result.fault }, own };
  },
};

/** Deviations of first-stage walks. */
export const FIRST_STAGE_DEVIATIONS: readonly Deviation[] = [
  firstStageFlagsUnsnooped,
  firstStageDirtyMissed,
  firstStageCanonicalByWidth,
];
