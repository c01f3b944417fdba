export { Counters } from "./counters.ts";
export { TranslationEngine } from "./engine.ts";
export { MemoryType } from "./memory-type.ts";
export type { FaultReporter, TranslationOptions } from "./options.ts";
export type { ProtectedRange } from "./protected-memory.ts";
