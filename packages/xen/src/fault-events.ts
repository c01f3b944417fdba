import type { InterruptSink } from "@viommu/plugin";
import type { VtdUnit } from "@viommu/vtd";

const MILLISECONDS = 1000;
/** FEDATA, FEADDR and FEUADDR (VT-d 11.4.7). */
const FEDATA = 0x3c;
const FEADDR = 0x40;
const FEUADDR = 0x44;

/**
 * The fault events of one domain, at most so many per second of the time that is handed in; a burst
 * may use what a second has. An event beyond that is put off: the guest then finds all its faults
 * with the one that comes, as the fault log keeps them.
 */
export class FaultEventLimit {
  /** Events that were put off. */
  held = 0;
  readonly #perSecond: number;
  #allowance: number;
  #now = 0;
  readonly #waiting = new Set<FaultEventGate>();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#allowance = perSecond;
  }

  /** One event now? Otherwise the gate is told later. */
  admit(gate: FaultEventGate): boolean {
    // an event behind one that waits is merged with it
    if (this.#allowance >= 1 && !this.#waiting.has(gate)) {
      this.#allowance -= 1;
      return true;
    }
    this.held += 1;
    this.#waiting.add(gate);
    return false;
  }

  /** Forgets what a gate has put off. */
  remove(gate: FaultEventGate): void {
    this.#waiting.delete(gate);
  }

  /** @param now milliseconds of a clock that does not go back */
  advance(now: number): void {
    const passed = Math.max(0, now - this.#now);
    this.#now = Math.max(now, this.#now);
    const gained = (passed * this.#perSecond) / MILLISECONDS;
    this.#allowance = Math.min(this.#perSecond, this.#allowance + gained);
    for (const gate of this.#waiting) {
      if (this.#allowance < 1) return;
      this.#allowance -= 1;
      this.#waiting.delete(gate);
      gate.release();
    }
  }
}

/** The sink of one unit's own messages: its fault events pass as the limit allows, the rest at once. */
export class FaultEventGate implements InterruptSink {
  readonly #sink: InterruptSink;
  readonly #limit: FaultEventLimit;
  readonly #out = new Int32Array(2);
  readonly #message = new Int32Array(3);
  #unit: VtdUnit | null = null;

  constructor(sink: InterruptSink, limit: FaultEventLimit) {
    this.#sink = sink;
    this.#limit = limit;
  }

  /** The unit whose messages come; a unit needs its sink before it exists. */
  set unit(unit: VtdUnit) {
    this.#unit = unit;
  }

  deliver(upper: number, address: number, data: number): void {
    if (this.#isFaultEvent(upper, address, data)) {
      this.#message.set([upper, address, data]);
      if (!this.#limit.admit(this)) return;
    }
    this.#sink.deliver(upper, address, data);
  }

  /** The event that was put off goes out. */
  release(): void {
    const [upper, address, data] = this.#message;
    this.#sink.deliver(upper!, address!, data!);
  }

  #isFaultEvent(upper: number, address: number, data: number): boolean {
    return (
      this.#register(FEADDR) === (address | 0) &&
      this.#register(FEDATA) === (data | 0) &&
      this.#register(FEUADDR) === (upper | 0)
    );
  }

  #register(offset: number): number {
    this.#unit!.read(offset, 4, this.#out);
    return this.#out[0]!;
  }
}
