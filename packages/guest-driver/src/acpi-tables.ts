import { findTables } from "@viommu/acpi";
import { hex, noUnit } from "./errors.ts";
import type { TableMemory } from "./table-memory.ts";

/** Where a guest has its ACPI tables. */
export type AcpiSource =
  /** In guest memory, from this root pointer on; firmware of UEFI hands it over. */
  | { readonly rsdp: number }
  /** The bytes themselves. */
  | { readonly dmar: Uint8Array; readonly madt?: Uint8Array };

/** Where firmware without UEFI puts the root pointer (ACPI 5.2.5.1), on a 16-byte border. */
const BIOS_AREA = { first: 0xe_0000, end: 0x10_0000, step: 16 };
const SIGNATURE = "RSD PTR ";

/** DMAR and, where there is one, MADT. Throws ERR_VIOMMU_DRIVER_NO_UNIT without a DMAR table. */
export function acpiTables(
  memory: TableMemory,
  source: AcpiSource | null,
): { dmar: Uint8Array; madt: Uint8Array | null } {
  if (source !== null && "dmar" in source) return { dmar: source.dmar, madt: source.madt ?? null };
  const rsdp = source?.rsdp ?? scanForRootPointer(memory);
  const { tables } = findTables((address, length) => memory.readBytes(address, length), rsdp);
  const bytesOf = (signature: string): Uint8Array | undefined =>
    tables.find((table) => table.signature === signature)?.bytes;
  const dmar = bytesOf("DMAR");
  if (dmar === undefined) {
    throw noUnit(
      `no DMAR among the ACPI tables from ${hex(rsdp)} on`,
      "the machine has no remapping unit: run the guest without the driver, or add one",
    );
  }
  return { dmar, madt: bytesOf("APIC") ?? null };
}

function scanForRootPointer(memory: TableMemory): number {
  for (let address = BIOS_AREA.first; address < BIOS_AREA.end; address += BIOS_AREA.step) {
    const bytes = memory.readBytes(address, SIGNATURE.length);
    if (bytes !== undefined && String.fromCharCode(...bytes) === SIGNATURE) return address;
  }
  throw noUnit(
    `no ACPI root pointer between ${hex(BIOS_AREA.first)} and ${hex(BIOS_AREA.end)}`,
    "put the tables there, or say where they are (acpi)",
  );
}
