import {
  CAP,
  CAPABILITY_RULES,
  ECAP,
  maxGuestAddressWidth,
  MTRRCAP,
  REGISTERS,
} from "@viommu/vtd-spec";
import type { CapabilityName, CapabilityRule, Layout, RegisterLayout } from "@viommu/vtd-spec";
import { decodeMtrrCap, MOST_VARIABLE_MTRRS } from "./mtrr-capability.ts";
import type { Profile } from "./profile.ts";
import { refuseProfile } from "./profile-refusal.ts";
import { elementsOf, placedRegisters } from "./register-map.ts";

/**
 * Capabilities whose behaviour this implementation has not: a unit that advertised them would break
 * its word.
 */
const NOT_IMPLEMENTED: readonly (readonly [CapabilityName, string])[] = [
  ["ECMDS", "enhanced commands"],
  ["PMS", "performance monitoring"],
  ["VCS", "virtual commands"],
  ["RDTS", "the RDT configuration register"],
  ["TDXCS", "TDX Connect"],
];

/** Major versions whose behaviour the unit knows (VT-d 11.4.1). */
const FIRST_MAJOR = 1;
const LAST_MAJOR = 8;

/** From this major version on, SAGAW is 0 without second-stage translation (VT-d 11.4.2). */
const SAGAW_NEEDS_SSTS = 6;

/** Returns the profile, or throws ERR_VIOMMU_PROFILE with the first rule that it breaks. */
export function checkProfile(profile: Profile): Profile {
  checkReservedBits(CAP, profile.cap);
  checkReservedBits(ECAP, profile.ecap);
  for (const [capability, what] of NOT_IMPLEMENTED) {
    if (profile.capabilities[capability] === 0) continue;
    refuseProfile(
      `${capability} is ${profile.capabilities[capability]}`,
      `this implementation has no ${what}`,
      `clear ${capability}`,
    );
  }
  for (const rule of CAPABILITY_RULES) checkRule(profile, rule);
  checkVersion(profile);
  checkWidths(profile);
  checkMtrrCap(profile);
  checkPlaces(profile);
  return profile;
}

function checkReservedBits(layout: Layout, value: bigint): void {
  for (const field of layout.fields) {
    if (field.kind !== "reserved") continue;
    const bits = (value >> BigInt(field.low)) & ((1n << BigInt(field.high - field.low + 1)) - 1n);
    if (bits === 0n) continue;
    refuseProfile(
      `${layout.name} is 0x${value.toString(16)}`,
      `its bits ${field.high}:${field.low} are reserved (VT-d ${layout.chapter})`,
      "clear them",
    );
  }
}

function checkRule({ capabilities }: Profile, rule: CapabilityRule): void {
  const { capability, needs = [], excludes = [], values } = rule;
  const value = capabilities[capability];
  const reason = `${rule.text} (VT-d ${rule.chapter})`;
  if (values !== undefined && !values.includes(value)) {
    refuseProfile(
      `${capability} is ${value}`,
      reason,
      `give it one of the values ${values.join(", ")}`,
    );
  }
  if (value === 0) return;
  for (const need of needs) {
    if (capabilities[need] !== 0) continue;
    refuseProfile(
      `${capability} is ${value} and ${need} is 0`,
      reason,
      `set ${need} or clear ${capability}`,
    );
  }
  for (const other of excludes) {
    if (capabilities[other] === 0) continue;
    refuseProfile(
      `${capability} is ${value} and ${other} is ${capabilities[other]}`,
      reason,
      `clear one of them`,
    );
  }
}

function checkVersion({ version, capabilities }: Profile): void {
  const major = version >> 4;
  if (!Number.isInteger(version) || major < FIRST_MAJOR || major > LAST_MAJOR) {
    refuseProfile(
      `VER is 0x${version.toString(16)}`,
      `this implementation knows the behaviour of major versions ${FIRST_MAJOR} to ${LAST_MAJOR}`,
      "give the major version in bits 7:4",
    );
  }
  if (major >= SAGAW_NEEDS_SSTS && capabilities.SSTS === 0 && capabilities.SAGAW !== 0) {
    refuseProfile(
      `VER is 0x${version.toString(16)}, SSTS is 0 and SAGAW is ${capabilities.SAGAW}`,
      `SAGAW is 0 without SSTS from major version ${SAGAW_NEEDS_SSTS} on (VT-d 11.4.2)`,
      "clear SAGAW, set SSTS or give an earlier version",
    );
  }
}

function checkWidths({ capabilities, hostAddressWidth }: Profile): void {
  const mgaw = maxGuestAddressWidth(capabilities);
  if (!Number.isInteger(hostAddressWidth) || hostAddressWidth < 32 || hostAddressWidth > 52) {
    refuseProfile(
      `hostAddressWidth is ${hostAddressWidth}`,
      "table entries hold addresses of up to 52 bits, and interrupts need 32",
      "give 32 to 52 bits",
    );
  }
  if (mgaw < hostAddressWidth) {
    refuseProfile(
      `the maximum guest address width is ${mgaw} and hostAddressWidth is ${hostAddressWidth}`,
      "MGAW is at least the host address width (VT-d 11.4.2)",
      "raise MGAW or lower hostAddressWidth",
    );
  }
  if (mgaw > 57) {
    refuseProfile(
      `the maximum guest address width is ${mgaw}`,
      "no paging structure reaches beyond 57 bits",
      "set CAP.MGAW to 56 or less",
    );
  }
}

function checkMtrrCap({ mtrrCap, capabilities }: Profile): void {
  checkReservedBits(MTRRCAP, mtrrCap);
  const value = `MTRRCAP is 0x${mtrrCap.toString(16)}`;
  if (capabilities.MTS === 0 && mtrrCap !== 0n) {
    refuseProfile(
      `${value} and MTS is 0`,
      `there are no MTRRs without MTS (VT-d ${MTRRCAP.chapter})`,
      "set MTS or clear MTRRCAP",
    );
  }
  const { VCNT } = decodeMtrrCap(mtrrCap);
  if (VCNT > MOST_VARIABLE_MTRRS) {
    refuseProfile(
      value,
      `a unit has room for ${MOST_VARIABLE_MTRRS} variable ranges, not ${VCNT} (VT-d 11.4.12.4)`,
      "lower VCNT",
    );
  }
}

/**
 * IVA, IOTLB and the fault records may lie at unused offsets only (VT-d 11.4). The registers that
 * this implementation knows keep theirs, also in a unit that is without them; but units without MTS
 * do have others in the place of the MTRRs.
 */
function checkPlaces(profile: Profile): void {
  const movable = placedRegisters(profile).filter(({ register }) => register.base !== undefined);
  const fixed = REGISTERS.filter((register) => keepsItsPlace(register, profile)).flatMap(
    (register) => elementsOf(register, 0, register.count ?? 1),
  );
  const placed = [...fixed, ...movable].sort((a, b) => a.offset - b.offset);
  for (let i = 1; i < placed.length; i++) {
    const below = placed[i - 1]!;
    const above = placed[i]!;
    if (below.offset + below.register.bits / 8 <= above.offset) continue;
    refuseProfile(
      `${above.register.name} lies at 0x${above.offset.toString(16)}`,
      `${below.register.name} at 0x${below.offset.toString(16)} reaches into it`,
      "move the fault records (FRO) or the IOTLB registers (IRO)",
    );
  }
}

function keepsItsPlace({ requires }: RegisterLayout, { capabilities }: Profile): boolean {
  if (requires === "MTS") return capabilities.MTS !== 0;
  return !NOT_IMPLEMENTED.some(([missing]) => missing === requires);
}
