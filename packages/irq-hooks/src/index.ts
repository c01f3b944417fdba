// Local APICs
export { LapicBus } from "./vlapic-bus.ts";
export type { LapicBusOptions } from "./vlapic-bus.ts";
export { LapicRegisters } from "./vlapic-registers.ts";
export { ApicMode, LapicEvent } from "./vlapic-array.ts";
export type { LapicArray } from "./vlapic-array.ts";
export { DeliveryMode } from "./delivery.ts";

// The hooks of interrupt sources
export { InterruptRoute, remapperOfSegment } from "./interrupt-route.ts";
export type { InterruptRouteOptions } from "./interrupt-route.ts";
export { ioapicDeliver } from "./redirection-entry.ts";
export { vmsiDeliver, VmsiResult } from "./vmsi.ts";

// Interrupt sources
export { Ioapic } from "./ioapic.ts";
export type { IoapicOptions } from "./ioapic.ts";
export { MsiCapability } from "./msi.ts";
export type { MsiOptions } from "./msi.ts";
export { MsixCapability } from "./msix.ts";
export type { MovableRegion, MsixOptions, MsixPlace } from "./msix.ts";

// Plugins
export { eoiBroadcasters, ioapic, ioapics, lapicBus, lapics } from "./plugins.ts";
export type { EoiBroadcaster, IoapicPluginOptions } from "./plugins.ts";
