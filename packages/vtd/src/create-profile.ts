import { decodeCapabilities, encodeCapabilities, maxGuestAddressWidth } from "@viommu/vtd-spec";
import { encodeMtrrCap, usualMtrrCapability } from "./mtrr-capability.ts";
import { checkProfile } from "./profile-check.ts";
import { capabilitiesOf } from "./profile-options.ts";
import type { Profile } from "./profile.ts";
import type { ProfileOptions } from "./profile-options.ts";

/** The registers of a unit as a recording or another machine shows them. */
export interface ProfileRegisters {
  readonly ver: number;
  readonly cap: bigint;
  readonly ecap: bigint;
  /** MTRRCAP; with MTS 50Ah unless given: ten variable ranges, fixed ranges, write-combining. */
  readonly mtrrCap?: bigint;
  /** In bits; MGAW + 1, at most 52, unless given. */
  readonly hostAddressWidth?: number;
}

/** Widest host address of the architecture's table entries. */
const WIDEST_HOST_ADDRESS = 52;

/**
 * A profile out of readable options. Without any it is a unit in legacy mode with queued
 * invalidation and interrupt remapping. Throws ERR_VIOMMU_PROFILE on what VT-d 5.10 excludes and on
 * what this implementation has not, naming the rule, the value and the remedy.
 */
export function createProfile(options: ProfileOptions = {}): Profile {
  const { version, capabilities, mtrrCap, hostAddressWidth } = capabilitiesOf(options);
  const { cap, ecap } = encodeCapabilities(capabilities);
  return checkProfile({
    version,
    cap,
    ecap,
    mtrrCap,
    capabilities: decodeCapabilities(cap, ecap),
    hostAddressWidth,
  });
}

/** A profile out of the registers themselves; refuses the same as {@link createProfile}. */
export function profileFromRegisters(registers: ProfileRegisters): Profile {
  const { ver, cap, ecap } = registers;
  const capabilities = decodeCapabilities(cap, ecap);
  const hostAddressWidth =
    registers.hostAddressWidth ?? Math.min(maxGuestAddressWidth(capabilities), WIDEST_HOST_ADDRESS);
  const mtrrCap = registers.mtrrCap ?? encodeMtrrCap(usualMtrrCapability(capabilities.MTS !== 0));
  return checkProfile({ version: ver, cap, ecap, mtrrCap, capabilities, hostAddressWidth });
}
