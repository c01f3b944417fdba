import { badValue, show } from "./errors.ts";
import { flags, reserved, uint } from "./field.ts";
import type { Field, Layout } from "./field.ts";
import { RecordList } from "./records.ts";

/** What kind of device a scope names (VT-d 8.3.1). */
export type ScopeType =
  "PCI_ENDPOINT" | "PCI_SUB_HIERARCHY" | "IOAPIC" | "MSI_CAPABLE_HPET" | "ACPI_NAMESPACE_DEVICE";

/** What software must respect when it programs the device; only in an SIDP (VT-d 8.3.1). */
export type ScopeFlag =
  | "REQ_WO_PASID_NESTED_NOTALLOWED"
  | "REQ_WO_PASID_PWSNP_NOTALLOWED"
  | "REQ_WO_PASID_PGSNP_NOTALLOWED"
  | "ATC_HARDENED"
  | "ATC_REQUIRED";

/** One step from a bus to a device on it. */
export interface PathStep {
  /** 0–31 */
  readonly device: number;
  /** 0–7 */
  readonly function: number;
}

/** A device, or a bridge with all behind it, that a structure is about (VT-d 8.3.1). */
export interface DeviceScope {
  readonly type: ScopeType;
  readonly flags: readonly ScopeFlag[];
  /** I/O APIC id, HPET number or ACPI device number; 0 for PCI devices. */
  readonly enumerationId: number;
  /** The bus where the path begins; for HPETs and ACPI devices, the bus of their source-id. */
  readonly startBus: number;
  /** At least one step; each further one is on the bus behind the bridge before. */
  readonly path: readonly PathStep[];
}

const DEVICE = uint(1, 31);
const FUNCTION = uint(1, 7);

const path: Field<readonly PathStep[]> = {
  size: 0,
  read(cursor, end) {
    const steps: PathStep[] = [];
    while (end - cursor.offset >= 2) {
      steps.push({ device: DEVICE.read(cursor, end), function: FUNCTION.read(cursor, end) });
    }
    if (cursor.offset < end) {
      cursor.report(cursor.offset, "half a path step");
      cursor.offset = end;
    }
    return steps;
  },
  write(out, steps, name) {
    for (const step of steps) {
      DEVICE.write(out, step.device, `${name}.device`);
      FUNCTION.write(out, step.function, `${name}.function`);
    }
  },
};

const LAYOUT: Layout<Omit<DeviceScope, "type">> = [
  [
    "flags",
    flags(1, [
      "REQ_WO_PASID_NESTED_NOTALLOWED",
      "REQ_WO_PASID_PWSNP_NOTALLOWED",
      "REQ_WO_PASID_PGSNP_NOTALLOWED",
      "ATC_HARDENED",
      "ATC_REQUIRED",
    ]),
  ],
  [null, reserved(1)],
  ["enumerationId", uint(1)],
  ["startBus", uint(1)],
  ["path", path],
];

/** The device scopes at the end of a structure. */
export const scopeList: RecordList<DeviceScope> = new RecordList<DeviceScope>(1, "device scope", {
  PCI_ENDPOINT: { code: 1, layout: LAYOUT },
  PCI_SUB_HIERARCHY: { code: 2, layout: LAYOUT },
  IOAPIC: { code: 3, layout: LAYOUT },
  MSI_CAPABLE_HPET: { code: 4, layout: LAYOUT },
  ACPI_NAMESPACE_DEVICE: { code: 5, layout: LAYOUT },
});

/**
 * The source-id a scope comes to (VT-d 8.3.1).
 * @param secondaryBus reads the secondary bus number of a bridge. Asked only for paths of several
 * steps; without it, they throw ERR_VIOMMU_ACPI_VALUE.
 */
export function scopeSourceId(
  scope: DeviceScope,
  secondaryBus: (bridgeSourceId: number) => number = noBridges,
): number {
  let bus = scope.startBus;
  let sourceId = bus << 8;
  scope.path.forEach((step, i) => {
    if (i > 0) bus = secondaryBus(sourceId);
    sourceId = (bus << 8) | (step.device << 3) | step.function;
  });
  return sourceId;
}

function noBridges(bridgeSourceId: number): never {
  throw badValue("secondaryBus", undefined, `a way to ask bridge ${show(bridgeSourceId)} for it`);
}
