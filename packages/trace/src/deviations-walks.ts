import { FaultReason, reservedMask, SM_ROOT_ENTRY } from "@viommu/vtd-spec";
import { askDma, dmaAnswer, dmaRequest } from "./answers.ts";
import type { Deviation } from "./deviation.ts";
import { firstStageWay, withFlags } from "./first-stage-walk.ts";
import { ENTRY, lastRead, ROOT_ENTRY } from "./read-bytes.ts";

const PS = 1n << 7n;
const PAGE_2M = 21n;
const PAGE_1G = 30n;
const INTERRUPT_RANGE = 0xfee0_0000n;

/** Whether a large page that maps this address has the interrupt address range in it. */
function sharesLargePage(gpa: bigint, entry: bigint): boolean {
  if ((entry & PS) === 0n) return false;
  if (gpa >> PAGE_2M === INTERRUPT_RANGE >> PAGE_2M) return true;
  const address = entry & 0xf_ffff_ffff_f000n & ~((1n << PAGE_2M) - 1n);
  const isAligned = address === (address >> PAGE_1G) << PAGE_1G;
  return isAligned && gpa >> PAGE_1G === INTERRUPT_RANGE >> PAGE_1G && address >> PAGE_1G === 3n;
}

const interruptRangeWholePage: Deviation = {
  name: "interrupt-range-whole-page",
  why: "VT-d 3.15 and 7.1.3: a request is blocked (0Eh, 87h) if its own output address is in FEEx_xxxxh; the reference blocks every request to a large page that has such an address in it",
  dma: (event, context) => {
    const { result } = event;
    const reason =
      context.capabilities.SMTS === 0
        ? FaultReason.OUTPUT_IN_INTERRUPT_RANGE
        : FaultReason.SM_OUTPUT_IN_INTERRUPT_RANGE;
    if (result.ok || result.fault !== reason) return undefined;
    const way = firstStageWay(event, context);
    const own = withFlags(way, context, () => askDma(context.unit, event, "probe"));
    const entry = lastRead(event, ENTRY);
    if (!own.ok || !entry || !sharesLargePage(own.gpa, entry.qword(0))) return undefined;
    if (!result.disabled && !context.record(event, reason)) return undefined;
    return { answer: { ok: false, fault: reason }, own };
  },
};

const rootHalvesChecked: Deviation = {
  name: "root-halves-checked",
  why: "VT-d 7.1.3: reserved bits are checked in the half of a scalable-mode root entry that is present and belongs to the device; the reference blocks the request also for those of the other half",
  dma: (event, context) => {
    const { result, sid } = event;
    if (result.ok || result.fault !== FaultReason.ROOT_RESERVED || !context.scalable) {
      return undefined;
    }
    const entry = lastRead(event, ROOT_ENTRY);
    const reserved = reservedMask(SM_ROOT_ENTRY, context.capabilities, context.hostAddressWidth);
    const half = (sid >> 7) & 1;
    const mask = (word: number): bigint =>
      (BigInt(reserved[2 * word + 1]! >>> 0) << 32n) | BigInt(reserved[2 * word]! >>> 0);
    if (!entry || (entry.qword(8 * half) & mask(half)) !== 0n) return undefined;
    if ((entry.qword(8 * (1 - half)) & mask(1 - half)) === 0n) return undefined;
    // the reference has not gone further: what our walk meets need not be in the trace
    const own = context.memory.unnoticed(() => askDma(context.unit, event, "probe"));
    if (!context.record(event, result.fault)) return undefined;
    return { answer: { ok: false, fault: result.fault }, own };
  },
};

/** Snoop behaviour in a second-stage entry that maps a page (VT-d 9.8). */
const SNP = 1n << 11n;

const snoopBitAccepted: Deviation = {
  name: "snoop-bit-accepted",
  why: "VT-d 9.8: SNP is reserved in second-stage entries while ECAP.SC = 0 (0Ch, 7Ah); a reference with scalable mode ignores it in entries that map pages",
  dma: (event, context) => {
    const { SMTS, SC } = context.capabilities;
    const entry = lastRead(event, ENTRY);
    if (SMTS === 0 || SC !== 0 || !entry || (entry.qword(0) & SNP) === 0n) return undefined;
    const { result } = event;
    if (!result.ok && (result.fault === undefined || RESERVED.has(result.fault))) return undefined;
    const { unit, memory } = context;
    const own = askDma(unit, event, "probe");
    if (own.ok || !RESERVED.has(own.fault ?? 0)) return undefined;
    const second = entry.address + 1n;
    const cleared = Uint8Array.of(memory.peek(second, 1)[0]! & ~Number(SNP >> 8n));
    return { answer: memory.lend(second, cleared, () => askDma(unit, event, "translate")), own };
  },
};

/** A reserved bit in a second-stage entry. */
const RESERVED: ReadonlySet<number> = new Set<number>([
  FaultReason.SS_RESERVED,
  FaultReason.SM_SS_RESERVED,
]);

/** Reasons, as the reference reports them, for which it doesn't look at all that FPD is in. */
const FPD_UNREAD: ReadonlySet<number> = new Set<number>([
  FaultReason.CONTEXT_RESERVED,
  FaultReason.PASID_DIR_NOT_PRESENT,
  FaultReason.PASID_ENTRY_NOT_PRESENT,
  FaultReason.PASID_ENTRY_INVALID,
]);

const faultDisableIncomplete: Deviation = {
  name: "fault-disable-incomplete",
  why: "VT-d 7.2: FPD keeps qualified faults out of the log, also in entries that are not present; the reference reports reserved bits of context entries whatever FPD says, and does not look at FPD of a PASID table that it can't use",
  dma: (event, context) => {
    const { result } = event;
    if (result.ok || result.disabled || !FPD_UNREAD.has(result.fault ?? 0)) return undefined;
    const request = dmaRequest(event);
    const own = dmaAnswer(request, context.unit.dma.probe(request));
    if (own.ok || own.fault === undefined || !request.suppressed) return undefined;
    // reserved bits of a PASID table entry come after its type in the reference
    const typeFirst =
      own.fault === FaultReason.PASID_ENTRY_RESERVED &&
      result.fault === FaultReason.PASID_ENTRY_INVALID;
    const fault = typeFirst ? result.fault : own.fault;
    return context.record(event, fault) ? { answer: { ok: false, fault }, own } : undefined;
  },
};

/** Deviations of table walks in general, before those of first-stage walks. */
export const WALK_DEVIATIONS: readonly Deviation[] = [
  rootHalvesChecked,
  interruptRangeWholePage,
  snoopBitAccepted,
  faultDisableIncomplete,
];
