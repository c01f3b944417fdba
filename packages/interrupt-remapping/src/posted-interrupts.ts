import {
  Exchange,
  hiFromWords,
  InterruptRequest,
  InterruptResult,
  loFromWords,
} from "@viommu/plugin";
import type { GuestMemory, InterruptSink } from "@viommu/plugin";
import { bits, FaultReason, IRTE_POSTED, POSTED_INTERRUPT_DESCRIPTOR } from "@viommu/vtd-spec";
import type { EntryFormat } from "./entry-format.ts";
import { remappedMessage } from "./message.ts";

const { CONSUMED } = InterruptResult;
const VECTOR_SHIFT = bits(IRTE_POSTED, "VV").shift;
const VECTOR_MASK = bits(IRTE_POSTED, "VV").mask;
const URG = 1 << bits(IRTE_POSTED, "URG").shift;
const PDAL = bits(IRTE_POSTED, "PDAL").mask << bits(IRTE_POSTED, "PDAL").shift;

/** The notification vector lies where an entry has its vector. */
const NV =
  bits(POSTED_INTERRUPT_DESCRIPTOR, "NV").mask << bits(POSTED_INTERRUPT_DESCRIPTOR, "NV").shift;
const ON = 1 << bits(POSTED_INTERRUPT_DESCRIPTOR, "ON").shift;
const SN = 1 << bits(POSTED_INTERRUPT_DESCRIPTOR, "SN").shift;

/** Byte in the descriptor of the word with ON, SN and NV; NDST follows. */
const CONTROL = bits(POSTED_INTERRUPT_DESCRIPTOR, "ON").word * 4;

/**
 * How often a word is tried again which a guest CPU in another thread has changed meanwhile. Each
 * time that CPU got on; one that keeps changing it for so long gets a fault.
 */
const ATTEMPTS = 1000;

/** Posts interrupts into posted-interrupt descriptors (VT-d 5.2). */
export class PostedInterrupts {
  readonly #memory: GuestMemory;
  readonly #sink: InterruptSink;
  readonly #descriptor = new Int32Array(16);
  readonly #words = new Int32Array(2);
  readonly #event = new InterruptRequest();

  constructor(memory: GuestMemory, sink: InterruptSink) {
    this.#memory = memory;
    this.#sink = sink;
  }

  /**
   * Posts the interrupt of an entry whose own checks have passed (VT-d 5.2.3). The steps on the
   * descriptor are atomic one by one, in an order that loses no notification: first PIR, then ON.
   * @param effective false: only the answer, nothing is written or notified
   * @returns CONSUMED or the fault reason
   */
  post(
    word0: number,
    word1: number,
    word3: number,
    format: EntryFormat,
    effective: boolean,
  ): number {
    const hi = hiFromWords(word1 & PDAL, word3);
    const lo = loFromWords(word1 & PDAL);
    const descriptor = this.#descriptor;
    if (!this.#memory.readWords(hi, lo, 16, descriptor)) return FaultReason.PID_ACCESS;
    for (let i = 0; i < 16; i += 1) {
      if ((descriptor[i]! & format.descriptor[i]!) !== 0) return FaultReason.PID_RESERVED;
    }
    if (!effective) return this.#isWritable(hi, lo) ? CONSUMED : FaultReason.PID_ACCESS;
    const vector = (word0 >>> VECTOR_SHIFT) & VECTOR_MASK;
    if (!this.#setRequest(hi, lo + (vector >>> 5) * 4, 1 << (vector & 31))) {
      return FaultReason.PID_ACCESS;
    }
    return this.#notify(hi, lo + CONTROL, (word0 & URG) !== 0, format);
  }

  /** Sets a bit of PIR. */
  #setRequest(hi: number, lo: number, bit: number): boolean {
    const words = this.#words;
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      if (!this.#memory.readWords(hi, lo, 1, words)) return false;
      const result = this.#memory.exchangeWord(hi, lo, words[0]!, words[0]! | bit);
      if (result !== Exchange.DIFFERS) return result === Exchange.DONE;
    }
    return false;
  }

  /** Sets ON and sends the notification event, if one is due. */
  #notify(hi: number, lo: number, urgent: boolean, format: EntryFormat): number {
    const words = this.#words;
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      if (!this.#memory.readWords(hi, lo, 2, words)) return FaultReason.PID_ACCESS;
      const control = words[0]!;
      if ((control & ON) !== 0 || (!urgent && (control & SN) !== 0)) return CONSUMED;
      const result = this.#memory.exchangeWord(hi, lo, control, control | ON);
      if (result === Exchange.FAILED) return FaultReason.PID_ACCESS;
      if (result === Exchange.DIFFERS) continue;
      const destination = (words[1]! >>> format.destinationShift) & format.destinationMask;
      const event = this.#event;
      remappedMessage(event, control & NV, destination); // fixed, physical, edge, asserted
      this.#sink.deliver(event.messageUpper, event.messageAddress, event.messageData);
      return CONSUMED;
    }
    return FaultReason.PID_ACCESS;
  }

  /** Asks without effect: the exchange could only put in what it has found. */
  #isWritable(hi: number, lo: number): boolean {
    const other = ~this.#descriptor[0]!;
    return this.#memory.exchangeWord(hi, lo, other, other) !== Exchange.FAILED;
  }
}
