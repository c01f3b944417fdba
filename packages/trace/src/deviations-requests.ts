import { FaultReason, Offset } from "@viommu/vtd-spec";
import { askDma, askIrq } from "./answers.ts";
import type { Deviation } from "./deviation.ts";
import type { IrqEvent } from "./format.ts";
import type { ReplayContext } from "./replay-context.ts";
import { readRegister } from "./replay-unit.ts";

const cachedDenialUnreported: Deviation = {
  name: "cached-denial-unreported",
  why: "VT-d 7.1: every blocked request is reported (05h, 06h, 85h, 86h); the reference blocks a request that a cached translation denies, and reports nothing",
  dma: (event, context) => {
    if (event.result.ok || !event.result.cached) return undefined;
    const answer = askDma(context.unit, event, "probe");
    return answer.ok || answer.fault === undefined ? undefined : { answer, own: answer };
  },
};

const REMAPPABLE_FORMAT = 1n << 4n;

const compatFormatPassed: Deviation = {
  name: "compat-format-passed",
  why: "VT-d 5.1.4: with IRES = 1 and CFIS = 0, or EIME = 1, compatibility-format interrupts are blocked (25h); the reference passes them unchanged",
  irq: (event, context) => {
    if ((event.addr & REMAPPABLE_FORMAT) !== 0n || !event.result.ok || !context.remapping) {
      return undefined;
    }
    const own = askIrq(context.unit, event, requesterOf(event, context), "probe");
    if (own.ok || own.fault !== FaultReason.IR_COMPATIBILITY_BLOCKED) return undefined;
    const passed = { address: event.addr, data: event.data };
    return { answer: { ok: true, message: passed }, own };
  },
};

const ioapicRequesterUnchecked: Deviation = {
  name: "ioapic-requester-unchecked",
  why: "VT-d 5.1.4 and 9.9: SVT and SID of the entry are checked against the I/O APIC's source-id (26h); I/O APIC interrupts of the reference carry none and are not checked",
  irq: (event, context) => {
    if (event.sid !== null) return undefined;
    if (!event.result.ok && event.result.fault === FaultReason.IR_SOURCE_ID) return undefined;
    const own = askIrq(context.unit, event, requesterOf(event, context), "probe");
    if (own.ok || own.fault !== FaultReason.IR_SOURCE_ID) return undefined;
    const accepted = acceptedRequester(event, context);
    if (accepted === undefined) return undefined;
    return { answer: askIrq(context.unit, event, accepted, "remap"), own };
  },
};

/** The requester of an interrupt event: where the reference had none, the I/O APIC of the header. */
export function requesterOf(event: IrqEvent, context: ReplayContext): number {
  return event.sid ?? context.header.ioapic!.sid;
}

/** Index into the interrupt-remapping table of a remappable request (VT-d 5.1.3). */
export function remappingIndex(address: bigint, data: number): number {
  const handle = Number(((address >> 5n) & 0x7fffn) | (((address >> 2n) & 1n) << 15n));
  const subhandleValid = (address & 8n) !== 0n;
  return subhandleValid ? handle + (data & 0xffff) : handle;
}

/** A source-id that the interrupt-remapping entry of the request accepts (VT-d 9.9: SVT, SQ, SID). */
function acceptedRequester(event: IrqEvent, context: ReplayContext): number | undefined {
  const table = readRegister(context.unit, Offset.IRTA, 8) & ~0xfffn;
  const index = remappingIndex(event.addr, event.data);
  const entry = context.memory.peek(table + 16n * BigInt(index), 16);
  const sourceId = entry[8]! | (entry[9]! << 8);
  const validation = (entry[10]! >> 2) & 3;
  if (validation === 1) return sourceId; // SQ leaves bits of a match out, never the match itself
  return validation === 2 ? sourceId & 0xff00 : undefined; // the first bus of the range
}

/** Deviations for which the unit must not perform the request as its specification says. */
export const REQUEST_DEVIATIONS: readonly Deviation[] = [
  cachedDenialUnreported,
  compatFormatPassed,
  ioapicRequesterUnchecked,
];
