import { encodeRecord, InterruptResult, ViommuError } from "@viommu/plugin";
import type { MmioRegion, Snapshottable } from "@viommu/plugin";
import type { InterruptRoute } from "./interrupt-route.ts";
import {
  ioapicDeliver,
  isLevelTriggered,
  LOW_RESET,
  LOW_WRITABLE,
  RedirectionBit,
} from "./redirection-entry.ts";
import { payloadOf } from "./snapshot.ts";

/** Offsets of the register window. EOI exists from version 20h on. */
const Offset = { SELECT: 0x00, WINDOW: 0x10, EOI: 0x40 } as const;
/** Registers behind the window; two for each pin from ENTRIES on. */
const Index = { ID: 0, VERSION: 1, ARBITRATION: 2, ENTRIES: 0x10 } as const;

const ID_BITS = 0x0f00_0000;
const VERSION_WITH_EOI = 0x20;
const MIN_PINS = 1;
const MAX_PINS = 240;
/** An 8-bit select register reaches this many entries. */
const PINS_OF_8_BITS = 120;
const WINDOW_SIZE = 0x1000;

export interface IoapicOptions {
  /** Name of its register block and of its record in a saved machine. */
  readonly name: string;
  /** Guest-physical address of the register window. */
  readonly base: number;
  /** 1 to 240; 24 by default. */
  readonly pins?: number;
  /** APIC id after power-on, 0 to 15. */
  readonly id?: number;
  /** 11h: an 82093AA; 20h (default): with EOI register and extended destination ids. */
  readonly version?: number;
  readonly route: InterruptRoute;
  /** Pins whose line is wired low-active: their entries need polarity 1. */
  readonly lowActive?: readonly number[];
}

/** An I/O APIC: an 82093AA, or the later kind in chipsets with VT-d. */
export class Ioapic implements MmioRegion, Snapshottable {
  readonly name: string;
  readonly snapshotId: string;
  readonly base: number;
  readonly size: number = WINDOW_SIZE;
  readonly pins: number;
  readonly counters = {
    /** Messages sent and taken. */
    delivered: 0,
    /** Messages the remapper has blocked. */
    blocked: 0,
    /** Edges that came while their entry was masked. */
    lost: 0,
  };

  readonly #route: InterruptRoute;
  readonly #version: number;
  readonly #initialId: number;
  readonly #selectMask: number;
  readonly #lowActive: Uint8Array;

  #select = 0;
  #id = 0;
  /** Low and high half of each entry in turn. */
  readonly #entries: Int32Array;
  /** 1 for each line that its device asserts. */
  readonly #lines: Uint8Array;

  constructor(options: IoapicOptions) {
    const { pins = 24, id = 0, version = VERSION_WITH_EOI } = options;
    requireRange("pins", pins, MIN_PINS, MAX_PINS);
    requireRange("id", id, 0, 15);
    requireRange("version", version, 0x10, 0x2f);
    this.name = options.name;
    this.snapshotId = options.name;
    this.base = options.base;
    this.pins = pins;
    this.#route = options.route;
    this.#version = version;
    this.#initialId = id << 24;
    this.#selectMask = pins > PINS_OF_8_BITS ? 0x1ff : 0xff;
    this.#entries = new Int32Array(pins * 2);
    this.#lines = new Uint8Array(pins);
    this.#lowActive = new Uint8Array(pins);
    for (const pin of options.lowActive ?? []) {
      requireRange("lowActive pin", pin, 0, pins - 1);
      this.#lowActive[pin] = 1;
    }
    this.reset();
  }

