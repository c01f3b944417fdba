import { FaultReason } from "@viommu/vtd-spec";
import { askIrq } from "./answers.ts";
import type { IrqAnswer } from "./answers.ts";
import type { Deviation, Substitute } from "./deviation.ts";
import type { IrqEvent } from "./format.ts";
import type { ReplayContext } from "./replay-context.ts";
import {
  DLM_SHIFT,
  IM,
  RemappingEntry,
  remappingIndex,
  requesterOf,
  SVT,
  SVT_SHIFT,
} from "./remapping-entry.ts";

const REMAPPABLE_FORMAT = 1n << 4n;
const SHV = 1n << 3n;
const INDEX_LIMIT = 0x1_0000;
/** Handle in the address of a request, bit 15 of it apart (VT-d 5.1.2). */
const HANDLE = (0x7fffn << 5n) | (1n << 2n);

/** What the unit says of a request that meets the table; undefined for all others. */
function ownAnswer(event: IrqEvent, context: ReplayContext): IrqAnswer | undefined {
  if ((event.addr & REMAPPABLE_FORMAT) === 0n || !context.remapping) return undefined;
  return askIrq(context.unit, event, requesterOf(event, context), "probe");
}

/** Whether the unit blocks the request with this reason, and the reference does not. */
function blocksAlone(own: IrqAnswer | undefined, event: IrqEvent, reason: number): boolean {
  if (own === undefined || own.ok || own.fault !== reason) return false;
  return event.result.ok || (event.result.fault !== undefined && event.result.fault !== reason);
}

/** Whether the reference has used an entry for an I/O APIC that the entry does not name. */
function isUnverified(own: IrqAnswer | undefined, event: IrqEvent): boolean {
  return event.sid === null && blocksAlone(own, event, FaultReason.IR_SOURCE_ID);
}

const subhandleWrap: Deviation = {
  name: "subhandle-wrap",
  why: "VT-d 5.1.3: an index beyond the table is blocked (21h); the reference adds handle and subhandle modulo 2^16",
  irq: (event, context) => {
    if ((event.addr & SHV) === 0n || remappingIndex(event.addr, event.data) < INDEX_LIMIT) {
      return undefined;
    }
    const own = ownAnswer(event, context);
    if (!blocksAlone(own, event, FaultReason.IR_INDEX_BEYOND_TABLE)) return undefined;
    const index = BigInt(remappingIndex(event.addr, event.data) % INDEX_LIMIT);
    const handle = ((index & 0x7fffn) << 5n) | ((index >> 15n) << 2n);
    const wrapped = { addr: (event.addr & ~HANDLE) | handle, data: event.data & ~0xffff };
    const answer = askIrq(context.unit, wrapped, requesterOf(event, context), "remap");
    return { answer, own: own! };
  },
};

const requestReservedLate: Deviation = {
  name: "request-reserved-late",
  why: "VT-d 5.1.4: reserved fields of a request are checked first (20h); the reference looks at data bits 31:16 after the entry, and reports what is wrong with that",
  irq: (event, context) => {
    if ((event.addr & SHV) === 0n || event.data >>> 16 === 0 || event.result.ok) return undefined;
    const own = ownAnswer(event, context);
    if (!blocksAlone(own, event, FaultReason.IR_REQUEST_RESERVED)) return undefined;
    const request = { ...event, data: event.data & 0xffff };
    // what is wrong with the entry may be so in the reference's view alone
    const byEntry =
      entryCheckOrder.irq?.(request, context) ?? sourceBusesReversed.irq?.(request, context);
    const answer =
      byEntry?.answer ?? askIrq(context.unit, request, requesterOf(event, context), "remap");
    return { answer, own: own! };
  },
};

const postedFormatAccepted: Deviation = {
  name: "posted-format-accepted",
  why: "VT-d 9.9: IM of an entry is reserved while CAP.PI = 0 (24h); the reference takes such an entry as one in remapped format",
  irq: (event, context) => {
    if (context.capabilities.PI !== 0) return undefined;
    const own = ownAnswer(event, context);
    const unverified = isUnverified(own, event);
    if (!unverified && !blocksAlone(own, event, FaultReason.IRTE_RESERVED)) return undefined;
    const entry = new RemappingEntry(event, context);
    if (!entry.isPosted) return undefined;
    const answer = entry.answerWith((bytes) => {
      bytes[1]! &= ~IM;
      if (unverified) bytes[10]! &= ~SVT;
    });
    return { answer, own: own! };
  },
};

