import type { DmaRemapper, InterruptRemapper, PendingWork } from "@viommu/plugin";
import { decodeCapabilities, maxGuestAddressWidth } from "@viommu/vtd-spec";
import type { TraceHeader } from "./format.ts";

/** What a replay needs of a unit; a `VtdUnit` has it all. */
export interface ReplayUnit extends PendingWork {
  /** Bytes of the register block. */
  readonly size: number;
  readonly dma: DmaRemapper;
  readonly interrupts: InterruptRemapper;
  reset(): void;
  read(offset: number, size: number, out: Int32Array): void;
  write(offset: number, size: number, low: number, high: number): void;
}

const scratch = (): Int32Array => new Int32Array(2);

/** A register, or an aligned part of one, as an unsigned value. */
export function readRegister(unit: ReplayUnit, offset: number, size: 4 | 8): bigint {
  const out = scratch();
  unit.read(offset, size, out);
  const low = BigInt(out[0]! >>> 0);
  return size === 4 ? low : (BigInt(out[1]! >>> 0) << 32n) | low;
}

/** Writes a register, then lets the unit finish what the write set in motion. */
export function writeRegister(unit: ReplayUnit, offset: number, size: 4 | 8, value: bigint): void {
  unit.write(offset, size, Number(value & 0xffff_ffffn) | 0, Number(value >> 32n) | 0);
  // The reference completes every command within the write (deviation-free: later is legal).
  while (unit.pending && unit.run(IDLE_BUDGET) > 0);
}

const IDLE_BUDGET = 4096;

/** Host address width in bits of the unit of a trace: its option, or MGAW where it has none. */
export function hostAddressWidth({ unit }: TraceHeader): number {
  return unit.addressWidth ?? maxGuestAddressWidth(decodeCapabilities(unit.cap, unit.ecap));
}
