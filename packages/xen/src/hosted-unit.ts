import type { VtdUnit } from "@viommu/vtd";
import type { FaultEventGate } from "./fault-events.ts";

/** A vIOMMU of a domain. */
export interface HostedUnit {
  /** Its `viommu_id`. */
  readonly id: number;
  readonly unit: VtdUnit;
  /** Source-ids in its scope; null: all of its segment that no other vIOMMU lists. */
  readonly devices: ReadonlySet<number> | null;
  readonly gate: FaultEventGate;
  /** Frames of host memory that it takes. */
  readonly frames: number;
}
