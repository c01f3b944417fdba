export { scopeSourceId } from "./device-scope.ts";
export type { DeviceScope, PathStep, ScopeFlag, ScopeType } from "./device-scope.ts";
export { buildDmar, parseDmar } from "./dmar-format.ts";
export type { Andd, Atsr, Dmar, DmarStructure, Drhd, Rhsa, Rmrr, Satc, Sidp } from "./dmar.ts";
export { findTables } from "./find-tables.ts";
export type { FoundTable, FoundTables, ReadMemory } from "./find-tables.ts";
export { buildMadt, parseMadt } from "./madt-format.ts";
export { processorEntry } from "./madt.ts";
export type {
  InterruptSourceOverride,
  IoApic,
  LocalApic,
  LocalApicAddressOverride,
  LocalApicNmi,
  LocalX2Apic,
  LocalX2ApicNmi,
  Madt,
  MadtEntry,
  NmiSource,
  ProcessorFlag,
  Signal,
} from "./madt.ts";
export { layoutTables } from "./memory-image.ts";
export type { TableImage } from "./memory-image.ts";
export type { Parsed, Problem } from "./problem.ts";
export type { Unknown } from "./records.ts";
export type { TableHeader } from "./table.ts";
