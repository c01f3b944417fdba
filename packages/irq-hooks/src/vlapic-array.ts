import { DeliveryMode, isVectored } from "./delivery.ts";
import { addVector, hasVector, highestVector, removeVector } from "./vector-set.ts";

/** Mode of a local APIC, as IA32_APIC_BASE selects it (SDM vol. 3, 11.12.1). */
export const ApicMode = { DISABLED: 0, XAPIC: 1, X2APIC: 2 } as const;

/** Events that pass the IRR by and wait for the processor core: bits of `LapicArray.events`. */
export const LapicEvent = { SMI: 1, NMI: 2, INIT: 4, STARTUP: 8, EXTINT: 16 } as const;

/**
 * Words of a vLAPIC. A word that is a register has the register's number (xAPIC offset >> 4, MSR -
 * 800h), so that reading most registers is reading the word. PPR is kept up to date.
 */
export const Word = {
  MODE: 0x00,
  /** Events and the vector of the last start-up IPI belong to the core: INIT leaves them. */
  EVENTS: 0x01,
  STARTUP_VECTOR: 0x02,
  TPR: 0x08,
  PPR: 0x0a,
  /** xAPIC only; in x2APIC mode the logical id follows from the APIC id. */
  LDR: 0x0d,
  DFR: 0x0e,
  SVR: 0x0f,
  ISR: 0x10,
  TMR: 0x18,
  IRR: 0x20,
  ESR: 0x28,
  /** Errors since the last write to ESR (SDM 11.5.3). */
  ESR_NEXT: 0x29,
  ICR: 0x30,
  ICR_HIGH: 0x31,
} as const;

/** Bits of ESR (SDM vol. 3, 11.5.3). */
export const ApicError = { SEND_VECTOR: 0x20, RECEIVE_VECTOR: 0x40, REGISTER: 0x80 } as const;

/** SVR bit 8: the APIC is enabled by software. */
const SVR_ENABLED = 0x100;
/** SVR bit 12: an EOI is not broadcast to the I/O APICs. */
export const SVR_SUPPRESS_EOI = 0x1000;

const STRIDE = 64;
/** Vectors 0 to 15 are reserved (SDM vol. 3, 11.5.2). */
const FIRST_LEGAL_VECTOR = 16;

/**
 * The state of all vLAPICs of a machine, 64 words each, in one array: what happens inside one of
 * them. Who a message is for, the bus decides.
 */
export class LapicArray {
  readonly words: Int32Array;
  /** Interrupts each vCPU took into its IRR or as an event, modulo 2^32. */
  readonly accepted: Uint32Array;
  /** Those of them that found the vector or the event waiting already: the guest sees one for both. */
  readonly merged: Uint32Array;

  readonly #initialMode: number;

  constructor(count: number, initialMode: number) {
    this.words = new Int32Array(count * STRIDE);
    this.accepted = new Uint32Array(count);
    this.merged = new Uint32Array(count);
    this.#initialMode = initialMode;
    this.resetAll();
  }

  /** Index of the first word of a vCPU. */
  base(vcpu: number): number {
    return vcpu * STRIDE;
  }

  /** One of {@link ApicMode}. */
  mode(vcpu: number): number {
    return this.words[vcpu * STRIDE]!;
  }

  /** Power-on state of all, with the mode the machine starts in; counters begin at 0. */
  resetAll(): void {
    this.words.fill(0);
    this.accepted.fill(0);
    this.merged.fill(0);
    for (let vcpu = 0; vcpu < this.accepted.length; vcpu += 1) {
      this.words[this.base(vcpu) + Word.MODE] = this.#initialMode;
      this.initialize(vcpu);
    }
  }

  /** The registers after INIT or power-on (SDM 11.4.7.1, 11.12.5.1): the mode stays. */
  initialize(vcpu: number): void {
    const base = this.base(vcpu);
    this.words.fill(0, base + Word.STARTUP_VECTOR + 1, base + STRIDE);
    this.words[base + Word.DFR] = -1;
    this.words[base + Word.SVR] = 0xff;
  }

  /** Whether the APIC takes vectors: software-disabled ones hold theirs and take no more (11.4.7.2). */
  takesVectors(vcpu: number): boolean {
    return (this.words[this.base(vcpu) + Word.SVR]! & SVR_ENABLED) !== 0;
  }

  /** Processor priority class, 0 to 15: what lowest-priority arbitration compares. */
  priorityClass(vcpu: number): number {
    return this.words[this.base(vcpu) + Word.PPR]! >>> 4;
  }

