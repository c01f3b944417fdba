import type { DeviceConfig } from "./guest-config.ts";
import type { BusAddress } from "./values.ts";

/** A device of the host in the hands of the guest. */
export interface PassedDeviceConfig extends DeviceConfig {
  readonly kind: Exclude<DeviceConfig["kind"], "accelerator">;
  readonly hostAddress: BusAddress;
}

/** Whether a device is one of the host. */
export function isPassedThrough(device: DeviceConfig): device is PassedDeviceConfig {
  return device.hostAddress !== null;
}
