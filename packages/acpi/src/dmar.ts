import type { DeviceScope } from "./device-scope.ts";
import type { Unknown } from "./records.ts";
import type { TableHeader } from "./table.ts";

/** A DMAR table: the remapping units of a machine and what is under them (VT-d 8.1). */
export interface Dmar {
  /** Built with a header of viommu's own when absent. */
  readonly header?: TableHeader;
  /** Widest physical address that DMA can reach, in bits: 1–64. */
  readonly hostAddressWidth: number;
  readonly flags: readonly ("INTR_REMAP" | "X2APIC_OPT_OUT" | "DMA_CTRL_PLATFORM_OPT_IN_FLAG")[];
  /** In the order of their type numbers. */
  readonly structures: readonly DmarStructure[];
}

/** One remapping structure (VT-d 8.2). */
export type DmarStructure = Drhd | Rmrr | Atsr | Rhsa | Andd | Satc | Sidp | Unknown;

/** DMA-remapping hardware unit definition (VT-d 8.3). */
export interface Drhd {
  readonly type: "DRHD";
  /** INCLUDE_PCI_ALL: all PCI devices of the segment which no other unit has in its scope. */
  readonly flags: readonly "INCLUDE_PCI_ALL"[];
  /** The register set has 2^size pages of 4 KiB: 0–15. */
  readonly size: number;
  readonly segment: number;
  /** Aligned to the size of the register set. */
  readonly registerBase: number;
  readonly scopes: readonly (DeviceScope | Unknown)[];
}

/** Reserved memory region that devices go on using (VT-d 8.4). */
export interface Rmrr {
  readonly type: "RMRR";
  readonly segment: number;
  /** First byte; 4 KiB aligned. */
  readonly base: number;
  /** Last byte. */
  readonly limit: number;
  readonly scopes: readonly (DeviceScope | Unknown)[];
}

/** Root ports that support ATS (VT-d 8.5). */
export interface Atsr {
  readonly type: "ATSR";
  readonly flags: readonly "ALL_PORTS"[];
  readonly segment: number;
  readonly scopes: readonly (DeviceScope | Unknown)[];
}

/** Which NUMA node a unit is near to (VT-d 8.6). */
export interface Rhsa {
  readonly type: "RHSA";
  readonly registerBase: number;
  readonly proximityDomain: number;
}

/** Declares a device of the ACPI name space that does DMA (VT-d 8.7). */
export interface Andd {
  readonly type: "ANDD";
  /** What scopes of type ACPI_NAMESPACE_DEVICE call it. */
  readonly deviceNumber: number;
  /** Fully qualified: `\_SB.I2C0`. */
  readonly objectName: string;
}

/** Devices of the SoC with an address translation cache (VT-d 8.8). */
export interface Satc {
  readonly type: "SATC";
  readonly flags: readonly "ATC_REQUIRED"[];
  readonly segment: number;
  readonly scopes: readonly (DeviceScope | Unknown)[];
}

/** Devices of the SoC with properties told by the flags of their scopes (VT-d 8.9). */
export interface Sidp {
  readonly type: "SIDP";
  readonly segment: number;
  readonly scopes: readonly (DeviceScope | Unknown)[];
}
