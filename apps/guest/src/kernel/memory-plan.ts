import type { AddressRange, GuestConfig } from "../config/guest-config.ts";
import { memoryNeed } from "../config/memory-need.ts";

/** Below are the interrupt vectors and data areas of a BIOS. */
const FIRST_USABLE = 0x10_0000;

/** Which memory of the guest is for what. */
export interface MemoryPlan {
  /** Null: there is no unit to drive. */
  readonly iommuDriver: AddressRange | null;
  /** Rings and buffers of device drivers: all the rest. */
  readonly deviceDrivers: readonly AddressRange[];
}

/** Cuts the tables of the IOMMU driver off the end of the largest range. */
export function splitMemory(usable: readonly AddressRange[], config: GuestConfig): MemoryPlan {
  const ranges = usable
    .map(({ base, size }) => {
      const start = Math.max(base, FIRST_USABLE);
      return { base: start, size: base + size - start };
    })
    .filter(({ size }) => size > 0);
  const { iommuDriver: size } = memoryNeed(config.units.length, config.devices);
  if (size === 0) return { iommuDriver: null, deviceDrivers: ranges };
  const largest = ranges.reduce((best, range) => (range.size > best.size ? range : best));
  const end = largest.base + largest.size;
  return {
    iommuDriver: { base: end - size, size },
    deviceDrivers: ranges.map((range) =>
      range === largest ? { base: range.base, size: range.size - size } : range,
    ),
  };
}
