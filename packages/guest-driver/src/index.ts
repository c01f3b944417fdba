export { probe } from "./probe.ts";
export type { ProbeOptions } from "./probe.ts";
export type { DriverState } from "./driver-state.ts";
export type { AttachOptions, DriverCounters, InterruptRequester, IommuDriver } from "./driver.ts";
export type { TableMode } from "./domain-format.ts";
export type { UnitDriver } from "./unit-driver.ts";

// Ports
export { createMmioBus } from "./mmio-bus.ts";
export type { MmioBus } from "./mmio-bus.ts";
export type { AcpiSource } from "./acpi-tables.ts";
export type { MemoryRange } from "./page-allocator.ts";

// What was found
export type {
  DeviceId,
  InterruptController,
  PciBridges,
  ReservedRegion,
  Topology,
  UnitDescription,
} from "./topology.ts";

// DMA
export type { Domain, DomainOptions } from "./domain.ts";
export type { DomainFormat } from "./domain-format.ts";

// Devices with PASIDs, device-TLBs and page requests; processes
export type { DeviceFeatures } from "./device-features.ts";
export type { ProcessOptions } from "./process-options.ts";
export type { PageRequestGroup, PageRequestHandler } from "./page-request-answers.ts";
export type { PageRequestReport, PageResponse } from "./page-request-queue.ts";
export type { RequestedPage } from "./page-request-groups.ts";

// Interrupts and faults
export type {
  InterruptBlock,
  MsiMessage,
  PinSettings,
  RedirectionEntry,
} from "./interrupt-block.ts";
export type { ApicAddressing, InterruptTarget } from "./interrupt-destination.ts";
export type { DriverFault, FaultReport } from "./fault-handler.ts";
