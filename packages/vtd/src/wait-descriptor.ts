import { loFromWords } from "@viommu/plugin";
import type { GuestMemory, InFlight } from "@viommu/plugin";
import { ICS, INV_WAIT_DSC, Offset } from "@viommu/vtd-spec";
import { bitsInWord } from "./bit-field.ts";
import type { DeviceTlbInvalidations } from "./device-tlb.ts";
import type { EventInterrupt } from "./event-interrupt.ts";
import type { RegisterFile } from "./register-file.ts";

const IF = bitsInWord(INV_WAIT_DSC, "IF");
const SW = bitsInWord(INV_WAIT_DSC, "SW");
const IWC = bitsInWord(ICS, "IWC");

/** What the completion of a wait descriptor works with. */
export interface WaitParts {
  readonly file: RegisterFile;
  readonly memory: GuestMemory;
  readonly hostAddressWidth: number;
  readonly inFlight: InFlight;
  readonly deviceTlb: DeviceTlbInvalidations;
  /** The invalidation completion event. */
  readonly event: EventInterrupt;
}

/**
 * The wait descriptor that the queue has reached (VT-d 6.5.2.9, 6.5.2.10). It completes when the
 * accesses begun before it have ended and no device owes a completion. The queue goes on only then,
 * whether or not FN asks for it. Page requests are queued at once, so PD has nothing to wait for.
 */
export class WaitDescriptor {
  readonly #parts: WaitParts;
  readonly #words = new Int32Array(4);
  #waiting = false;
  #fence = 0;

  constructor(parts: WaitParts) {
    this.#parts = parts;
    parts.file.onWrite(Offset.ICS, () => {
      if ((parts.file.get(Offset.ICS) & IWC) === 0) parts.event.serviced();
    });
  }

  get waiting(): boolean {
    return this.#waiting;
  }

  /** True when nothing is left to wait for. */
  get ready(): boolean {
    const { inFlight, deviceTlb } = this.#parts;
    return deviceTlb.idle && inFlight.drained(this.#fence);
  }

  begin(words: Int32Array): void {
    for (let i = 0; i < 4; i++) this.#words[i] = words[i]!;
    this.#fence = this.#parts.inFlight.mark();
    this.#waiting = true;
  }

  /** It will never complete: a device-TLB timed out, or the queue was switched off. */
  abort(): void {
    this.#waiting = false;
  }

  /** Completes: status write, then the event. */
  complete(): void {
    this.#waiting = false;
    const flags = this.#words[0]!;
    if ((flags & SW) !== 0) this.#writeStatus();
    if ((flags & IF) !== 0) this.#signal();
  }

  /** For a snapshot: whether it waits, and the descriptor. */
  save(): Int32Array {
    return this.#waiting ? Int32Array.of(1, ...this.#words) : new Int32Array(5);
  }

  /** Waits anew, for the accesses that are in flight in this machine. */
  restore(state: Int32Array): void {
    this.begin(state.subarray(1, 5));
    this.#waiting = state[0] === 1;
  }

  /** Address bits from the host address width up are ignored. A write that fails is lost. */
  #writeStatus(): void {
    const { memory, hostAddressWidth } = this.#parts;
    const low = this.#words[2]!;
    const hi = ((this.#words[3]! << 2) | (low >>> 30)) & ((1 << (hostAddressWidth - 30)) - 1);
    memory.writeWord(hi, loFromWords(low), this.#words[1]!);
  }

  /** A completion that finds IWC set is no new condition. */
  #signal(): void {
    const { file, event } = this.#parts;
    if ((file.get(Offset.ICS) & IWC) !== 0) return;
    file.set(Offset.ICS, IWC);
    event.raise();
  }
}
