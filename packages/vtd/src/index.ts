export { createUnit, VtdUnit } from "./unit.ts";
export type { UnitOptions, UnitSettings } from "./unit-options.ts";
export { vtd, vtdUnits } from "./plugin.ts";

// What a unit can do
export { createProfile, profileFromRegisters } from "./create-profile.ts";
export type { ProfileRegisters } from "./create-profile.ts";
export type { Profile } from "./profile.ts";
export type { AddressWidth, PageSize, ProfileOptions } from "./profile-options.ts";

// Devices with translation caches or page requests
export type { DeviceTlbSink } from "./device-tlb.ts";
export { PageRequestResult } from "./page-request-queue.ts";
export type { PageResponseSink } from "./page-request-queue.ts";
