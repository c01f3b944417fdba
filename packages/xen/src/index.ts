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
