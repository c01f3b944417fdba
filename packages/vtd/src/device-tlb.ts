import type { RegisterFile } from "./register-file.ts";
import { FaultStatusBit } from "./fault-status.ts";
import type { FaultStatus } from "./fault-status.ts";
import { Offset } from "@viommu/vtd-spec";

/** Invalidations that a device may have pending (PCI Express ATS: invalidation tags of 5 bits). */
const PENDING_PER_DEVICE = 32;

/** The device-TLBs behind a unit. */
export interface DeviceTlbSink {
  /**
   * A device shall drop its translations of 2^order pages of 4 KiB (52: all). `pasid` is NO_PASID
   * for translations of requests without PASID, and `ALL_PASIDS` for those of every PASID.
   * "pending" says that `deviceTlbCompleted` or `deviceTlbTimedOut` of the unit will be called.
   */
  invalidate(
    sourceId: number,
    pasid: number,
    hi: number,
    lo: number,
    order: number,
  ): "done" | "timeout" | "pending";
}

/** Device-TLB invalidations under way, and the errors ICE and ITE (VT-d 4.3, 6.5.2.11). */
export class DeviceTlbInvalidations {
  readonly #file: RegisterFile;
  readonly #status: FaultStatus;
  readonly #sink: DeviceTlbSink | null;
  /** Number of invalidations without a completion, by source-id. */
  readonly #pending = new Map<number, number>();

  constructor(file: RegisterFile, status: FaultStatus, sink: DeviceTlbSink | null) {
    this.#file = file;
    this.#status = status;
    this.#sink = sink;
  }

  /** True when no device has an invalidation pending. */
  get idle(): boolean {
    return this.#pending.size === 0;
  }

  /** Whether a device can take one more invalidation. */
  hasRoom(sourceId: number): boolean {
    return (this.#pending.get(sourceId) ?? 0) < PENDING_PER_DEVICE;
  }

  /** Sends an invalidation; without devices it is over at once. */
  send(sourceId: number, pasid: number, hi: number, lo: number, order: number): void {
    if (this.#sink === null) return;
    // counted before it is sent: the device may complete it inside the call
    this.#pending.set(sourceId, (this.#pending.get(sourceId) ?? 0) + 1);
    const answer = this.#sink.invalidate(sourceId, pasid, hi, lo, order);
    if (answer === "done") this.#finish(sourceId);
    if (answer === "timeout") this.timedOut(sourceId);
  }

  /** A completion arrived. One that no invalidation waits for is the error ICE. */
  completed(sourceId: number): void {
    if (this.#finish(sourceId) || this.#status.has(FaultStatusBit.ICE)) return;
    this.#setRecordHigh(0x0000_ffff, sourceId << 16);
    this.#status.raise(FaultStatusBit.ICE);
  }

  /** A device did not answer in time: the error ITE. False when nothing was pending. */
  timedOut(sourceId: number): boolean {
    if (!this.#finish(sourceId)) return false;
    if (this.#status.has(FaultStatusBit.ITE)) return true;
    this.#setRecordHigh(0xffff_0000, sourceId & 0xffff);
    this.#status.raise(FaultStatusBit.ITE);
    return true;
  }

  /** Forgets everything; what devices still complete is not expected any more. */
  reset(): void {
    this.#pending.clear();
  }

  /** Source-ids and numbers of pending invalidations, for a snapshot. */
  save(): Int32Array {
    return Int32Array.from([...this.#pending].flat());
  }

  restore(pairs: Int32Array): void {
    this.#pending.clear();
    for (let i = 0; i + 1 < pairs.length; i += 2) this.#pending.set(pairs[i]!, pairs[i + 1]!);
  }

  /** False when the device has no invalidation pending. */
  #finish(sourceId: number): boolean {
    const count = this.#pending.get(sourceId);
    if (count === undefined) return false;
    if (count > 1) this.#pending.set(sourceId, count - 1);
    else this.#pending.delete(sourceId);
    return true;
  }

  #setRecordHigh(kept: number, bits: number): void {
    const offset = Offset.IQERCD + 4;
    this.#file.set(offset, (this.#file.get(offset) & kept) | bits);
  }
}
