import type { DeviceSetup } from "./device-table.ts";
import { SHARED_ID } from "./domain-ids.ts";
import type { UnitDriver } from "./unit-driver.ts";

/** What requests of devices can be led to: a domain, a process, or memory as it is. */
export interface AddressSpace {
  /** Requests of a device see it from now on. `pasid` null: those without PASID. */
  add(unit: UnitDriver, device: DeviceSetup, pasid: number | null): void;
  /** They see nothing; on return none of it is known to unit and device. */
  remove(unit: UnitDriver, device: DeviceSetup, pasid: number | null): void;
  /** What it is and where its tables lie, in words. */
  readonly layout: string;
}

/** Addresses stay as they are. */
export const PASS_THROUGH: AddressSpace = {
  add: (unit, device, pasid) => {
    unit.bind(device, pasid, { domainId: SHARED_ID, firstStage: null, secondStage: null });
  },
  remove: (unit, device, pasid) => {
    unit.unbind(device, pasid);
  },
  layout: "passes through",
};
