import { Offset } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { RECORD_F } from "./record-bits.ts";
import { readRegister } from "./replay-unit.ts";
import type { ReplayUnit } from "./replay-unit.ts";

/** A fault record that the unit wrote: bits 127:0. */
export interface WrittenRecord {
  readonly index: number;
  readonly record: bigint;
}

const PPF = 2n;

/** Finds out which fault records a unit has written, by looking at its registers. */
export class FaultRecordWatch {
  readonly #unit: ReplayUnit;
  readonly #offset: number;
  readonly #count: number;
  /** Records that are in use. */
  #used: ReadonlySet<number> = new Set();

  constructor(unit: ReplayUnit, capabilities: Capabilities) {
    this.#unit = unit;
    this.#offset = 16 * capabilities.FRO;
    this.#count = capabilities.NFR + 1;
  }

  /** Records whose F bit has appeared since the last call. */
  take(): WrittenRecord[] {
    const before = this.#used;
    if ((readRegister(this.#unit, Offset.FSTS, 4) & PPF) === 0n) {
      this.#used = new Set();
      return [];
    }
    const used: WrittenRecord[] = [];
    for (let index = 0; index < this.#count; index += 1) {
      const record = this.#read(index);
      if ((record & RECORD_F) !== 0n) used.push({ index, record });
    }
    this.#used = new Set(used.map(({ index }) => index));
    return used.filter(({ index }) => !before.has(index));
  }

  #read(index: number): bigint {
    const offset = this.#offset + 16 * index;
    const high = readRegister(this.#unit, offset + 8, 8);
    return (high << 64n) | readRegister(this.#unit, offset, 8);
  }
}
