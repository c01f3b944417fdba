import { ViommuError } from "@viommu/plugin";

/** A number as it stands in specifications and logs. */
export const hex = (value: number): string => `0x${value.toString(16)}`;

/** No DMAR table, or none with a unit in it. */
export const noUnit = (text: string, remedy: string): ViommuError =>
  new ViommuError("ERR_VIOMMU_DRIVER_NO_UNIT", `${text}; ${remedy}`);

/** A unit or a machine cannot do what was asked for. */
export const notCapable = (text: string, remedy: string): ViommuError =>
  new ViommuError("ERR_VIOMMU_DRIVER_CAPABILITY", `${text}; ${remedy}`);

/** A device or an I/O APIC that no unit has in its scope. */
export const notInScope = (text: string, remedy: string): ViommuError =>
  new ViommuError("ERR_VIOMMU_DRIVER_SCOPE", `${text}; ${remedy}`);

/** A unit has not answered within the polls it was given. */
export const timeout = (unit: string, waitedFor: string, polls: number): ViommuError =>
  new ViommuError(
    "ERR_VIOMMU_DRIVER_TIMEOUT",
    `${unit}: ${waitedFor} not seen within ${polls} polls; let poll() run the unit's pending work, ` +
      "raise pollLimit, or look why the unit does not answer",
  );

/** The unit refused a descriptor or a request of this driver. */
export const refused = (unit: string, text: string): ViommuError =>
  new ViommuError(
    "ERR_VIOMMU_DRIVER_REFUSED",
    `${unit}: ${text}; a unit that conforms to VT-d 5.10 takes it, so look what it found wrong`,
  );

/** The memory given to the driver is used up, or is no memory. */
export const memoryFailed = (text: string, remedy: string): ViommuError =>
  new ViommuError("ERR_VIOMMU_DRIVER_MEMORY", `${text}; ${remedy}`);

/** An I/O virtual address that is not free, not mapped, or not to be had. */
export const badIova = (text: string, remedy: string): ViommuError =>
  new ViommuError("ERR_VIOMMU_DRIVER_IOVA", `${text}; ${remedy}`);

/** A domain that a unit does not understand, or has no id for. */
export const badDomain = (text: string, remedy: string): ViommuError =>
  new ViommuError("ERR_VIOMMU_DRIVER_DOMAIN", `${text}; ${remedy}`);

/** A PASID that is not free, not allocated, or not to be had; a process that devices cannot see. */
export const badPasid = (text: string, remedy: string): ViommuError =>
  new ViommuError("ERR_VIOMMU_DRIVER_PASID", `${text}; ${remedy}`);

/** An interrupt that cannot be described by an entry of the remapping table. */
export const badInterrupt = (text: string, remedy: string): ViommuError =>
  new ViommuError("ERR_VIOMMU_DRIVER_INTERRUPT", `${text}; ${remedy}`);

/** Something was called at a time when it cannot be. */
export const badState = (text: string, remedy: string): ViommuError =>
  new ViommuError("ERR_VIOMMU_DRIVER_STATE", `${text}; ${remedy}`);
