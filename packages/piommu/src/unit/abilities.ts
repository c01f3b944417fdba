import type { PhysicalIommuInfo } from "@viommu/plugin";
import { decodeCapabilities, domainIdWidth, maxGuestAddressWidth } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { refusal } from "./refusal.ts";

/** What a unit reports of itself. */
export interface UnitRegisters {
  /** CAP and ECAP (VT-d 11.4.2, 11.4.3). */
  readonly cap: bigint;
  readonly ecap: bigint;
  /** HAW, 32 to 52 bits. */
  readonly hostAddressWidth: number;
  /** Tables of scalable mode; as ECAP.SMTS says unless given. */
  readonly scalable?: boolean;
}

/** What a driver can do with a unit in the mode that was chosen. */
export interface Abilities {
  readonly capabilities: Capabilities;
  readonly hostAddressWidth: number;
  readonly scalable: boolean;
  /** AW of its second-stage tables, the widest of SAGAW; 0 without any. */
  readonly addressWidth: number;
  /** Levels of these tables. */
  readonly levels: number;
  readonly inputWidth: number;
  /** PASIDs are below this; 0 without PASIDs. */
  readonly pasidLimit: number;
  readonly pageOrders: readonly number[];
  readonly domainIdWidth: number;
}

/** Reads the registers of a unit. Throws ERR_VIOMMU_PIOMMU for a mode that it has not. */
export function abilitiesOf(registers: UnitRegisters): Abilities {
  const { cap, ecap, hostAddressWidth } = registers;
  const capabilities = decodeCapabilities(cap, ecap);
  const scalable = registers.scalable ?? capabilities.SMTS !== 0;
  if (scalable && capabilities.SMTS === 0) {
    throw refusal("scalable mode without ECAP.SMTS; take legacy mode or set it");
  }
  const { SAGAW, SSLPS, SSTS } = capabilities;
  const hasSecondStage = !scalable || SSTS !== 0;
  const addressWidth = hasSecondStage ? ([3, 2, 1].find((aw) => (SAGAW >> aw) & 1) ?? 0) : 0;
  return {
    capabilities,
    hostAddressWidth,
    scalable,
    addressWidth,
    levels: addressWidth + 2,
    inputWidth: Math.min(maxGuestAddressWidth(capabilities), 30 + 9 * addressWidth),
    pasidLimit: scalable && capabilities.PASID !== 0 ? 2 ** (capabilities.PSS + 1) : 0,
    pageOrders: [0, ...((SSLPS & 1) !== 0 ? [9] : []), ...((SSLPS & 2) !== 0 ? [18] : [])],
    domainIdWidth: domainIdWidth(capabilities),
  };
}

/** Devices may ask for pages: there are no page requests in legacy mode (VT-d 7.4). */
export function takesPageRequests({ capabilities, scalable }: Abilities): boolean {
  return scalable && capabilities.PRS !== 0;
}

/** The same as the port tells it. */
export function infoOf(
  registers: UnitRegisters,
  abilities: Abilities,
  domainIds: number,
): PhysicalIommuInfo {
  const { capabilities, hostAddressWidth, inputWidth, pageOrders, scalable } = abilities;
  return {
    cap: registers.cap,
    ecap: registers.ecap,
    hostAddressWidth,
    inputWidth,
    pageOrders,
    snoop: capabilities.SC !== 0,
    nesting: scalable && capabilities.NEST !== 0,
    posting: capabilities.PI !== 0,
    pageRequests: takesPageRequests(abilities),
    dirtyTracking: scalable && capabilities.SSADS !== 0,
    domainIds,
  };
}
