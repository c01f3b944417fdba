import { createMemory } from "@viommu/memory";
import type { ChunkedMemory } from "@viommu/memory";
import type { PhysicalFault } from "@viommu/plugin";
import { createProfile } from "@viommu/vtd";
import type { ProfileOptions } from "@viommu/vtd";
import { createPhysicalUnit, FrameAllocator } from "../../src/index.ts";
import type { PhysicalUnit, PhysicalUnitOptions } from "../../src/index.ts";

/** A unit with everything that the model has. */
export const FULL: ProfileOptions = {
  scalableMode: true,
  postedInterrupts: true,
  secondStageAccessedDirty: true,
  extendedAccessedFlag: true,
  fiveLevelFirstStage: true,
  supervisorRequests: true,
};

/** A unit of legacy mode. */
export const LEGACY: ProfileOptions = { postedInterrupts: true };

/** Host memory of 64 MiB, the upper half of it for tables, with a unit. */
export interface UnitHost {
  readonly memory: ChunkedMemory;
  readonly frames: FrameAllocator;
  readonly unit: PhysicalUnit;
  readonly faults: PhysicalFault[];
  /** What reached the local APICs: upper address, address, data. */
  readonly delivered: (readonly number[])[];
}

/** Where the frames for tables begin. */
export const TABLE_FRAMES = 0x2000;

export function hostMemory(): ChunkedMemory {
  return createMemory({ regions: [{ base: 0, size: 0x400_0000 }] });
}

export function unitHost(
  profile: ProfileOptions = FULL,
  options: Partial<PhysicalUnitOptions> & { readonly tableFrames?: number } = {},
): UnitHost {
  const memory = hostMemory();
  const frames = new FrameAllocator({
    memory: options.memory ?? memory,
    firstFrame: TABLE_FRAMES,
    frames: options.tableFrames ?? 0x2000,
  });
  const { cap, ecap, hostAddressWidth } = createProfile(profile);
  const delivered: (readonly number[])[] = [];
  const unit = createPhysicalUnit({
    name: "dmar0",
    memory,
    frames,
    cap,
    ecap,
    hostAddressWidth,
    sink: { deliver: (...message) => delivered.push(message) },
    ...options,
  });
  const faults: PhysicalFault[] = [];
  unit.faultListener = (fault) => {
    faults.push(fault);
  };
  return { memory, frames, unit, faults, delivered };
}

/** READ and WRITE of MapFlag. */
export const RW = 3;