  /** A message has reached this APIC. False when it takes no such message. */
  post(vcpu: number, mode: number, vector: number, level: boolean): boolean {
    const base = this.base(vcpu);
    if (!isVectored(mode)) return this.#postEvent(vcpu, base, mode, vector);
    if (!this.takesVectors(vcpu)) return false;
    if (vector < FIRST_LEGAL_VECTOR) {
      this.recordError(vcpu, ApicError.RECEIVE_VECTOR);
      return false;
    }
    // The trigger mode is noted on acceptance into the IRR (SDM 11.8.4).
    if (level) addVector(this.words, base + Word.TMR, vector);
    else removeVector(this.words, base + Word.TMR, vector);
    this.#count(vcpu, addVector(this.words, base + Word.IRR, vector));
    return true;
  }

  /** The vector that {@link accept} would give, or -1. */
  pending(vcpu: number): number {
    const base = this.base(vcpu);
    if (this.mode(vcpu) === ApicMode.DISABLED || !this.takesVectors(vcpu)) return -1;
    const vector = highestVector(this.words, base + Word.IRR);
    return vector >> 4 > this.words[base + Word.PPR]! >> 4 ? vector : -1;
  }

  /** Moves the highest vector above the processor priority from IRR to ISR (SDM 11.8.4). */
  accept(vcpu: number): number {
    const vector = this.pending(vcpu);
    if (vector < 0) return -1;
    const base = this.base(vcpu);
    removeVector(this.words, base + Word.IRR, vector);
    addVector(this.words, base + Word.ISR, vector);
    this.#updatePpr(base);
    return vector;
  }

  /**
   * End of the highest interrupt in service (SDM 11.8.5). Returns its vector when it was a level
   * one, whose end the I/O APICs want to know; -1 otherwise.
   */
  eoi(vcpu: number): number {
    const base = this.base(vcpu);
    const vector = highestVector(this.words, base + Word.ISR);
    if (vector < 0) return -1;
    removeVector(this.words, base + Word.ISR, vector);
    this.#updatePpr(base);
    const suppressed = (this.words[base + Word.SVR]! & SVR_SUPPRESS_EOI) !== 0;
    return !suppressed && hasVector(this.words, base + Word.TMR, vector) ? vector : -1;
  }

  setTpr(vcpu: number, value: number): void {
    const base = this.base(vcpu);
    this.words[base + Word.TPR] = value & 0xff;
    this.#updatePpr(base);
  }

  /** Notes an error: ESR shows it after the next write to it. */
  recordError(vcpu: number, error: number): void {
    this.words[this.base(vcpu) + Word.ESR_NEXT]! |= error;
  }

  /** Takes the events of `mask` (bits of {@link LapicEvent}) that wait; returns those. */
  takeEvents(vcpu: number, mask: number): number {
    const word = this.base(vcpu) + Word.EVENTS;
    const taken = this.words[word]! & mask;
    this.words[word]! &= ~taken;
    return taken;
  }

  /** Takes a saved array; PPR is worked out anew. */
  load(words: Int32Array): void {
    this.words.set(words);
    for (let base = 0; base < this.words.length; base += STRIDE) this.#updatePpr(base);
  }

  #postEvent(vcpu: number, base: number, mode: number, vector: number): boolean {
    const event = eventOf(mode);
    if (event === 0 || (event === LapicEvent.EXTINT && !this.takesVectors(vcpu))) return false;
    if (event === LapicEvent.STARTUP) this.words[base + Word.STARTUP_VECTOR] = vector;
    const before = this.words[base + Word.EVENTS]!;
    this.words[base + Word.EVENTS] = before | event;
    this.#count(vcpu, (before & event) === 0);
    return true;
  }

  #count(vcpu: number, isNew: boolean): void {
    this.accepted[vcpu]! += 1;
    if (!isNew) this.merged[vcpu]! += 1;
  }

  /** SDM 11.8.3.1. Where the classes are equal the low bits are model-specific: those of TPR here. */
  #updatePpr(base: number): void {
    const tpr = this.words[base + Word.TPR]!;
    const inService = Math.max(0, highestVector(this.words, base + Word.ISR));
    this.words[base + Word.PPR] = tpr >>> 4 >= inService >>> 4 ? tpr : inService & 0xf0;
  }
}

function eventOf(mode: number): number {
  switch (mode) {
    case DeliveryMode.SMI:
      return LapicEvent.SMI;
    case DeliveryMode.NMI:
      return LapicEvent.NMI;
    case DeliveryMode.INIT:
      return LapicEvent.INIT;
    case DeliveryMode.STARTUP:
      return LapicEvent.STARTUP;
    case DeliveryMode.EXTINT:
      return LapicEvent.EXTINT;
    default:
      return 0; // 3 is reserved
  }
}
