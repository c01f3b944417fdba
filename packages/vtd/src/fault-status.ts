import { FSTS, Offset } from "@viommu/vtd-spec";
import { bitsInWord } from "./bit-field.ts";
import type { EventInterrupt } from "./event-interrupt.ts";
import type { RegisterFile } from "./register-file.ts";

/** Status bits of FSTS (VT-d 11.4.7.1). */
export const FaultStatusBit = {
  PFO: bitsInWord(FSTS, "PFO"),
  PPF: bitsInWord(FSTS, "PPF"),
  IQE: bitsInWord(FSTS, "IQE"),
  ICE: bitsInWord(FSTS, "ICE"),
  ITE: bitsInWord(FSTS, "ITE"),
} as const;

const ALL =
  FaultStatusBit.PFO |
  FaultStatusBit.PPF |
  FaultStatusBit.IQE |
  FaultStatusBit.ICE |
  FaultStatusBit.ITE;
const FRI = bitsInWord(FSTS, "FRI");

/** The fault status register, and the gate in front of the fault event (VT-d 7.3, 11.4.7.1). */
export class FaultStatus {
  readonly #file: RegisterFile;
  readonly #event: EventInterrupt;

  constructor(file: RegisterFile, event: EventInterrupt) {
    this.#file = file;
    this.#event = event;
  }

  has(bit: number): boolean {
    return (this.#file.get(Offset.FSTS) & bit) !== 0;
  }

  /** Sets PFO, which is no interrupt condition. */
  overflow(): void {
    this.#file.set(Offset.FSTS, this.#file.get(Offset.FSTS) | FaultStatusBit.PFO);
  }

  /** Sets PPF: the record with this index is the first of the pending ones. */
  recordPending(index: number): void {
    this.#file.set(Offset.FSTS, (this.#file.get(Offset.FSTS) & ~FRI) | (index << 8));
    this.raise(FaultStatusBit.PPF);
  }

  /** Sets a status bit. It is a new interrupt condition only if no status bit was set before. */
  raise(bit: number): void {
    const before = this.#file.get(Offset.FSTS);
    this.#file.set(Offset.FSTS, before | bit);
    if ((before & ALL) === 0) this.#event.raise();
  }

  /** Clears PPF: no record is pending any more. */
  recordsServiced(): void {
    this.#file.set(Offset.FSTS, this.#file.get(Offset.FSTS) & ~FaultStatusBit.PPF);
    this.statusServiced();
  }

  /** Software has cleared status bits; with the last one the pending interrupt goes as well. */
  statusServiced(): void {
    if (!this.has(ALL)) this.#event.serviced();
  }
}
