// The model of physical units
export { FrameAllocator } from "./unit/frame-allocator.ts";
export type { FrameAllocatorOptions } from "./unit/frame-allocator.ts";
export { createPhysicalUnit, PhysicalUnit } from "./unit/physical-unit.ts";
export type { PhysicalUnitOptions } from "./unit/unit-options.ts";
export type { UnitRegisters } from "./unit/abilities.ts";
export type { PhysicalDeviceOptions } from "./unit/unit-devices.ts";
export { createPhysicalDevice, PhysicalDevice } from "./unit/physical-device.ts";
export type { PhysicalDeviceParts } from "./unit/physical-device.ts";

// The driver of a guest's devices
export { createGuestIommu, GuestIommu } from "./guest/guest-iommu.ts";
export type { Assignment, GuestIommuOptions, GuestIommuReport } from "./guest/guest-iommu.ts";
export type { GuestIommuCounters } from "./guest/counters.ts";
export type { GuestMessage, PostedLookup, PostedTarget } from "./guest/guest-interrupts.ts";
export type { GuestUnit } from "./guest/guest-unit.ts";
export { P2m } from "./guest/p2m.ts";
export type { P2mExtent, P2mOptions, P2mRun, P2mSubscriber, PageType } from "./guest/p2m.ts";
export { compareCapabilities } from "./guest/capability-mismatch.ts";
export type { CapabilityMismatch } from "./guest/capability-mismatch.ts";
