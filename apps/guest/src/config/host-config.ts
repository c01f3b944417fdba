import type { Profile } from "@viommu/vtd";
import type { DeviceConfig } from "./guest-config.ts";
import type { BusAddress } from "./values.ts";

/** The host below a guest that has some of its devices. */
export interface HostConfig {
  /** What its remapping unit can do. */
  readonly profile: Profile;
  /** Frames for the tables of that unit. */
  readonly tableFrames: number;
  /** log2 of the number of entries of its interrupt remapping table. */
  readonly interruptEntriesLog2: number;
  /** How many of them the shadows of the guest's tables may have. */
  readonly frameQuota: number;
}

/** A device of the host in the hands of the guest. */
export interface PassedDeviceConfig extends DeviceConfig {
  readonly kind: Exclude<DeviceConfig["kind"], "accelerator">;
  readonly hostAddress: BusAddress;
}

/** Whether a device is one of the host. */
export function isPassedThrough(device: DeviceConfig): device is PassedDeviceConfig {
  return device.hostAddress !== null;
}
