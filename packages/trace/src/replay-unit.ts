import type {
  DmaRemapper,
  GuestMemory,
  InterruptRemapper,
  InterruptSink,
  PendingWork,
} from "@viommu/plugin";
import { createUnit, profileFromRegisters } from "@viommu/vtd";
import type { Profile } from "@viommu/vtd";
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

/** Makes the unit of a replay: CAP, ECAP and VER of the header, this memory, this sink. */
export type UnitFactory = (
  header: TraceHeader,
  memory: GuestMemory,
  sink: InterruptSink,
) => ReplayUnit;

/** A `VtdUnit` for a trace. Throws ERR_VIOMMU_PROFILE where CAP and ECAP describe no such unit. */
export const createReplayUnit: UnitFactory = (header, memory, sink) =>
  createUnit({
    name: header.name,
    base: Number(header.unit.base),
    profile: profileOf(header),
    memory,
    sink,
  });

/** CAP, ECAP and VER of a trace; the host address width is its `aw-bits`, or MGAW without. */
export function profileOf({ unit }: TraceHeader): Profile {
  const { ver, cap, ecap, addressWidth } = unit;
  const width = addressWidth === undefined ? {} : { hostAddressWidth: addressWidth };
  return profileFromRegisters({ ver, cap, ecap, ...width });
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
