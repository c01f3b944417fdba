import type { InterruptSink } from "@viommu/plugin";
import { FECTL } from "@viommu/vtd-spec";
import { bitsInWord } from "./bit-field.ts";
import type { RegisterFile } from "./register-file.ts";

const IM = bitsInWord(FECTL, "IM");
const IP = bitsInWord(FECTL, "IP");

/**
 * One of the unit's own interrupts: fault, invalidation completion or page request event
 * (VT-d 7.3, 6.5.2.10, 7.5). The three have the same registers, 4 bytes apart: control with mask IM
 * and pending bit IP, data, address, upper address. They are never remapped.
 */
export class EventInterrupt {
  readonly #file: RegisterFile;
  readonly #control: number;
  readonly #sink: InterruptSink;

  /** `control` is the offset of FECTL, IECTL or PECTL. */
  constructor(file: RegisterFile, control: number, sink: InterruptSink) {
    this.#file = file;
    this.#control = control;
    this.#sink = sink;
    file.onWrite(control, () => {
      this.#send();
    });
  }

  /** A new interrupt condition; the caller has found no older one unserviced. */
  raise(): void {
    this.#file.set(this.#control, this.#file.get(this.#control) | IP);
    this.#send();
  }

  /** Software has serviced every condition, by polling if the message was held back. */
  serviced(): void {
    this.#file.set(this.#control, this.#file.get(this.#control) & ~IP);
  }

  /** Sends what is pending and not masked. IP is clear before the message leaves. */
  #send(): void {
    const control = this.#file.get(this.#control);
    if ((control & IP) === 0 || (control & IM) !== 0) return;
    this.serviced();
    this.#sink.deliver(
      this.#file.get(this.#control + 12),
      this.#file.get(this.#control + 8),
      this.#file.get(this.#control + 4),
    );
  }
}
