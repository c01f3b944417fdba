import { NO_PASID } from "@viommu/plugin";
import { FaultReason, PasidTranslationType } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { askDma } from "./answers.ts";
import type { DmaAnswer } from "./answers.ts";
import type { Deviation, Substitute } from "./deviation.ts";
import { firstStageWay, withFlags } from "./first-stage-walk.ts";
import type { DmaEvent } from "./format.ts";
import type { ReplayContext } from "./replay-context.ts";
import { scalableEntries } from "./scalable-entries.ts";

const ADDRESS = 0xffff_ffff_ffff_f000n;
const P_FPD = 3n;
const RID_PASID = 0xf_ffffn;
/** DTE, PASIDE and PRE of a context entry; RID_PASID and RID_PRIV in its second word. */
const CONTEXT_FLAGS = 0x1cn;
const PASIDE = 1n << 3n;
const CONTEXT_RID = 0x1f_ffffn;
/** AW and PGTT of a PASID table entry; DID in its second word, FSPM in its third. */
const AW = 0x1cn;
const PGTT = 0x1c0n;
const DID = 0xffffn;
const FSPM = 0xcn;

const PASID_ENTRY_BYTES = 64;

/** Reasons of a unit for fields that the reference does not look at. */
const UNCHECKED: ReadonlySet<number | undefined> = new Set<number | undefined>([
  FaultReason.SM_CONTEXT_RESERVED,
  FaultReason.SM_CONTEXT_INVALID,
  FaultReason.SM_PASID_DISABLED,
  FaultReason.PASID_DIR_RESERVED,
  FaultReason.PASID_ENTRY_RESERVED,
]);

/** Two words of a context entry with nothing in them but what the reference goes by. */
function usedContext(low: bigint, high: bigint, event: DmaEvent): bigint[] {
  const pasid = event.pasid === NO_PASID ? 0n : PASIDE;
  return [(low & ~CONTEXT_FLAGS) | pasid, high & ~CONTEXT_RID];
}

/** The same for a PASID table entry. */
function usedPasidEntry(words: readonly bigint[], capabilities: Capabilities): bigint[] {
  const [first, second, third] = words as [bigint, bigint, bigint];
  const type = Number((first & PGTT) >> 6n);
  const { FIRST_STAGE, SECOND_STAGE } = PasidTranslationType;
  const base = first & (P_FPD | PGTT);
  const rest = [second & DID, 0n, 0n, 0n, 0n, 0n, 0n];
  if (type === SECOND_STAGE && capabilities.SSTS !== 0) {
    return [base | (first & (AW | ADDRESS)), ...rest];
  }
  if (type === FIRST_STAGE && capabilities.FSTS !== 0) rest[1] = third & (ADDRESS | FSPM);
  return [base, ...rest];
}

function bytesOf(words: readonly bigint[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(8 * words.length));
  words.forEach((word, i) => {
    view.setBigUint64(8 * i, word, true);
  });
  return new Uint8Array(view.buffer);
}

/** Does something while the entries of a request hold only what the reference goes by. */
function withUsedEntries<T>(event: DmaEvent, context: ReplayContext, action: () => T): T {
  const { memory, capabilities } = context;
  const words = (address: bigint, count: number): bigint[] =>
    Array.from({ length: count }, (_, i) => memory.peekQword(address + 8n * BigInt(i)));
  const { contextEntry } = scalableEntries(event, context);
  if (contextEntry === undefined) return action();
  const [low, high] = words(contextEntry, 2) as [bigint, bigint];
  return memory.lend(contextEntry, bytesOf(usedContext(low, high, event)), () => {
    const { directoryEntry, pasidEntry } = scalableEntries(event, context);
    if (directoryEntry === undefined || pasidEntry === undefined) return action();
    if (!memory.isReadable(pasidEntry, PASID_ENTRY_BYTES)) return action();
    const directory = memory.peekQword(directoryEntry) & (P_FPD | ADDRESS);
    return memory.lend(directoryEntry, bytesOf([directory]), () => {
      const used = usedPasidEntry(words(pasidEntry, 3), capabilities);
      return memory.lend(pasidEntry, bytesOf(used), action);
    });
  });
}

/** The unit's answer with such entries, first-stage flags set as the request would set them. */
function answerByUsedEntries(event: DmaEvent, context: ReplayContext): DmaAnswer {
  return withUsedEntries(event, context, () => {
    const way = firstStageWay(event, context);
    const { capabilities, unit } = context;
    const flags = capabilities.SMPWCS === 0 ? way : [];
    return withFlags(flags, context, () => askDma(unit, event, "translate"));
  });
}

/** What the unit says itself, where that is not what the reference has answered. */
function differentAnswer(event: DmaEvent, context: ReplayContext): DmaAnswer | undefined {
  const { result } = event;
  if (!context.scalable || event.index === 1) return undefined;
  if (!result.ok && result.fault === undefined) return undefined;
  const own = context.memory.unnoticed(() => askDma(context.unit, event, "probe"));
  if (own.ok) return result.ok && result.gpa === own.gpa ? undefined : own;
  return !result.ok && result.fault === own.fault ? undefined : own;
}

const scalableEntriesUnchecked: Deviation = {
  name: "scalable-entries-unchecked",
  why: "VT-d 7.1.3: reserved bits, and DTE, PASIDE and PRE, are checked in context entries, PASID directory and PASID table entries of scalable mode (42h, 43h, 45h, 52h, 5Ah); the reference goes by P, FPD, AW, PGTT, FSPM and the addresses alone",
  dma: (event, context): Substitute<DmaAnswer> | undefined => {
    // reserved bits of a context entry that the reference does find
    if (!event.result.ok && event.result.fault === FaultReason.CONTEXT_RESERVED) return undefined;
    const own = differentAnswer(event, context);
    if (own === undefined || own.ok || !UNCHECKED.has(own.fault)) return undefined;
    return { answer: answerByUsedEntries(event, context), own };
  },
};

const ridPasidIgnored: Deviation = {
  name: "rid-pasid-ignored",
  why: "VT-d 9.4: requests without PASID use the PASID in RID_PASID of the context entry; the reference uses PASID 0",
  dma: (event, context): Substitute<DmaAnswer> | undefined => {
    if (event.pasid !== NO_PASID || !context.scalable) return undefined;
    const { contextEntry } = scalableEntries(event, context);
    if (contextEntry === undefined) return undefined;
    if ((context.memory.peekQword(contextEntry + 8n) & RID_PASID) === 0n) return undefined;
    const own = differentAnswer(event, context);
    return own && { answer: answerByUsedEntries(event, context), own };
  },
};

/** Deviations in the entries of scalable mode. */
export const SCALABLE_DEVIATIONS: readonly Deviation[] = [
  ridPasidIgnored,
  scalableEntriesUnchecked,
];
