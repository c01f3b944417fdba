import type { Profile } from "@viommu/vtd";

/** The host below a guest that has some of its devices. */
export interface HostConfig {
  /** What its remapping unit can do. */
  readonly profile: Profile;
  /** Frames for the tables of that unit. */
  readonly tableFrames: number;
  /** How many of them the shadows of the guest's tables may have. */
  readonly frameQuota: number;
  /** log2 of the number of entries of its interrupt remapping table. */
  readonly interruptEntriesLog2: number;
}
