import type { AddressRange, DeviceConfig } from "./guest-config.ts";
import { memoryNeed } from "./memory-need.ts";
import type { Refuse } from "./rule.ts";

const MIB = 2 ** 20;
const FOUR_GIB = 2 ** 32;
/** What a BIOS leaves below, and what ACPI tables take: at most 16 bytes for each vCPU, and a page. */
const LEGACY_AREA = MIB;
const TABLES = 2 * MIB;

/** The guest has room for its tables, rings and buffers. */
export function checkMemorySize(
  memory: readonly AddressRange[],
  units: number,
  devices: readonly Pick<DeviceConfig, "kind" | "interrupt" | "paging" | "sendPool">[],
  refuse: Refuse,
): void {
  const { iommuDriver, deviceDrivers } = memoryNeed(units, devices);
  const low = memory.filter(({ base, size }) => base + size <= FOUR_GIB);
  if (largest(low) < LEGACY_AREA + TABLES) {
    refuse(["memory"], "has no 3 MiB in one piece below 4 GiB", "firmware needs them; add some");
  }
  const whole = LEGACY_AREA + TABLES + iommuDriver + deviceDrivers;
  const total = memory.reduce((sum, { size }) => sum + size, 0);
  if (total >= whole && largest(memory) >= whole - deviceDrivers) return;
  const need = Math.ceil(whole / MIB);
  refuse(
    ["memory"],
    "is too little for these units and devices",
    `give ${need}M or more in one piece`,
  );
}

const largest = (ranges: readonly AddressRange[]): number =>
  ranges.reduce((most, { size }) => Math.max(most, size), 0);
