// Hypercalls
export { Errno } from "./errno.ts";
export { OP_BYTES, OpField, Permission, SubOp, ViommuCapability, ViommuType } from "./op-layout.ts";
export { TRANSLATION_BYTES, TranslationField } from "./op-layout.ts";
export { ViommuRegistry } from "./registry.ts";
export type { DomainCounters, DomainMachine, XenDomain } from "./domain.ts";
export type { HostedUnit } from "./hosted-unit.ts";
export type { IoApicPlace } from "./dmar.ts";
export type { BudgetLimits, FrameQuota } from "./budget.ts";
export { ViommuClient } from "./client.ts";
export type { ClientOptions, CreateRequest, TranslateResult, ViommuInfo } from "./client.ts";

// Passed-through devices
export { createDomainIommu } from "./domain-iommu.ts";
export type { DomainIommuOptions } from "./domain-iommu.ts";

// Device model
export { DummyViommu } from "./dummy-viommu.ts";
export type { DummyViommuOptions } from "./dummy-viommu.ts";
export type { DeviceModel } from "./device-model-port.ts";

// xl.cfg
export { XlError } from "./xl/error.ts";
export type { XlProblem } from "./xl/error.ts";
export { parseXlConfig } from "./xl/parse-config.ts";
export { plainXlValue } from "./xl/value.ts";
export type {
  XlAtom,
  XlConfig,
  XlList,
  XlPlain,
  XlPosition,
  XlSetting,
  XlValue,
} from "./xl/value.ts";
export { readXlDomain } from "./xl/domain.ts";
export type { XlDomain, XlGuestType, XlIgnored } from "./xl/domain.ts";
export type { XlDisk, XlDiskFormat } from "./xl/disk-entry.ts";
export type { XlPci, XlPciAddress } from "./xl/pci-entry.ts";
export type { XlVif } from "./xl/vif-entry.ts";
export type { XlViommu } from "./xl/viommu-entry.ts";

// Save, restore, live migration
export { DomainPages } from "./save/domain-pages.ts";
export type { LoggedMemory, SavedRegion } from "./save/domain-pages.ts";
export type { SavedDomain, SaveSink, SaveSource } from "./save/domain.ts";
export { saveDomain } from "./save/save-domain.ts";
export type { SaveFigures } from "./save/save-domain.ts";
export { restoreDomain } from "./save/restore-domain.ts";
export { migrateDomain } from "./save/live-migration.ts";
export type { MigrationFigures, MigrationOptions } from "./save/live-migration.ts";
