// Checks and how to run them
export { ConformanceError } from "./check.ts";
export type { Check } from "./check.ts";
export { runConformance } from "./run.ts";
export type { ConformanceReport } from "./run.ts";

// Suites
export { guestMemoryConformance } from "./guest-memory.ts";
export type { GuestMemoryHarness } from "./memory-under-test.ts";
export type { MemoryRange } from "./memory-layout.ts";
