import { Access, hiFromWords, highWord, loFromWords, lowWord, NO_PASID } from "@viommu/plugin";
import type { GuestMemory, HookTable, PageRequest } from "@viommu/plugin";
import {
  FaultReason,
  isQualified,
  Offset,
  PAGE_REQ_DSC,
  PQA,
  PRS,
  ResponseCode,
  TranslationTableMode,
} from "@viommu/vtd-spec";
import { bitsInWord } from "./bit-field.ts";
import type { EventInterrupt } from "./event-interrupt.ts";
import type { FaultLog } from "./fault-log.ts";
import type { PageRequestTables } from "./page-request-tables.ts";
import type { RegisterFile } from "./register-file.ts";
import type { TablePointers } from "./table-pointers.ts";

const PQS = bitsInWord(PQA, "PQS");
const PPR = bitsInWord(PRS, "PPR");
const PRO = bitsInWord(PRS, "PRO");
const PP = bitsInWord(PAGE_REQ_DSC, "PP");
const EXR = bitsInWord(PAGE_REQ_DSC, "EXR");
const PMR = bitsInWord(PAGE_REQ_DSC, "PMR");
const LPIG = bitsInWord(PAGE_REQ_DSC, "LPIG");

/** The only type of entry. */
const PAGE_REQUEST = 1;
/** Bytes of an entry. */
const ENTRY = 32;

/** Results of a page request that are no fault reason. */
export const PageRequestResult = {
  /** It is in the queue; software will answer. */
  QUEUED: 0,
  /** Dropped: the queue is full, or has overflowed before. */
  OVERFLOW: -1,
  /** Dropped without a record: the unit takes no page requests, or DMA remapping is off. */
  REFUSED: -2,
} as const;

/** Takes the answers to page requests of devices. */
export interface PageResponseSink {
  /**
   * A page group response. `pasid` is NO_PASID if the request had none, `group` the page request
   * group index, `code` one of `ResponseCode`.
   */
  respond(sourceId: number, pasid: number, group: number, code: number): void;
}

/** What the page request queue works with. */
export interface PageRequestParts {
  readonly file: RegisterFile;
  readonly memory: GuestMemory;
  readonly pointers: TablePointers;
  readonly tables: PageRequestTables;
  readonly faultLog: FaultLog;
  /** The page request event. */
  readonly event: EventInterrupt;
  readonly responses: PageResponseSink | null;
  readonly unit: string;
  readonly hooks: HookTable;
}

/** The page request queue (VT-d 7.4, 7.5, 11.4.11). */
export class PageRequestQueue {
  readonly #parts: PageRequestParts;

  constructor(parts: PageRequestParts) {
    this.#parts = parts;
    parts.file.onWrite(Offset.PRS, () => {
      if (parts.file.get(Offset.PRS) === 0) parts.event.serviced();
    });
  }

  /**
   * A device asks for a page. The result is one of {@link PageRequestResult} or the fault reason;
   * `enabled` says whether DMA remapping is on and the unit takes page requests.
   */
  accept(request: PageRequest, enabled: boolean): number {
    const { file, faultLog, tables, hooks, unit } = this.#parts;
    hooks.pageRequest?.(unit, request);
    if (!enabled) {
      this.#respond(request, ResponseCode.INVALID_REQUEST);
      return PageRequestResult.REFUSED;
    }
    const modeFault = this.#findModeFault();
    const reason = modeFault !== 0 ? modeFault : tables.admit(request);
    if (reason !== 0) {
      const suppressed = modeFault === 0 && tables.suppressed && isQualified(reason);
      faultLog.pageRequestFault(reason, request, suppressed);
      this.#respond(request, ResponseCode.INVALID_REQUEST);
      return reason;
    }
    if ((file.get(Offset.PRS) & PRO) !== 0 || this.#isFull()) {
      this.#raise(PRO);
      this.#respond(request, ResponseCode.SUCCESS);
      return PageRequestResult.OVERFLOW;
    }
    this.#store(request);
    this.#raise(PPR);
    return PageRequestResult.QUEUED;
  }

  /** Conditions RTA.1, RTA.3, RTA.4 (VT-d 7.1.3). */
  #findModeFault(): number {
    const { pointers } = this.#parts;
    if (!pointers.isValid) return FaultReason.TTM_INVALID;
    if (pointers.mode === TranslationTableMode.LEGACY) return FaultReason.PAGE_REQUEST_IN_LEGACY;
    return pointers.mode === TranslationTableMode.ABORT ? FaultReason.ABORT_MODE : 0;
  }

  #size(): number {
    return 4096 << (this.#parts.file.get(Offset.PQA) & PQS);
  }

  #tail(): number {
    return this.#parts.file.get(Offset.PQT) & (this.#size() - 1);
  }

  #isFull(): boolean {
    const head = this.#parts.file.get(Offset.PQH);
    return ((this.#tail() + ENTRY - head) & (this.#size() - 1)) === 0;
  }

  /** Writes the entry, then moves the tail. A write outside memory is lost. */
  #store(request: PageRequest): void {
    const { file, memory } = this.#parts;
    const tail = this.#tail();
    const low = file.get(Offset.PQA) & ~0xfff;
    const lo = loFromWords(low) + tail;
    const hi = hiFromWords(low, file.get(Offset.PQA + 4)) + (lo >>> 30);
    encode(request).forEach((word, i) => {
      memory.writeWord(hi, (lo & 0x3fff_ffff) + 4 * i, word);
    });
    file.set(Offset.PQT, (tail + ENTRY) & (this.#size() - 1));
  }

  /** A status bit that finds one set is no new condition. */
  #raise(bit: number): void {
    const { file, event } = this.#parts;
    const before = file.get(Offset.PRS);
    file.set(Offset.PRS, before | bit);
    if (before === 0) event.raise();
  }

  /** Answers the last request of a group (VT-d 7.4.1, table 31). No answer is owed to a stop marker. */
  #respond(request: PageRequest, code: number): void {
    const { sourceId, pasid, group, last, access } = request;
    if (!last || (access & Access.ATOMIC) === 0) return;
    this.#parts.responses?.respond(sourceId, pasid, group, code);
  }
}

/** A page request descriptor (VT-d 7.4.1.1). */
function encode(request: PageRequest): number[] {
  const { sourceId, pasid, access, hi, lo, group, last } = request;
  const withPasid = pasid !== NO_PASID;
  const executes = (access & Access.READ) !== 0 && (access & Access.EXECUTE) !== 0;
  const flags = (executes ? EXR : 0) | ((access & Access.PRIVILEGED) !== 0 ? PMR : 0);
  return [
    PAGE_REQUEST | (withPasid ? PP : 0) | (sourceId << 16),
    withPasid ? (pasid & 0xf_ffff) | flags : 0,
    // RDR and WRR are bits 0 and 1, as in Access
    (access & Access.ATOMIC) |
      (last ? LPIG : 0) |
      ((group & 0x1ff) << 3) |
      (lowWord(hi, lo) & ~0xfff),
    highWord(hi),
    0,
    0,
    0,
    0,
  ];
}
