import { ViommuError } from "@viommu/plugin";
import type { PhysicalIommuInfo } from "@viommu/plugin";
import { decodeCapabilities, maxGuestAddressWidth } from "@viommu/vtd-spec";
import type { Capabilities, CapabilityName } from "@viommu/vtd-spec";

/** A capability of a guest's unit that the host can't keep for a passed-through device. */
export interface CapabilityMismatch {
  /** Field of CAP or ECAP (VT-d 11.4.2, 11.4.3), or what else differs. */
  readonly capability: CapabilityName | "nesting" | "inputWidth" | "dirtyTracking";
  /** What the guest's unit says. */
  readonly guest: number;
  /** What the host has. */
  readonly host: number;
  readonly why: string;
}

/** Capabilities that the hardware must have if the guest's unit offers them. */
const NEEDED: readonly (readonly [CapabilityName, string])[] = [
  ["ZLR", "zero-length reads of write-only pages go through the host's tables"],
  ["SC", "SNP and PGSNP of the guest are kept by the host's tables"],
  ["DT", "the device's translation cache is behind the host's unit"],
  ["IR", "interrupts of the device are remapped by the host's unit"],
  ["EIM", "interrupt destinations have 32 bits"],
  ["PASID", "requests with PASID reach the host's unit"],
  ["FSTS", "the guest's first-stage tables are walked by the host's unit"],
  ["FS1GP", "the guest's first-stage tables are walked by the host's unit"],
  ["FS5LP", "the guest's first-stage tables are walked by the host's unit"],
  ["EAFS", "the host's unit sets the extended-accessed flag"],
  ["SRS", "supervisor requests reach the host's unit"],
];

/** Capabilities that nothing stands behind for a passed-through device. */
const REFUSED: readonly (readonly [CapabilityName, string])[] = [
  ["PLMR", "protected memory would not be enforced"],
  ["PHMR", "protected memory would not be enforced"],
  ["SSADS", "accessed and dirty flags are not set in the guest's second-stage tables"],
  ["PI", "posted entries of the guest's table can't be linked to the host's"],
  ["RPRIVS", "the host can't set the privilege of requests without PASID"],
  ["MTS", "memory types of the guest's tables do not reach the host's"],
  ["HPTS", "translated requests are not checked against the guest's tables"],
];

/**
 * Compares a guest's unit with the physical one below it. Nothing is copied from the host into the
 * guest: each difference that a device would notice is a reason to refuse it.
 */
export function compareCapabilities(
  guest: Capabilities,
  info: PhysicalIommuInfo,
): CapabilityMismatch[] {
  const host = decodeCapabilities(info.cap, info.ecap);
  const found: CapabilityMismatch[] = [];
  const note = (
    capability: CapabilityMismatch["capability"],
    guestValue: number,
    hostValue: number,
    why: string,
  ): void => {
    found.push({ capability, guest: guestValue, host: hostValue, why });
  };

  if (guest.SAGAW !== 0 && guest.CM === 0) {
    note("CM", 0, host.CM, "without caching mode the guest does not tell of new mappings");
  }
  const width = Math.min(maxGuestAddressWidth(guest), widest(guest.SAGAW));
  if (guest.SAGAW !== 0 && width > info.inputWidth) {
    note("inputWidth", width, info.inputWidth, "the host's tables are narrower than the guest's");
  }
  for (const [name, why] of NEEDED) {
    if (guest[name] !== 0 && host[name] === 0) note(name, guest[name], 0, why);
  }
  if (guest.PRS !== 0 && info.pageRequests !== true) {
    note("PRS", guest.PRS, 0, "page requests of the device do not reach the guest");
  }
  if (guest.FSTS !== 0 && !info.nesting) {
    note("nesting", 1, 0, "the guest's first-stage tables need a host that nests");
  }
  if (guest.PASID !== 0 && host.PASID !== 0 && guest.PSS > host.PSS) {
    note("PSS", guest.PSS, host.PSS, "the guest's PASIDs are wider than the host's");
  }
  for (const [name, why] of REFUSED) {
    if (guest[name] !== 0) note(name, guest[name], host[name], why);
  }
  return found;
}

/** Throws ERR_VIOMMU_CAPABILITY_MISMATCH with all mismatches in the message, if there are any. */
export function refuseMismatches(unit: string, host: string, found: CapabilityMismatch[]): void {
  if (found.length === 0) return;
  const lines = found.map(
    ({ capability, guest, host: value, why }) =>
      `${capability}: the unit says ${guest}, the host has ${value} (${why})`,
  );
  throw new ViommuError(
    "ERR_VIOMMU_CAPABILITY_MISMATCH",
    `no physical device of "${host}" can be behind unit "${unit}"; change its profile:\n- ${lines.join("\n- ")}`,
  );
}

/** Bits of the widest second stage. */
function widest(sagaw: number): number {
  if ((sagaw & 8) !== 0) return 57;
  return (sagaw & 4) !== 0 ? 48 : 39;
}
