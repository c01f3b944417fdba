import { FaultReason } from "@viommu/vtd-spec";
import { askDma, askIrq } from "./answers.ts";
import type { Deviation } from "./deviation.ts";
import { RemappingEntry, requesterOf, SVT } from "./remapping-entry.ts";

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
    if (own.ok) return undefined;
    const entry = new RemappingEntry(event, context);
    // SVT = 11b is a reserved value, and as little looked at
    const isReserved = own.fault === FaultReason.IRTE_RESERVED && entry.validation === 3;
    if (own.fault !== FaultReason.IR_SOURCE_ID && !isReserved) return undefined;
    // a fault is the I/O APIC's, whoever might have had more luck with the requester
    const requester =
      (event.result.ok ? entry.acceptedRequester : undefined) ?? requesterOf(event, context);
    return { answer: entry.answerWith((bytes) => (bytes[10]! &= ~SVT), requester), own };
  },
};

/** Deviations for which the unit must not perform the request as its specification says. */
export const REQUEST_DEVIATIONS: readonly Deviation[] = [
  cachedDenialUnreported,
  compatFormatPassed,
  ioapicRequesterUnchecked,
];
