import { buildDmar } from "@viommu/acpi";
import type { DeviceScope, Drhd } from "@viommu/acpi";
import type { AcpiTableSource } from "@viommu/plugin";
import type { HostedUnit } from "./hosted-unit.ts";

/** An I/O APIC as DMAR describes it. */
export interface IoApicPlace {
  readonly id: number;
  /** Requester of its interrupts, in segment 0. */
  readonly sourceId: number;
}

/** The DMAR table of a domain's units; at least one. */
export function dmarOf(
  units: readonly HostedUnit[],
  ioApics: readonly IoApicPlace[],
  hostAddressWidth: number,
): AcpiTableSource {
  const remaps = units.every(({ unit }) => unit.profile.capabilities.IR !== 0);
  // units for all of a segment come behind those for single devices (VT-d 8.3)
  const listed = units.filter(({ devices }) => devices !== null);
  const rest = units.filter(({ devices }) => devices === null);
  const isListed = (sourceId: number): boolean =>
    listed.some(({ unit, devices }) => unit.segment === 0 && devices!.has(sourceId));
  const describe = ({ unit, devices }: HostedUnit): Drhd => {
    const own = ioApics.filter(
      ({ sourceId }) =>
        unit.segment === 0 && (devices === null ? !isListed(sourceId) : devices.has(sourceId)),
    );
    const endpoints = [...(devices ?? [])].filter(
      (device) => !own.some(({ sourceId }) => sourceId === device),
    );
    return {
      type: "DRHD",
      flags: devices === null ? ["INCLUDE_PCI_ALL"] : [],
      size: 0,
      segment: unit.segment,
      registerBase: unit.base,
      scopes: [
        ...own.map(({ id, sourceId }) => scope("IOAPIC", id, sourceId)),
        ...endpoints.map((sourceId) => scope("PCI_ENDPOINT", 0, sourceId)),
      ],
    };
  };
  return {
    signature: "DMAR",
    build: () =>
      buildDmar({
        hostAddressWidth,
        flags: remaps ? ["INTR_REMAP"] : [],
        structures: [...listed, ...rest].map(describe),
      }),
  };
}

function scope(type: DeviceScope["type"], enumerationId: number, sourceId: number): DeviceScope {
  const step = { device: (sourceId >> 3) & 31, function: sourceId & 7 };
  return { type, flags: [], enumerationId, startBus: sourceId >> 8, path: [step] };
}
