export { createMemory } from "./chunked-memory.ts";
export type { ChunkedMemory } from "./chunked-memory.ts";
export { createDmaPort, NO_MEMORY } from "./dma-port.ts";
export type { DmaPort, DmaPortOptions, DmaSegments } from "./dma-port.ts";
export type { GrowableBuffer, MemoryOptions, MemoryRegion } from "./region.ts";
