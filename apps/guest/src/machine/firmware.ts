import { buildDmar, buildMadt, layoutTables } from "@viommu/acpi";
import { acpiTables, capability, guestMemory, hiFromNumber, loFromNumber } from "@viommu/plugin";
import type { AcpiTableSource, Capability, Plugin } from "@viommu/plugin";
import type { AddressRange, GuestConfig } from "../config/guest-config.ts";
import { dmarOf, madtOf } from "./acpi-tables.ts";

const PAGE = 4096;
const FOUR_GIB = 2 ** 32;

/** What firmware hands over to an operating system. */
export interface Firmware {
  /** Guest-physical address of the ACPI root pointer. */
  readonly rsdp: number;
  /** Memory that the operating system may use. */
  readonly usable: readonly AddressRange[];
}

/** The key of what firmware has left in the machine. */
export const firmware: Capability<Firmware> = capability("firmware");

/** DMAR (with units) and MADT of a guest, as parts of a machine. */
export function acpiPlugin(config: GuestConfig): Plugin {
  const madt = madtOf(config);
  const dmar = dmarOf(config);
  const sources: AcpiTableSource[] = [{ signature: "APIC", build: () => buildMadt(madt) }];
  if (dmar !== null) sources.push({ signature: "DMAR", build: () => buildDmar(dmar, madt) });
  return {
    name: "acpi",
    provides: [acpiTables],
    setup(host) {
      for (const source of sources) host.provide(acpiTables, source);
    },
  };
}

/** Puts the ACPI tables at the end of low memory, as UEFI firmware does. */
export function firmwarePlugin(ranges: readonly AddressRange[]): Plugin {
  return {
    name: "firmware",
    needs: [guestMemory, acpiTables],
    provides: [firmware],
    setup(host) {
      const tables = host.use(acpiTables).map((source) => source.build());
      const low = lowMemory(ranges);
      const size = Math.ceil(layoutTables(0, tables).bytes.length / PAGE) * PAGE;
      const { base, bytes, rsdp } = layoutTables(low.base + low.size - size, tables);
      host.use(guestMemory).writeBytes(hiFromNumber(base), loFromNumber(base), bytes);
      const usable = ranges.map((range) =>
        range === low ? { base: low.base, size: low.size - size } : range,
      );
      host.provide(firmware, { rsdp, usable });
    },
  };
}

/** The largest range below 4 GiB. */
function lowMemory(ranges: readonly AddressRange[]): AddressRange {
  return ranges
    .filter(({ base, size }) => base + size <= FOUR_GIB)
    .reduce((largest, range) => (range.size > largest.size ? range : largest));
}
