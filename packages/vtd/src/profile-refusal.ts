import { ViommuError } from "@viommu/plugin";

/** Refuses a profile: what was given, the rule that it breaks, and what to do. */
export function refuseProfile(given: string, rule: string, remedy: string): never {
  throw new ViommuError("ERR_VIOMMU_PROFILE", `${given}, but ${rule}; ${remedy}`);
}
