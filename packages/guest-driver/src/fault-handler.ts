import { decode, FaultReason, faultReason, FRCD, FSTS, toQwords } from "@viommu/vtd-spec";
import type { RegisterWindow } from "./register-window.ts";

/** A request that a unit has blocked, as its fault log has it (VT-d 7.2). */
export interface DriverFault {
  readonly unit: string;
  readonly sourceId: number;
  /** Code and name of the fault reason; "UNKNOWN" for one that VT-d 5.10 does not have. */
  readonly reason: number;
  readonly name: string;
  readonly kind: "dma" | "interrupt";
  /** What the device wanted; of an interrupt request always "write". */
  readonly access: "read" | "write" | "atomic" | "page-request";
  /** DMA: address of the page. */
  readonly address: number;
  /** Interrupt: index into the remapping table; -1 where the reason has none. */
  readonly index: number;
  /** Null: the request had none. */
  readonly pasid: number | null;
}

/** What a look at a unit's fault log has brought. */
export interface FaultReport {
  readonly faults: readonly DriverFault[];
  /** More faults came than the log has room for, and are lost. */
  readonly overflow: boolean;
}

const RECORD_BYTES = 16;
const F = 1 << 31;

/** Interrupt requests blocked before an index was known: FI holds none (VT-d 7.2.1). */
const WITHOUT_INDEX: readonly number[] = [
  FaultReason.IR_REQUEST_RESERVED,
  FaultReason.IR_COMPATIBILITY_BLOCKED,
  FaultReason.IR_MALFORMED,
  FaultReason.EIM_REQUIRED,
  FaultReason.IR_REQUIRED,
];

const ACCESS: readonly DriverFault["access"][] = ["write", "page-request", "read", "atomic"];

/** Primary fault logging, from the side of software (VT-d 7.2). */
export class FaultHandler {
  readonly counters = { faults: 0, overflows: 0 };
  readonly #registers: RegisterWindow;
  readonly #unit: string;
  readonly #words = new Int32Array(4);

  constructor(registers: RegisterWindow, unit: string) {
    this.#registers = registers;
    this.#unit = unit;
  }

  /**
   * Reads the records from FRI on, in a ring, until one is empty; clears each, and the overflow bit
   * after all of them (VT-d 7.2.1). At most one round: what comes meanwhile is for the next call.
   */
  service(): FaultReport {
    const { PPF, PFO, FRI } = this.#registers.read(FSTS);
    const faults: DriverFault[] = [];
    const records = this.#registers.capabilities.NFR + 1;
    let record = Number(FRI) % records;
    for (let round = 0; PPF !== 0n && round < records; round += 1) {
      const fault = this.#take(record);
      if (fault === null) break;
      faults.push(fault);
      record = (record + 1) % records;
    }
    const overflow = PFO !== 0n;
    if (overflow) this.#registers.write(FSTS, { PFO: 1 });
    this.counters.faults += faults.length;
    this.counters.overflows += overflow ? 1 : 0;
    return { faults, overflow };
  }

  /** Clears the errors of queue and device-TLBs that a predecessor has left; the queue is off. */
  clearErrors(): void {
    const { IQE, ICE, ITE } = this.#registers.read(FSTS);
    if ((IQE | ICE | ITE) !== 0n) this.#registers.write(FSTS, { IQE, ICE, ITE });
  }

  #take(record: number): DriverFault | null {
    const offset = this.#registers.offsetOf(FRCD) + record * RECORD_BYTES;
    // the last word first: a record is complete when its F is set
    for (let word = 3; word >= 0; word -= 1) {
      this.#words[word] = this.#registers.readWord(offset + 4 * word);
      if (word === 3 && (this.#words[3]! & F) === 0) return null;
    }
    this.#registers.writeWord(offset + 12, F);
    return this.#decode();
  }

  #decode(): DriverFault {
    const { FR, SID, FI, T1, T2, PP, PV } = decode(FRCD, this.#words);
    const reason = Number(FR);
    const info = faultReason(reason);
    const interrupt = info?.group === "interrupt";
    const indexed = interrupt && !WITHOUT_INDEX.includes(reason);
    return {
      unit: this.#unit,
      sourceId: Number(SID),
      reason,
      name: info?.name ?? "UNKNOWN",
      kind: interrupt ? "interrupt" : "dma",
      access: interrupt ? "write" : ACCESS[Number(T1) * 2 + Number(T2)]!,
      address: interrupt ? 0 : Number(FI),
      index: indexed ? Number(toQwords(this.#words)[0]! >> 48n) : -1,
      pasid: PP === 0n ? null : Number(PV),
    };
  }
}
