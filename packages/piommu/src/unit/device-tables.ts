import type { TableTarget } from "./table-entries.ts";

/** A device and all source-ids that its requests may carry. */
export interface PhysicalFunction {
  readonly sourceId: number;
  /** Its own source-id first. */
  readonly sourceIds: readonly number[];
  /** It may keep translations itself: both it and the unit can (ATS, ECAP.DT). */
  readonly ats: boolean;
  /** It may ask for pages: device and unit have page requests, and `ats`. */
  readonly pri: boolean;
}

/** Root, context and PASID tables of a unit, of either mode. */
export interface DeviceTables {
  /** Frame of the root table. */
  readonly root: number;
  /**
   * Makes the tables say `target` of the requests of a device, null for nothing, in place of `old`;
   * each source-id changes in one step. When it returns, the unit has forgotten the old. Throws
   * ERR_VIOMMU_PIOMMU with nothing changed when frames are missing, never for null.
   */
  set(
    device: PhysicalFunction,
    pasid: number,
    target: TableTarget | null,
    old: TableTarget | null,
  ): void;
}
