import { encodeRecord } from "@viommu/plugin";
import type { InterruptSink, SnapshotHeader, Snapshottable } from "@viommu/plugin";
import { apicIdsOf, fingerprint } from "./apic-ids.ts";
import { DeliveryMode, INTERRUPT_RANGE } from "./delivery.ts";
import { Destinations } from "./destinations.ts";
import { ApicMode, LapicArray, Word } from "./vlapic-array.ts";
import { payloadOf } from "./snapshot.ts";

export interface LapicBusOptions {
  /** 1 to 1,048,576. */
  readonly vcpus: number;
  /** APIC id of each vCPU, 0 to FFFF_FFFEh, all different; the vCPU's number by default. */
  readonly apicIds?: ArrayLike<number>;
  /** Mode after power-on, of {@link ApicMode}: XAPIC (default), or X2APIC where firmware switches. */
  readonly initialMode?: number;
  /**
   * Bits 11:5 of an address with bit 4 = 0 are bits 14:8 of the destination: 15-bit APIC ids without
   * a remapper.
   */
  readonly extendedDestinationId?: boolean;
  /** Whether the guest may suppress EOI broadcasts (APIC version register bit 24); true by default. */
  readonly suppressEoiBroadcast?: boolean;
  /**
   * A vCPU took an interrupt: `vector` counts for the modes FIXED, LOWEST_PRIORITY and STARTUP. Called
   * inside the delivery: it may note the vCPU, and must not call the bus.
   */
  readonly onInterrupt?: (vcpu: number, vector: number, mode: number) => void;
  /** Name in a saved machine; "lapic-bus" by default. */
  readonly snapshotId?: string;
}

/**
 * The local APICs of a machine, and the bus that brings messages to them. A message for one vCPU
 * costs the same with 8 and with 65,536 of them; a broadcast costs as much as there are vCPUs. No
 * delivery allocates.
 */
export class LapicBus implements InterruptSink, Snapshottable {
  readonly snapshotId: string;
  readonly vcpus: number;
  /** Whether the guest may suppress EOI broadcasts. */
  readonly suppressEoiBroadcast: boolean;
  /** State and counters of each vLAPIC. */
  readonly lapics: LapicArray;
  readonly counters = {
    /** Messages and IPIs seen. */
    messages: 0,
    /** Those that no vLAPIC took: no such id, disabled, an illegal vector or a reserved mode. */
    unclaimed: 0,
    /** Messages that are no interrupt (an address outside FEEx_xxxxh) or the end of a level. */
    ignored: 0,
  };

  readonly #ids: Int32Array;
  readonly #destinations: Destinations;
  readonly #extended: boolean;
  readonly #onInterrupt: ((vcpu: number, vector: number, mode: number) => void) | null;
  readonly #header: SnapshotHeader;
  readonly #eoiListeners: ((vector: number) => void)[] = [];

  constructor(options: LapicBusOptions) {
    this.vcpus = options.vcpus;
    this.snapshotId = options.snapshotId ?? "lapic-bus";
    this.suppressEoiBroadcast = options.suppressEoiBroadcast ?? true;
    this.#ids = apicIdsOf(options.vcpus, options.apicIds);
    this.lapics = new LapicArray(options.vcpus, options.initialMode ?? ApicMode.XAPIC);
    this.#destinations = new Destinations(this.lapics, this.#ids);
    this.#extended = options.extendedDestinationId ?? false;
    this.#onInterrupt = options.onInterrupt ?? null;
    const shape = `${options.vcpus} local APICs with the ids ${fingerprint(this.#ids)}`;
    this.#header = { id: this.snapshotId, version: 2, shape };
  }

  apicId(vcpu: number): number {
    return this.#ids[vcpu]! >>> 0;
  }

