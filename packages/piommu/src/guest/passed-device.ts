import type { DeviceSpace, ViommuError } from "@viommu/plugin";
import type { GuestStage } from "./guest-stage.ts";
import type { SharedSpace } from "./guest-spaces.ts";
import type { GuestTables } from "./guest-tables.ts";
import type { GuestUnit } from "./guest-unit.ts";

/** A guest's unit with what the driver has to know about it. */
export interface UnitState {
  readonly unit: GuestUnit;
  readonly tables: GuestTables;
  /** Holds back the unit's completions; -1 while everything is up to date. */
  ticket: number;
  /** Drains of the physical IOMMU that are not over. */
  draining: number;
  /** Something was taken away since the last drain. */
  undrained: boolean;
  /** Looks for PASIDs, one PASID table at a time. */
  readonly scans: PasidScan[];
}

/** A search for the PASIDs of a device: next table, number of tables, and what was found. */
interface PasidScan {
  readonly device: PassedDevice;
  readonly tables: number;
  readonly seen: Set<number>;
  next: number;
}

/** A physical device in the hands of a guest. */
export interface PassedDevice {
  /** On the host. */
  readonly sourceId: number;
  /** In the guest. */
  readonly virtualSourceId: number;
  readonly state: UnitState;
  /** By PASID, and by NO_PASID. */
  readonly bindings: Map<number, Binding>;
  /** Let the guest change the frames of its reserved regions again. */
  readonly unpin: readonly (() => void)[];
}

/** The requests of a device with one PASID, or without. */
export interface Binding {
  readonly device: PassedDevice;
  readonly pasid: number;
  /** What the guest's tables said last. */
  stage: GuestStage;
  /** Names the space that the stage asks for; "" while it could not be had. */
  key: string;
  /** Where requests go now. */
  space: DeviceSpace;
  /** The shared space that is, if it is one. */
  current: SharedSpace | null;
  /** Where they will go when it is complete. */
  next: SharedSpace | null;
  /** Blocked because the guest or the host ran out of something. */
  starved: boolean;
  /** What the host said to that. */
  error: ViommuError | null;
}
