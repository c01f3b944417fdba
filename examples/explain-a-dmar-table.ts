// Decodes a DMAR table, and says in words what it tells a guest and what is wrong with it: `acpi` alone.
// Takes a file, such as a copy of /sys/firmware/acpi/tables/DMAR; without one, a table of a QEMU q35.
import { readFileSync } from "node:fs";
import { parseDmar } from "@viommu/acpi";
import type { DeviceScope, Unknown } from "@viommu/acpi";

const bytes = readFileSync(process.argv[2] ?? new URL("data/dmar-q35.bin", import.meta.url));
const { table, problems } = parseDmar(bytes);

const hex = (value: number): string => value.toString(16);

/** "IOAPIC ff:0.0 (id 0)": where the path begins, and each step behind a bridge. */
function scopeText(scope: DeviceScope | Unknown): string {
  if (!("path" in scope)) return "a scope of a later specification";
  const steps = scope.path.map((step) => `${hex(step.device)}.${step.function}`);
  const id = scope.type === "IOAPIC" ? ` (id ${scope.enumerationId})` : "";
  return `${scope.type} ${hex(scope.startBus)}:${steps.join("/")}${id}`;
}

console.log(`DMA reaches ${table.hostAddressWidth} bits; flags: ${table.flags.join(", ")}`);
for (const structure of table.structures) {
  console.log(structure.type, "flags" in structure ? structure.flags.join() : "");
  if ("registerBase" in structure) console.log(`  registers at ${hex(structure.registerBase)}h`);
  if ("limit" in structure) {
    console.log(`  memory ${hex(structure.base)}h to ${hex(structure.limit)}h stays mapped`);
  }
  if (!("scopes" in structure)) continue;
  for (const scope of structure.scopes) console.log(`  ${scopeText(scope)}`);
}
for (const { offset, text } of problems) console.log(`wrong at byte ${offset}: ${text}`);

/* prints:
DMA reaches 39 bits; flags: INTR_REMAP
DRHD
  registers at fed90000h
  IOAPIC ff:0.0 (id 0)
  PCI_ENDPOINT 0:0.0
  PCI_SUB_HIERARCHY 0:1.0
  PCI_ENDPOINT 0:2.0
  PCI_ENDPOINT 0:1f.0
  PCI_ENDPOINT 0:1f.2
  PCI_ENDPOINT 0:1f.3
ATSR ALL_PORTS
*/
