import type { DeviceScope, ScopeType } from "./device-scope.ts";
import type { DmarStructure } from "./dmar.ts";
import type { Report } from "./problem.ts";
import type { Unknown } from "./records.ts";

interface Allowed {
  readonly types: readonly ScopeType[];
  /** Only devices of the root complex: paths of one step. */
  readonly integrated: boolean;
}

/** What a structure may have in its scope; absent: everything. */
const ALLOWED: Partial<Record<DmarStructure["type"], Allowed>> = {
  ATSR: { types: ["PCI_SUB_HIERARCHY"], integrated: false },
  SATC: { types: ["PCI_ENDPOINT"], integrated: true },
  SIDP: { types: ["PCI_ENDPOINT", "ACPI_NAMESPACE_DEVICE"], integrated: true },
};

const BESIDE_INCLUDE_PCI_ALL: Allowed = {
  types: ["IOAPIC", "MSI_CAPABLE_HPET", "ACPI_NAMESPACE_DEVICE"],
  integrated: false,
};

/** The scopes of a structure that this package knows; none for structures without scopes. */
export const scopesOf = (structure: DmarStructure): readonly DeviceScope[] =>
  "scopes" in structure ? structure.scopes.filter(isScope) : [];

const isScope = (scope: DeviceScope | Unknown): scope is DeviceScope => scope.type !== "UNKNOWN";

/** Reports scopes that are wrong whatever the rest of the table says (VT-d 8.3.1). */
export function checkScopes(structure: DmarStructure, report: Report): void {
  const includeAll = structure.type === "DRHD" && structure.flags.includes("INCLUDE_PCI_ALL");
  const allowed = includeAll ? BESIDE_INCLUDE_PCI_ALL : ALLOWED[structure.type];
  const holder = includeAll ? "a DRHD with INCLUDE_PCI_ALL" : structure.type;
  for (const scope of scopesOf(structure)) {
    if (allowed?.types.includes(scope.type) === false) {
      report(scope, `${scope.type} can't be in ${holder}`, `use ${allowed.types.join(" or ")}`);
    }
    const oneStep = allowed?.integrated === true || hasBareSourceId(scope.type);
    if (scope.path.length === 0) {
      report(scope, "the path is empty", "give device and function");
    } else if (scope.path.length > 1 && oneStep) {
      report(scope, `the path has ${scope.path.length} steps instead of one`, "give one step");
    }
    if (isPci(scope) && scope.enumerationId !== 0) {
      report(scope, "a PCI device has no enumeration id", "set it to 0");
    }
    if (scope.flags.length > 0 && structure.type !== "SIDP") {
      report(scope, `${scope.flags.join(", ")} outside an SIDP`, "add an SIDP for the device");
    }
  }
}

/** True for endpoints and bridges: what the hardware finds by their place on a bus. */
export const isPci = (scope: DeviceScope): boolean =>
  scope.type === "PCI_ENDPOINT" || scope.type === "PCI_SUB_HIERARCHY";

const hasBareSourceId = (type: ScopeType): boolean =>
  type === "MSI_CAPABLE_HPET" || type === "ACPI_NAMESPACE_DEVICE";
