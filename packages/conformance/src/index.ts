// Checks and how to run them
export { ConformanceError } from "./check.ts";
export type { Check } from "./check.ts";
export { runConformance } from "./run.ts";
export type { ConformanceReport } from "./run.ts";

// Suites
export { guestMemoryConformance } from "./guest-memory.ts";
export type { GuestMemoryHarness } from "./memory-under-test.ts";
export type { MemoryRange } from "./memory-layout.ts";
export { dmaRemapperConformance } from "./dma-remapper.ts";
export type { DmaMapping } from "./dma-query.ts";
export type { DmaMappings, DmaRemapperHarness } from "./remapper-under-test.ts";
export { interruptRemapperConformance } from "./interrupt-remapper.ts";
export type { InterruptRemapperHarness, InterruptRoutes } from "./interrupts-under-test.ts";
export { interruptSinkConformance } from "./interrupt-sink.ts";
export type { Delivery, InterruptSinkHarness, SinkCpu } from "./sink-under-test.ts";
export { physicalIommuConformance } from "./physical-iommu.ts";
export type { PhysicalInterrupt, PhysicalIommuHarness } from "./physical-under-test.ts";
export { messageOf } from "./interrupt-message.ts";
export type { Interrupt, MessageWords } from "./interrupt-message.ts";

// Tables, as a driver writes them
export { TableSpace } from "./table-space.ts";
export type { TableSpaceOptions } from "./table-space.ts";
export { SecondStageTable } from "./second-stage-table.ts";
export type { SecondStagePage } from "./second-stage-table.ts";
export { RootTable } from "./root-table.ts";
export type { ContextFields } from "./root-table.ts";
export { InterruptTable } from "./interrupt-table.ts";
export type { InterruptTableOptions, IrteFields, Message } from "./interrupt-table.ts";
export type { PostedIrteFields } from "./interrupt-table.ts";
