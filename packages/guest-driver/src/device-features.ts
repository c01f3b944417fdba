import type { DeviceSetup } from "./device-table.ts";
import type { TableMode } from "./domain-format.ts";
import { badState, hex, notCapable } from "./errors.ts";
import type { UnitDriver } from "./unit-driver.ts";

/** What a device can do beyond plain DMA, by its PCI Express capabilities; nothing unless given. */
export interface DeviceFeatures {
  /** It has a device-TLB and may use it (ATS); the unit needs ECAP.DT. */
  readonly deviceTlb?: boolean;
  /** It may ask for pages (PRI): with `deviceTlb`, in scalable mode; the unit needs ECAP.PRS. */
  readonly pageRequests?: boolean;
  /** Its PASIDs have this many bits, 1 to 20: in scalable mode; the unit needs ECAP.PASID. */
  readonly pasidBits?: number;
  /**
   * Its translated requests reach the pages of its domains and processes and nothing else, whatever
   * its device-TLB holds (HPT, VT-d 4.2.4): with `deviceTlb`, in scalable mode; the unit needs
   * ECAP.HPTS.
   */
  readonly hostPermissions?: boolean;
  /** Source-id of its physical function if it is a virtual one; its own unless given (PFSID). */
  readonly physicalFunction?: number;
  /** Invalidations that its device-TLB takes at a time, 1 to 32, which it is unless given (MIP). */
  readonly pendingInvalidations?: number;
}

const MOST_PENDING = 32;
const WIDEST_PASID = 20;

/** What the tables say of a device. Throws ERR_VIOMMU_DRIVER_CAPABILITY for what cannot be. */
export function setupOf(
  sourceId: number,
  features: DeviceFeatures,
  unit: UnitDriver,
  mode: TableMode,
): DeviceSetup {
  const { deviceTlb = false, pageRequests = false, pasidBits = 0 } = features;
  const { hostPermissions = false } = features;
  const { physicalFunction = sourceId, pendingInvalidations = MOST_PENDING } = features;
  const { DT, PRS, PASID, PSS, HPTS } = unit.capabilities;
  const refuse = (what: string, remedy: string): never => {
    throw notCapable(`${unit.name}, above device ${hex(sourceId)}, ${what}`, remedy);
  };
  if (deviceTlb && DT === 0) refuse("has no device-TLB support (ECAP.DT)", "leave deviceTlb out");
  if (mode === "legacy" && (pageRequests || pasidBits > 0 || hostPermissions)) {
    refuse(
      "is in legacy mode, without PASIDs, page requests and host permissions",
      'use mode "scalable"',
    );
  }
  if (pageRequests && PRS === 0) refuse("takes no page requests (ECAP.PRS)", "leave them out");
  if (pageRequests && !deviceTlb) {
    refuse(
      "takes page requests only of devices with a device-TLB (VT-d 9.4)",
      "give deviceTlb too",
    );
  }
  if (hostPermissions && HPTS === 0) {
    refuse("has no host permission tables (ECAP.HPTS)", "leave hostPermissions out");
  }
  if (hostPermissions && !deviceTlb) {
    refuse(
      "gives permissions only to devices with a device-TLB (VT-d 4.2.5)",
      "give deviceTlb too",
    );
  }
  if (pasidBits > 0 && PASID === 0) refuse("has no PASIDs (ECAP.PASID)", "leave pasidBits out");
  if (!isWhole(pasidBits, 0, WIDEST_PASID))
    refuse(`has no PASIDs of ${pasidBits} bits`, "give 1 to 20");
  if (!isWhole(pendingInvalidations, 1, MOST_PENDING)) {
    refuse(`cannot send ${pendingInvalidations} invalidations at a time`, "give 1 to 32");
  }
  const usableBits = Math.min(pasidBits, PSS + 1);
  return {
    sourceId,
    deviceTlb,
    pageRequests,
    pasidBits: usableBits,
    hostPermissions,
    physicalFunction,
    pendingInvalidations,
  };
}

/** An entry of the context table holds for all PASIDs of a device: it is not changed under them. */
export function refuseChange(sourceId: number): never {
  throw badState(
    `device ${hex(sourceId)} is in use with other features`,
    "detach it and unbind its processes first",
  );
}

const isWhole = (value: number, least: number, most: number): boolean =>
  Number.isInteger(value) && value >= least && value <= most;