  /**
   * A device asserts its line or takes it back. An edge counts from inactive to active; one that
   * comes while the entry is masked is lost, as the 82093AA says. A level is served as long as it is
   * active and its entry is not masked, once for each EOI.
   */
  setPin(pin: number, asserted: boolean): void {
    if (!(pin >= 0 && pin < this.pins)) {
      throw new ViommuError(
        "ERR_VIOMMU_PIN",
        `I/O APIC "${this.name}" has no pin ${pin}; its pins are 0 to ${this.pins - 1}`,
      );
    }
    if (this.#lines[pin] === Number(asserted)) return;
    this.#lines[pin] = Number(asserted);
    const low = this.#entries[pin * 2]!;
    if (!this.#isActive(pin, low)) return;
    if (isLevelTriggered(low)) this.#serveLevel(pin);
    else if ((low & RedirectionBit.MASKED) === 0) this.#send(pin);
    else this.counters.lost += 1;
  }

  /** An edge: the line goes up and down. */
  pulse(pin: number): void {
    this.setPin(pin, true);
    this.setPin(pin, false);
  }

  /**
   * An EOI with this vector, broadcast by a local APIC or written to the EOI register: ends every
   * level interrupt whose entry has the vector. A line that is still active interrupts again.
   */
  eoi(vector: number): void {
    for (let pin = 0; pin < this.pins; pin += 1) {
      const low = this.#entries[pin * 2]!;
      if ((low & RedirectionBit.REMOTE_IRR) === 0 || (low & 0xff) !== vector) continue;
      this.#entries[pin * 2] = low & ~RedirectionBit.REMOTE_IRR;
      this.#serveLevel(pin);
    }
  }

  read(offset: number, size: number, out: Int32Array): void {
    out[0] = 0;
    out[1] = 0;
    if (offset === Offset.SELECT && size <= 4) out[0] = this.#select;
    else if (offset === Offset.WINDOW && size === 4) out[0] = this.#readRegister(this.#select);
  }

  write(offset: number, size: number, low: number): void {
    if (size > 4) return;
    if (offset === Offset.SELECT) this.#select = low & this.#selectMask;
    else if (offset === Offset.WINDOW && size === 4) this.#writeRegister(this.#select, low);
    else if (offset === Offset.EOI && this.#version >= VERSION_WITH_EOI) this.eoi(low & 0xff);
  }

  /** Power-on state of the registers. The lines belong to the devices and stay as they are. */
  reset(): void {
    this.#select = 0;
    this.#id = this.#initialId;
    for (let pin = 0; pin < this.pins; pin += 1) {
      this.#entries[pin * 2] = LOW_RESET;
      this.#entries[pin * 2 + 1] = 0;
    }
  }

  save(): Uint8Array {
    const payload = [this.#select, this.#id, ...this.#entries, ...this.#lines];
    return encodeRecord(this.#header(), Int32Array.from(payload));
  }

  check(record: Uint8Array): void {
    this.#payload(record);
  }

  restore(record: Uint8Array): void {
    const payload = this.#payload(record);
    this.#select = payload[0]! & this.#selectMask;
    this.#id = payload[1]! & ID_BITS;
    this.#entries.set(payload.subarray(2, 2 + this.pins * 2));
    this.#lines.set(payload.subarray(2 + this.pins * 2));
  }

  #payload(record: Uint8Array): Int32Array {
    return payloadOf(this.#header(), record, 2 + this.pins * 3);
  }

  #header() {
    const shape = `${this.pins} pins, version ${this.#version.toString(16)}h`;
    return { id: this.snapshotId, version: 1, shape };
  }

  #readRegister(index: number): number {
    if (index >= Index.ENTRIES) return this.#entries[index - Index.ENTRIES] ?? 0;
    if (index === Index.VERSION) return ((this.pins - 1) << 16) | this.#version;
    // No arbitration is modelled: its id is the one that writing the id loads.
    return index === Index.ID || index === Index.ARBITRATION ? this.#id : 0;
  }

  #writeRegister(index: number, value: number): void {
    if (index === Index.ID) this.#id = value & ID_BITS;
    const at = index - Index.ENTRIES;
    if (at < 0 || at >= this.#entries.length) return;
    const pin = at >>> 1;
    if ((at & 1) === 0) {
      const kept = this.#entries[at]! & RedirectionBit.REMOTE_IRR;
      const written = value & LOW_WRITABLE;
      // An edge waits for no EOI: system software ends a level in this way where there is no EOI
      // register.
      this.#entries[at] = isLevelTriggered(written) ? written | kept : written;
    } else {
      this.#entries[at] = value & (this.#version >= VERSION_WITH_EOI ? 0xffff_0000 : 0xff00_0000);
    }
    if (isLevelTriggered(this.#entries[pin * 2]!)) this.#serveLevel(pin);
  }

  #isActive(pin: number, low: number): boolean {
    const lineIsHigh = this.#lines[pin] !== this.#lowActive[pin];
    return lineIsHigh === ((low & RedirectionBit.LOW_ACTIVE) === 0);
  }

  /** Sends the interrupt of a level that is active, not masked and not in service. */
  #serveLevel(pin: number): void {
    const low = this.#entries[pin * 2]!;
    if ((low & (RedirectionBit.MASKED | RedirectionBit.REMOTE_IRR)) !== 0) return;
    if (!this.#isActive(pin, low)) return;
    // First the bit, then the message: its EOI may come before send returns. A blocked message has
    // been accepted by nobody and leaves the bit clear.
    this.#entries[pin * 2] = low | RedirectionBit.REMOTE_IRR;
    if (!this.#send(pin)) this.#entries[pin * 2]! &= ~RedirectionBit.REMOTE_IRR;
  }

  #send(pin: number): boolean {
    const low = this.#entries[pin * 2]!;
    const result = ioapicDeliver(this.#route, low, this.#entries[pin * 2 + 1]!);
    const taken = result === InterruptResult.DELIVER || result === InterruptResult.CONSUMED;
    if (taken) this.counters.delivered += 1;
    else this.counters.blocked += 1;
    return taken;
  }
}

function requireRange(what: string, value: number, from: number, to: number): void {
  if (Number.isInteger(value) && value >= from && value <= to) return;
  throw new ViommuError(
    "ERR_VIOMMU_IOAPIC",
    `an I/O APIC cannot have ${what} ${value}; give a whole number from ${from} to ${to}`,
  );
}
