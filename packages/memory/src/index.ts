export { createMemory } from "./chunked-memory.ts";
export type { ChunkedMemory } from "./chunked-memory.ts";
export { createDmaPort, NO_MEMORY } from "./dma-port.ts";
export type { DmaPort, DmaPortOptions, DmaSegments } from "./dma-port.ts";
export type { GrowableBuffer, MemoryOptions, MemoryRegion } from "./region.ts";

// Devices with an address translation cache (PCI Express ATS) and page requests (PRI)
export { createAtc, AtcResult } from "./atc.ts";
export type { Atc, AtcOptions, TranslationAgent } from "./atc.ts";
export { createAtcRouter } from "./atc-router.ts";
export type { AtcEndpoint, AtcRouter } from "./atc-router.ts";
export { PageResponse } from "./page-request-groups.ts";
export type { AnsweredGroup, PageNeed } from "./page-request-groups.ts";
