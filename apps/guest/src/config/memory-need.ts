import { queuesOf } from "./guest-config.ts";
import type { DeviceConfig, PagingConfig } from "./guest-config.ts";

const PAGE = 4096;
const MIB = 2 ** 20;

/** Bytes that a guest uses for its IOMMU driver, and for device drivers. */
export interface MemoryNeed {
  /** Tables, queues and status words of the units' driver. */
  readonly iommuDriver: number;
  /** Rings and buffers. */
  readonly deviceDrivers: number;
}

/** Interrupt remapping table (1 MiB), root tables and queue of a unit. */
const UNIT = 2 * MIB;
/** Paging structures of a device's domain. */
const DOMAIN = 256 * 1024;
/** Ring and buffers of a queue that stay, stored pages too; what is under way is in addition. */
const PAGES_OF_QUEUE: Readonly<Record<DeviceConfig["kind"], number>> = {
  nic: 5,
  block: 1,
  timer: 1,
  accelerator: 65,
};
const PAGES_UNDER_WAY = 1024;
/** Page tables of a process. */
const PAGES_OF_PROCESS = 64;
/** Tables of host permissions above the lowest level, and those at the ends of memory. */
const PERMISSION_TABLES = 32;
/** 2 MiB, and as much to align them. */
const PAGES_OF_POOL = 1024;

/** What these units and devices need. */
export function memoryNeed(
  units: number,
  devices: readonly Pick<DeviceConfig, "kind" | "interrupt" | "paging" | "sendPool">[],
): MemoryNeed {
  const pages = devices.reduce(
    (sum, { kind, interrupt, paging, sendPool }) =>
      sum +
      PAGES_OF_QUEUE[kind] * queuesOf(interrupt) +
      pagesOfProcesses(paging) +
      (sendPool ? PAGES_OF_POOL : 0),
    PAGES_UNDER_WAY,
  );
  const permissions =
    devices.reduce((sum, { paging }) => sum + pagesOfPermissions(paging), 0) * PAGE;
  return {
    iommuDriver: units === 0 ? 0 : units * UNIT + devices.length * DOMAIN + permissions,
    deviceDrivers: pages * PAGE,
  };
}

/** Frames lie side by side, mostly: a table of level 1 has permissions for 8192 of them. */
function pagesOfPermissions(paging: PagingConfig | null): number {
  if (paging?.hostPermissions !== true) return 0;
  return PERMISSION_TABLES + Math.ceil(paging.frames / 8192);
}

function pagesOfProcesses(paging: PagingConfig | null): number {
  return paging === null ? 0 : paging.frames + paging.processes * PAGES_OF_PROCESS;
}
