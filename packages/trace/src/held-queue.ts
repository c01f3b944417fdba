import { Offset } from "@viommu/vtd-spec";
import type { MmioEvent } from "./format.ts";
import { readRegister, writeRegister } from "./replay-unit.ts";
import type { ReplayUnit } from "./replay-unit.ts";

const FSTS_IQE = 1n << 4n;

/**
 * After an error in the invalidation queue, a unit goes on when software has cleared FSTS.IQE (VT-d
 * 6.5.2.11); the reference waits until software writes the tail. The queue of the unit is held by
 * taking the tail back to the head for that time.
 */
export class HeldQueue {
  readonly #unit: ReplayUnit;
  #tail: bigint | undefined;

  constructor(unit: ReplayUnit) {
    this.#unit = unit;
  }

  /** The tail that the guest has written, while the queue is held; otherwise undefined. */
  get tail(): bigint | undefined {
    return this.#tail;
  }

  /** Before a register write is performed; true when it sets a held queue free. */
  prepare({ offset, value }: MmioEvent): boolean {
    if (offset === Offset.IQT) return this.reset();
    if (offset === Offset.FSTS && (value & FSTS_IQE) !== 0n) this.#hold();
    return false;
  }

  /** Forgets what is held; true when something was. */
  reset(): boolean {
    const held = this.#tail !== undefined;
    this.#tail = undefined;
    return held;
  }

  #hold(): void {
    const unit = this.#unit;
    if ((readRegister(unit, Offset.FSTS, 4) & FSTS_IQE) === 0n) return;
    const head = readRegister(unit, Offset.IQH, 8);
    const tail = readRegister(unit, Offset.IQT, 8);
    if (head === tail) return;
    this.#tail = tail;
    writeRegister(unit, Offset.IQT, 8, head);
  }
}
