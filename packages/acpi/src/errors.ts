import { ViommuError } from "@viommu/plugin";

/** A number as hexadecimal, anything else as it prints. */
export const show = (value: unknown): string =>
  typeof value === "number" && Number.isInteger(value)
    ? `${value < 0 ? "-" : ""}0x${Math.abs(value).toString(16)}`
    : String(value);

/** The bytes are no table that could be read at all. */
export const unreadable = (
  table: string,
  offset: number,
  text: string,
  remedy: string,
): ViommuError =>
  new ViommuError("ERR_VIOMMU_ACPI", `${table} at byte ${show(offset)}: ${text}; ${remedy}`);

/** A value that its field cannot hold. */
export const badValue = (name: string, value: unknown, expected: string): ViommuError =>
  new ViommuError("ERR_VIOMMU_ACPI_VALUE", `${name} is ${show(value)}; give ${expected}`);

/** Fields that hold their values, in a combination that the specification forbids. */
export const brokenRule = (where: string, text: string, remedy: string): ViommuError =>
  new ViommuError("ERR_VIOMMU_ACPI_RULE", `${where}: ${text}; ${remedy}`);

/** Tables that cannot lie where they are put. */
export const badPlacement = (text: string, remedy: string): ViommuError =>
  new ViommuError("ERR_VIOMMU_ACPI_PLACEMENT", `${text}; ${remedy}`);
