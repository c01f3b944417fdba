import { ViommuError } from "@viommu/plugin";

/** A file that is no save of a machine, or not a whole one. */
export function damaged(reason: string): ViommuError {
  return new ViommuError(
    "ERR_VIOMMU_SAVE_DAMAGED",
    `the save cannot be read: ${reason}; save the machine again, or get the file anew`,
  );
}

/** A save of another machine. */
export function otherShape(differences: readonly string[]): ViommuError {
  return new ViommuError(
    "ERR_VIOMMU_SAVE_SHAPE",
    `the save does not fit this machine: ${differences.join("; ")}; restore it into a machine of ` +
      "the same configuration",
  );
}

/** A save in a format that is not read. */
export function otherVersion(version: number, readable: number): ViommuError {
  return new ViommuError(
    "ERR_VIOMMU_SAVE_VERSION",
    `the save has format ${version}, and ${readable} is read; restore it with the release that wrote it`,
  );
}
