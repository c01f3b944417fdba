import type {
  DmaRemapper,
  DmaRequest,
  GuestMemory,
  InterruptRemapper,
  InterruptSink,
  PendingWork,
} from "@viommu/plugin";
import { createUnit, profileFromRegisters } from "@viommu/vtd";
import type { Profile } from "@viommu/vtd";
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
  /**
   * Records the fault of a request that the reference blocked and the unit would not. A unit without
   * it can't follow those deviations of the reference; they stay differences.
   */
  recordDmaFault?(reason: number, request: DmaRequest): void;
}

/** Makes the unit of a replay: CAP, ECAP and VER of the header, this memory, this sink. */
export type UnitFactory = (
  header: TraceHeader,
  memory: GuestMemory,
  sink: InterruptSink,
) => ReplayUnit;

/** Least and largest host address width of a unit. */
const NARROWEST = 32;
const WIDEST = 52;

/** A `VtdUnit` for a trace. Throws ERR_VIOMMU_PROFILE where CAP and ECAP describe no such unit. */
export const createReplayUnit: UnitFactory = (header, memory, sink) =>
  createUnit({
    name: header.name,
    // any address does: the accesses of a trace are offsets
    base: Number(header.unit.base & 0xf_ffff_ffff_f000n),
    profile: profileOf(header),
    memory,
    sink,
  });

/** CAP, ECAP and VER of a trace. */
export function profileOf(header: TraceHeader): Profile {
  const { ver, cap, ecap } = header.unit;
  return profileFromRegisters({ ver, cap, ecap, hostAddressWidth: hostAddressWidthOf(header) });
}

/**
 * Host address width in bits: `aw-bits` of a trace as far as CAP.MGAW and the table entries of the
 * architecture reach, or MGAW without it.
 */
export function hostAddressWidthOf({ unit }: TraceHeader): number {
  const { cap, ecap, addressWidth } = unit;
  const widest = Math.min(maxGuestAddressWidth(decodeCapabilities(cap, ecap)), WIDEST);
  return Math.max(Math.min(addressWidth ?? widest, widest), NARROWEST);
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
