import type { GuestMemory, InterruptSink } from "@viommu/plugin";
import type { UnitRegisters } from "./abilities.ts";
import type { FrameAllocator } from "./frame-allocator.ts";
import type { PhysicalDeviceOptions } from "./unit-devices.ts";

/** What a {@link PhysicalUnit} is made of. */
export interface PhysicalUnitOptions extends UnitRegisters {
  /** For faults and messages. */
  readonly name: string;
  /** PCI segment; 0 unless given. */
  readonly segment?: number;
  /** Host memory, which devices reach and tables lie in. */
  readonly memory: GuestMemory;
  /** Frames of `memory` for the tables; several units can share it. */
  readonly frames: FrameAllocator;
  /** Devices with aliases or reserved regions. */
  readonly devices?: readonly PhysicalDeviceOptions[];
  /** log2 of the number of interrupt-remapping entries, 8 (unless given) to 16. */
  readonly interruptEntriesLog2?: number;
  /** The host's local APICs. */
  readonly sink: InterruptSink;
}