const entryFieldsUnchecked: Deviation = {
  name: "entry-fields-unchecked",
  why: "VT-d 9.9: an entry with a reserved delivery mode, or with destination bits that 8-bit APIC ids do not have, is blocked (24h); the reference uses it",
  irq: (event, context) => {
    if (!event.result.ok) return undefined;
    const entry = new RemappingEntry(event, context);
    const mode = entry.deliveryMode;
    // 8-bit APIC ids are in bits 47:40
    const unused = context.extendedInterrupts ? [] : [4, 6, 7];
    if (!RESERVED_MODES.has(mode) && unused.every((i) => entry.bytes[i] === 0)) return undefined;
    const own = ownAnswer(event, context);
    const unverified = isUnverified(own, event);
    if (!unverified && !blocksAlone(own, event, FaultReason.IRTE_RESERVED)) return undefined;
    const answer = entry.answerWith((bytes) => {
      bytes[0]! &= ~(7 << DLM_SHIFT);
      for (const i of unused) bytes[i] = 0;
      if (unverified) bytes[10]! &= ~SVT;
    });
    return { answer: withDeliveryMode(answer, mode), own: own! };
  },
};

/** Values of DLM without a meaning. */
const RESERVED_MODES: ReadonlySet<number> = new Set([3, 6]);

function withDeliveryMode(answer: IrqAnswer, mode: number): IrqAnswer {
  if (!answer.ok || answer.message === null) return answer;
  const { address, data } = answer.message;
  return { ok: true, message: { address, data: data | (mode << 8) } };
}

const sourceBusesReversed: Deviation = {
  name: "source-buses-reversed",
  why: "VT-d 9.9: with SVT = 10b the bus of the requester is at least SID 15:8 and at most SID 7:0; the reference takes them the other way round",
  irq: (event, context) => {
    if (event.sid === null) return undefined;
    const entry = new RemappingEntry(event, context);
    if (entry.validation !== 2 || entry.bytes[8] === entry.bytes[9]) return undefined;
    const own = ownAnswer(event, context);
    if (own === undefined || agrees(own, event)) return undefined;
    const answer = entry.answerWith((bytes) => {
      bytes.set([entry.bytes[9]!, entry.bytes[8]!], 8);
    });
    return { answer, own };
  },
};

/** Whether both sides let the request pass, or block it with the same reason. */
function agrees(own: IrqAnswer, { result }: IrqEvent): boolean {
  return own.ok ? result.ok : !result.ok && result.fault === own.fault;
}

const entryCheckOrder: Deviation = {
  name: "entry-check-order",
  why: "VT-d 5.1.4: the requester is verified (26h) before the format of the entry (24h), to which SVT = 11b belongs; the reference does it afterwards, and reports 26h for SVT = 11b",
  irq: (event, context): Substitute<IrqAnswer> | undefined => {
    if (event.result.ok || event.sid === null) return undefined;
    const { sid, result } = event;
    const own = ownAnswer(event, context);
    if (own === undefined || own.ok) return undefined;
    const entry = new RemappingEntry(event, context);
    const validate = (svt: number) => (bytes: Uint8Array) => {
      bytes[10] = (bytes[10]! & ~(SVT | 3)) | (svt << SVT_SHIFT);
      bytes.set([~sid & 0xff, (~sid >> 8) & 0xff], 8);
    };
    const { IRTE_RESERVED, IR_SOURCE_ID } = FaultReason;
    if (result.fault === IRTE_RESERVED && own.fault === IR_SOURCE_ID) {
      return { answer: entry.answerWith(validate(0)), own };
    }
    if (result.fault !== IR_SOURCE_ID || own.fault !== IRTE_RESERVED) return undefined;
    return entry.validation === 3 ? { answer: entry.answerWith(validate(1)), own } : undefined;
  },
};

/** Deviations of interrupt requests that meet the interrupt-remapping table. */
export const INTERRUPT_DEVIATIONS: readonly Deviation[] = [
  subhandleWrap,
  requestReservedLate,
  postedFormatAccepted,
  entryFieldsUnchecked,
  entryCheckOrder,
  sourceBusesReversed,
];
