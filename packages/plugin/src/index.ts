export { assemble } from "./assemble.ts";
export type { Assembly } from "./assemble.ts";
export { capability, collection } from "./capability.ts";
export type { AnyCapability, Capability, Collection } from "./capability.ts";
export { ViommuError } from "./errors.ts";
export type { FaultRecord, Invalidation, ModeChange, PageRequest } from "./events.ts";
export { createHookTable } from "./hooks.ts";
export type { HookTable, Hooks } from "./hooks.ts";
export { InFlight } from "./in-flight.ts";
export type { Host, Plugin } from "./plugin.ts";
export { decodeRecord, encodeRecord } from "./snapshot-record.ts";
export type { SnapshotHeader, SnapshotUpgrades } from "./snapshot-record.ts";

// Ports
export { Access, AddressType, ALL_PASIDS, DmaRequest, DmaResult, NO_PASID } from "./ports/dma.ts";
export type { DmaRemapper } from "./ports/dma.ts";
export { Exchange } from "./ports/guest-memory.ts";
export type { GuestMemory } from "./ports/guest-memory.ts";
export { InterruptRequest, InterruptResult } from "./ports/interrupt.ts";
export type { InterruptRemapper, InterruptSink } from "./ports/interrupt.ts";
export type { AcpiTableSource, PendingWork, Snapshottable } from "./ports/machine.ts";
export type { MmioRegion } from "./ports/mmio.ts";
export { MapFlag, MapResult } from "./ports/physical-iommu.ts";
export type {
  DeviceSpace,
  FirstStage,
  InterruptTarget,
  NestedSpace,
  PagingSpace,
  PagingSpaceOptions,
  PhysicalFault,
  PhysicalInterrupts,
  PhysicalIommu,
  PhysicalIommuInfo,
  PhysicalMapping,
  PhysicalPageRequests,
  ReservedRegion,
} from "./ports/physical-iommu.ts";
export {
  acpiTables,
  dmaRemappers,
  guestMemory,
  interruptRemappers,
  interruptSink,
  mmioRegions,
  pendingWork,
  physicalIommus,
  snapshottables,
} from "./ports/capabilities.ts";

// Address convention
export {
  hiFromBigint,
  hiFromNumber,
  hiFromWords,
  highWord,
  isAddress,
  loFromBigint,
  loFromNumber,
  loFromWords,
  lowWord,
  toBigint,
  toNumber,
  UNREACHABLE,
} from "./address.ts";
