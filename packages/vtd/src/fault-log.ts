import { Access, AddressType, NO_PASID } from "@viommu/plugin";
import type {
  DmaRequest,
  FaultRecord,
  HookTable,
  InterruptRequest,
  PageRequest,
} from "@viommu/plugin";
import type { Capabilities } from "@viommu/vtd-spec";
import { FaultRecordEncoder, RECORD_FAULT } from "./fault-record.ts";
import { FaultStatusBit } from "./fault-status.ts";
import type { FaultStatus } from "./fault-status.ts";
import type { RegisterFile } from "./register-file.ts";

/** What a fault log works with. */
export interface FaultLogParts {
  readonly file: RegisterFile;
  readonly status: FaultStatus;
  readonly capabilities: Capabilities;
  /** Byte offset of the first fault recording register. */
  readonly offset: number;
  /** Number of fault recording registers. */
  readonly count: number;
  readonly unit: string;
  readonly hooks: HookTable;
}

/**
 * Primary fault logging (VT-d 7.2.1): the fault recording registers, filled in a ring. Both engines
 * report to it. A fault under FPD (`suppressed`) is told to observers, but not recorded.
 */
export class FaultLog {
  readonly #parts: FaultLogParts;
  readonly #encoder: FaultRecordEncoder;
  /** The record that the next fault goes to. */
  #index = 0;

  constructor(parts: FaultLogParts) {
    this.#parts = parts;
    this.#encoder = new FaultRecordEncoder(parts.capabilities);
    for (let i = 0; i < parts.count; i++) {
      parts.file.onWrite(this.#lastWord(i), () => {
        this.#recordCleared();
      });
    }
  }

  /** A DMA request was blocked. */
  dmaFault(reason: number, request: DmaRequest): void {
    if (!request.suppressed) {
      this.#encoder.dma(reason, request);
      this.#record();
    }
    this.#tell(reason, "dma", request, request.addressType);
  }

  /** An interrupt request was blocked; `index` is -1 where it named none. */
  interruptFault(reason: number, request: InterruptRequest, index: number): void {
    const { sourceId, suppressed } = request;
    if (!suppressed) {
      this.#encoder.interrupt(reason, sourceId, index);
      this.#record();
    }
    const write = { sourceId, suppressed, pasid: NO_PASID, access: Access.WRITE, hi: 0, lo: 0 };
    this.#tell(reason, "interrupt", write, AddressType.UNTRANSLATED, index);
  }

  /** A page request was refused. */
  pageRequestFault(reason: number, request: PageRequest, suppressed: boolean): void {
    if (!suppressed) {
      this.#encoder.pageRequest(reason, request);
      this.#record();
    }
    this.#tell(reason, "page-request", { ...request, suppressed }, AddressType.UNTRANSLATED);
  }

  /** DMA and interrupt remapping are both off: recording begins again with record 0. */
  restart(): void {
    this.#index = 0;
  }

  /** The record that the next fault goes to, for a snapshot. */
  get index(): number {
    return this.#index;
  }

  /** Takes back the index of a snapshot. */
  set index(index: number) {
    this.#index = (index >>> 0) % this.#parts.count;
  }

  #tell(
    reason: number,
    kind: FaultRecord["kind"],
    request: Pick<FaultRecord, "sourceId" | "pasid" | "access" | "hi" | "lo" | "suppressed">,
    addressType: number,
    index = -1,
  ): void {
    const notify = this.#parts.hooks.fault;
    if (notify === null) return;
    const { sourceId, pasid, access, hi, lo, suppressed } = request;
    const what = { reason, kind, sourceId, pasid, access, addressType, hi, lo, index, suppressed };
    notify(this.#parts.unit, what);
  }

  #lastWord(index: number): number {
    return this.#parts.offset + 16 * index + 12;
  }

  #isPending(index: number): boolean {
    return (this.#parts.file.get(this.#lastWord(index)) & RECORD_FAULT) !== 0;
  }

  /** Records what the encoder holds; the steps are those of VT-d 7.2.1. */
  #record(): void {
    const { file, status, count } = this.#parts;
    const { words } = this.#encoder;
    // With PFO set, nothing is recorded.
    if (status.has(FaultStatusBit.PFO)) return;
    // Several pending faults of one requester are collapsed into the first.
    for (let i = 0; i < count; i++) {
      const sourceId = file.get(this.#lastWord(i) - 4) & 0xffff;
      if (this.#isPending(i) && sourceId === (words[2]! & 0xffff)) return;
    }
    // The record is still in use: overflow.
    if (this.#isPending(this.#index)) {
      status.overflow();
      return;
    }
    const index = this.#index;
    const last = this.#lastWord(index);
    for (let i = 0; i < 3; i++) file.set(last - 12 + 4 * i, words[i]!);
    file.set(last, words[3]! | RECORD_FAULT);
    this.#index = (index + 1) % count;
    // The first pending record sets FRI and PPF, which may send the fault event.
    if (!status.has(FaultStatusBit.PPF)) status.recordPending(index);
  }

  /** Software cleared an F: PPF is the OR of all of them. */
  #recordCleared(): void {
    for (let i = 0; i < this.#parts.count; i++) if (this.#isPending(i)) return;
    this.#parts.status.recordsServiced();
  }
}
