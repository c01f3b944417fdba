// The model of physical units
export { FrameAllocator } from "./unit/frame-allocator.ts";
export type { FrameAllocatorOptions } from "./unit/frame-allocator.ts";
export { createPhysicalUnit, PhysicalUnit } from "./unit/physical-unit.ts";
export type { PhysicalUnitOptions } from "./unit/unit-options.ts";
export type { UnitRegisters } from "./unit/abilities.ts";
export type { PhysicalDeviceOptions } from "./unit/unit-devices.ts";
export { createPhysicalDevice, PhysicalDevice } from "./unit/physical-device.ts";