  /**
   * Takes a message: destination 7:0 at address 19:12 and 31:8 at `upper` 31:8; redirection hint 3,
   * logical mode 2; vector, delivery mode, level and trigger mode in `data` (SDM vol. 3, 11.11). Any
   * values may come.
   */
  deliver(upper: number, address: number, data: number): void {
    this.counters.messages += 1;
    const level = (data & 0x8000) !== 0;
    // The end of a level (bit 14 = 0) concerns no local APIC since the Pentium 4.
    const ends = level && (data & 0x4000) === 0;
    if (ends || address >>> 20 !== INTERRUPT_RANGE || (upper & 0xff) !== 0) {
      this.counters.ignored += 1;
      return;
    }
    let destination = upper | ((address >>> 12) & 0xff);
    if (this.#extended && (address & 0x10) === 0) destination |= ((address >>> 5) & 0x7f) << 8;
    const mode = (data >>> 8) & 7;
    const legal = mode !== DeliveryMode.STARTUP; // reserved in a message
    const count = legal ? this.#destinations.select(destination, (address & 4) !== 0) : 0;
    this.#post(count, (address & 8) !== 0, mode, data & 0xff, level);
  }

  /**
   * Sends an interprocessor interrupt, always edge-triggered (SDM vol. 3, 11.6.1) to a 32-bit
   * destination (a signed int, EVERYONE is -1) without the vCPU `except` (-1: nobody is left out).
   */
  sendIpi(
    destination: number,
    logical: boolean,
    mode: number,
    vector: number,
    except: number,
  ): void {
    this.counters.messages += 1;
    let count = this.#destinations.select(destination, logical);
    if (except >= 0) count = this.#destinations.exclude(except, count);
    this.#post(count, false, mode, vector, false);
  }

  /** Sends an IPI of a vCPU to itself. */
  sendSelfIpi(vcpu: number, mode: number, vector: number): void {
    this.counters.messages += 1;
    this.#destinations.targets[0] = vcpu;
    this.#post(1, false, mode, vector, false);
  }

  /** The vector that {@link accept} would take now, or -1. */
  pending(vcpu: number): number {
    return this.lapics.pending(vcpu);
  }

  /** The core takes its highest pending vector above the processor priority: IRR to ISR; -1: none. */
  accept(vcpu: number): number {
    return this.lapics.accept(vcpu);
  }

  /** As {@link accept}, for a core already committed to an interrupt: the spurious vector for none. */
  acknowledge(vcpu: number): number {
    const vector = this.lapics.accept(vcpu);
    return vector >= 0 ? vector : this.lapics.words[this.lapics.base(vcpu) + Word.SVR]! & 0xff;
  }

  /** End of the highest interrupt in service; that of a level one is told to the I/O APICs. */
  eoi(vcpu: number): void {
    const vector = this.lapics.eoi(vcpu);
    if (vector < 0) return;
    for (const listener of this.#eoiListeners) listener(vector);
  }

  /** The core takes the events of `mask` (bits of `LapicEvent`) that wait for it. */
  takeEvents(vcpu: number, mask: number): number {
    return this.lapics.takeEvents(vcpu, mask);
  }

  /** Vector of the last start-up IPI: the core starts at page `vector`. */
  startupVector(vcpu: number): number {
    return this.lapics.words[this.lapics.base(vcpu) + Word.STARTUP_VECTOR]!;
  }

  /** What INIT does to the local APIC: the core calls it when it takes that event. */
  initialize(vcpu: number): void {
    this.lapics.initialize(vcpu);
    this.#destinations.update(vcpu);
  }

  /** Changes between the modes of IA32_APIC_BASE; a disabled APIC comes back as after power-on. */
  setMode(vcpu: number, mode: number): void {
    if (mode === ApicMode.DISABLED) this.lapics.initialize(vcpu);
    this.lapics.words[this.lapics.base(vcpu) + Word.MODE] = mode;
    this.#destinations.update(vcpu);
  }

  /** Writes LDR: bits 31:24 are the logical id of a vCPU in xAPIC mode. */
  setLogicalId(vcpu: number, ldr: number): void {
    this.lapics.words[this.lapics.base(vcpu) + Word.LDR] = ldr & 0xff00_0000;
    this.#destinations.update(vcpu);
  }

  /** `listener` hears the vectors of level interrupts at their EOI: an I/O APIC. */
  onEoi(listener: (vector: number) => void): void {
    this.#eoiListeners.push(listener);
  }

  reset(): void {
    this.lapics.resetAll();
    this.#destinations.rebuild();
  }

  save(): Uint8Array {
    const { words, accepted, merged } = this.lapics;
    const { messages, unclaimed, ignored } = this.counters;
    const payload = new Int32Array(this.#payloadWords);
    payload.set(words);
    payload.set(accepted, words.length);
    payload.set(merged, words.length + this.vcpus);
    [messages, unclaimed, ignored].forEach((count, i) => {
      payload.set([count, count / 2 ** 32], words.length + 2 * this.vcpus + 2 * i);
    });
    return encodeRecord(this.#header, payload);
  }

  check(record: Uint8Array): void {
    this.#payload(record);
  }

  restore(record: Uint8Array): void {
    const payload = this.#payload(record);
    const { words } = this.lapics;
    const counts = new Uint32Array(payload.buffer, 4 * words.length);
    const counter = (i: number): number => {
      const at = 2 * this.vcpus + 2 * i;
      return counts[at + 1]! * 2 ** 32 + counts[at]!;
    };
    this.lapics.load(payload.subarray(0, words.length));
    this.lapics.accepted.set(counts.subarray(0, this.vcpus));
    this.lapics.merged.set(counts.subarray(this.vcpus, 2 * this.vcpus));
    this.counters.messages = counter(0);
    this.counters.unclaimed = counter(1);
    this.counters.ignored = counter(2);
    this.#destinations.rebuild();
  }

  /** Registers, interrupts taken and merged of each vLAPIC, and the counters, two words each. */
  get #payloadWords(): number {
    return this.lapics.words.length + 2 * this.vcpus + 6;
  }

  /** Version 1 had the registers only: interrupts that were merged before the move were forgotten. */
  #payload(record: Uint8Array): Int32Array {
    const words = this.#payloadWords;
    const upgrades = {
      1: (registers: Int32Array): Int32Array =>
        registers.length === this.lapics.words.length
          ? Int32Array.from({ length: words }, (_, i) => registers[i] ?? 0)
          : registers, // its length is refused
    };
    return payloadOf(this.#header, record, words, upgrades);
  }

  #post(count: number, redirect: boolean, mode: number, vector: number, level: boolean): void {
    const { targets } = this.#destinations;
    let taken = 0;
    if (count > 1 && (redirect || mode === DeliveryMode.LOWEST_PRIORITY)) {
      const vcpu = this.#destinations.arbitrate(count, mode);
      if (vcpu >= 0) taken = this.#postTo(vcpu, mode, vector, level);
    } else {
      for (let i = 0; i < count; i += 1) taken += this.#postTo(targets[i]!, mode, vector, level);
    }
    if (taken === 0) this.counters.unclaimed += 1;
  }

  #postTo(vcpu: number, mode: number, vector: number, level: boolean): number {
    if (!this.lapics.post(vcpu, mode, vector, level)) return 0;
    if (this.#onInterrupt !== null) this.#onInterrupt(vcpu, vector, mode);
    return 1;
  }
}
