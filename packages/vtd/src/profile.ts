import type { Capabilities } from "@viommu/vtd-spec";

/** What kind of unit it is: the registers that tell software, and the host address width. */
export interface Profile {
  /** VER: major version in bits 7:4, minor in 3:0. */
  readonly version: number;
  readonly cap: bigint;
  readonly ecap: bigint;
  /** MTRRCAP; 0 without MTS. It is to equal IA32_MTRRCAP of the guest's processors. */
  readonly mtrrCap: bigint;
  /** The fields of CAP and ECAP. */
  readonly capabilities: Capabilities;
  /** HAW in bits, 32 to 52; the DMAR table reports it to the guest. */
  readonly hostAddressWidth: number;
}
