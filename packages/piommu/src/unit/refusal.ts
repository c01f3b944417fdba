import { ViommuError } from "@viommu/plugin";

/** A mistake of the host that uses a physical unit, or a unit at its limits. */
export function refusal(message: string): ViommuError {
  return new ViommuError("ERR_VIOMMU_PIOMMU", message);
}

/** A number in hexadecimal, for messages. */
export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
