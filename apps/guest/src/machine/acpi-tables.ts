import { processorEntry } from "@viommu/acpi";
import type { DeviceScope, Dmar, Drhd, Madt, PathStep } from "@viommu/acpi";
import { registerBytes } from "../config/address-map.ts";
import type { GuestConfig, UnitConfig } from "../config/guest-config.ts";
import type { BusAddress } from "../config/values.ts";

const PAGE = 4096;
const LOCAL_APIC_BASE = 0xfee0_0000;

/** Processors and I/O APICs of a guest, as ACPI tells them. */
export function madtOf({ processors, ioapics }: GuestConfig): Madt {
  return {
    localApicAddress: LOCAL_APIC_BASE,
    flags: [],
    entries: [
      ...processors.apicIds.map((apicId, vcpu) => processorEntry(vcpu, apicId)),
      ...ioapics.map(({ id, base, interruptBase }) => ({
        type: "IO_APIC" as const,
        ioApicId: id,
        address: base,
        interruptBase,
      })),
    ],
  };
}

/** Units of a guest and what is under them; null when it has none. */
export function dmarOf(config: GuestConfig): Dmar | null {
  const { units, hostAddressWidth } = config;
  if (units.length === 0) return null;
  const remaps = units.some(({ profile }) => profile.capabilities.IR !== 0);
  // a unit with INCLUDE_PCI_ALL comes after the others of its segment (VT-d 8.3)
  const ordered = [...units].sort((a, b) => Number(a.includeAll) - Number(b.includeAll));
  return {
    hostAddressWidth,
    flags: remaps ? ["INTR_REMAP"] : [],
    structures: ordered.map((unit) => drhdOf(config, unit)),
  };
}

function drhdOf(config: GuestConfig, unit: UnitConfig): Drhd {
  const pages = registerBytes(unit.profile) / PAGE;
  return {
    type: "DRHD",
    flags: unit.includeAll ? ["INCLUDE_PCI_ALL"] : [],
    size: Math.ceil(Math.log2(pages)),
    segment: unit.segment,
    registerBase: unit.base,
    scopes: scopesOf(config, unit.name),
  };
}

function scopesOf({ bridges, devices, ioapics }: GuestConfig, unit: string): DeviceScope[] {
  return [
    ...bridges
      .filter((bridge) => bridge.unit === unit)
      .map(({ address }) => scope("PCI_SUB_HIERARCHY", address)),
    ...devices
      .filter((device) => device.named && device.unit === unit)
      .map(({ address }) => {
        const above = bridges.find(({ address: { segment }, buses }) => {
          const bus = address.sourceId >> 8;
          return segment === address.segment && bus >= buses.first && bus <= buses.last;
        });
        return scope("PCI_ENDPOINT", address, above?.address);
      }),
    ...ioapics
      .filter((ioapic) => ioapic.unit === unit)
      .map(({ id, address }) => ({ ...scope("IOAPIC", address), enumerationId: id })),
  ];
}

function scope(type: DeviceScope["type"], address: BusAddress, above?: BusAddress): DeviceScope {
  const steps = above === undefined ? [step(address)] : [step(above), step(address)];
  const startBus = (above ?? address).sourceId >> 8;
  return { type, flags: [], enumerationId: 0, startBus, path: steps };
}

function step({ sourceId }: BusAddress): PathStep {
  return { device: (sourceId >> 3) & 31, function: sourceId & 7 };
}
