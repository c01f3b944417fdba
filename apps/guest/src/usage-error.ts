import { ViommuError } from "@viommu/plugin";

/** Wrong usage, for conditions that the option parser does not know. */
export function usageError(problem: string): ViommuError {
  return new ViommuError("ERR_VIOMMU_USAGE", `${problem}; see "viommu --help"`);
}
