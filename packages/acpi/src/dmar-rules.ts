import type { Dmar, Drhd, DmarStructure, Rmrr } from "./dmar.ts";
import { show } from "./errors.ts";
import type { Madt } from "./madt.ts";
import type { Report } from "./problem.ts";
import { ScopeOwners } from "./scope-owners.ts";
import { checkScopes, scopesOf } from "./scope-rules.ts";
import { checkUnits } from "./unit-rules.ts";

const PAGE = 0x1000;

type Structure<K extends DmarStructure["type"]> = Extract<DmarStructure, { type: K }>;

const structuresOf = <K extends DmarStructure["type"]>(dmar: Dmar, type: K): Structure<K>[] =>
  dmar.structures.filter((structure): structure is Structure<K> => structure.type === type);

/**
 * Reports what VT-d chapter 8 does not allow. Work is linear in the size of the description, but
 * for sorting the units.
 */
export function checkDmar(dmar: Dmar, madt: Madt | undefined, report: Report): void {
  const units = structuresOf(dmar, "DRHD");
  checkTable(dmar, report);
  checkUnits(dmar, units, report);
  for (const structure of dmar.structures) checkScopes(structure, report);
  const owners = new ScopeOwners(units, report);
  for (const region of structuresOf(dmar, "RMRR")) checkRegion(region, owners, report);
  checkSegments(dmar, units, report);
  checkPorts(dmar, report);
  checkAffinity(dmar, units, report);
  checkNameSpace(dmar, report);
  checkSatc(dmar, report);
  if (madt !== undefined) checkIoApics(dmar, units, madt, report);
}

/** VT-d 8.1, 8.2 */
function checkTable(dmar: Dmar, report: Report): void {
  if (dmar.header !== undefined && dmar.header.revision !== 1) {
    report(dmar, `revision ${dmar.header.revision} is not known`, "use revision 1");
  }
  if (dmar.flags.includes("X2APIC_OPT_OUT") && !dmar.flags.includes("INTR_REMAP")) {
    report(dmar, "X2APIC_OPT_OUT without INTR_REMAP", "set both or none");
  }
  let highest = 0;
  for (const structure of dmar.structures) {
    const code = typeCode(structure);
    if (code < highest) {
      report(structure, `type ${code} after type ${highest}`, "put types in numerical order");
    }
    highest = Math.max(highest, code);
  }
}

const ORDER = ["DRHD", "RMRR", "ATSR", "RHSA", "ANDD", "SATC", "SIDP"];

const typeCode = (structure: DmarStructure): number =>
  structure.type === "UNKNOWN" ? structure.code : ORDER.indexOf(structure.type);

/** VT-d 8.4 */
function checkRegion(region: Rmrr, owners: ScopeOwners, report: Report): void {
  if (region.base % PAGE !== 0) {
    report(region, `base ${show(region.base)} is not 4 KiB aligned`, "align it");
  }
  if (region.limit <= region.base) {
    report(
      region,
      `limit ${show(region.limit)} is not above base ${show(region.base)}`,
      "give the address of the last byte",
    );
  } else if ((region.limit - region.base + 1) % PAGE !== 0) {
    report(
      region,
      `${show(region.base)}–${show(region.limit)} is no multiple of 4 KiB`,
      "give the address of the last byte of a page",
    );
  }
  if (region.scopes.length === 0) report(region, "no device in the scope", "name who uses it");
  for (const scope of scopesOf(region)) {
    if (!owners.owns(region.segment, scope)) {
      report(scope, "the device is in the scope of no unit", "add it to a DRHD of its segment");
    }
  }
}

/** VT-d 8.3: a segment that structures speak of has a unit. */
function checkSegments(dmar: Dmar, units: readonly Drhd[], report: Report): void {
  const known = new Set(units.map((unit) => unit.segment));
  for (const structure of dmar.structures) {
    if ("segment" in structure && !known.has(structure.segment)) {
      report(structure, `segment ${show(structure.segment)} has no unit`, "add a DRHD for it");
    }
  }
}

/** VT-d 8.5 */
function checkPorts(dmar: Dmar, report: Report): void {
  for (const ports of structuresOf(dmar, "ATSR")) {
    if (ports.flags.includes("ALL_PORTS") && ports.scopes.length > 0) {
      report(ports, "ALL_PORTS with scopes", "leave out one of them");
    }
  }
}

/** VT-d 8.6 */
function checkAffinity(dmar: Dmar, units: readonly Drhd[], report: Report): void {
  const affinities = structuresOf(dmar, "RHSA");
  if (affinities.length === 0) return;
  const bases = new Set(units.map((unit) => unit.registerBase));
  const told = new Set<number>();
  for (const affinity of affinities) {
    const base = show(affinity.registerBase);
    if (!bases.has(affinity.registerBase)) {
      report(affinity, `no unit has its registers at ${base}`, "name a unit");
    }
    if (told.has(affinity.registerBase)) {
      report(affinity, `the unit at ${base} has an RHSA already`, "keep one");
    }
    told.add(affinity.registerBase);
  }
  for (const unit of units) {
    if (!told.has(unit.registerBase)) {
      report(unit, "other units have an RHSA, this one has none", "add one");
    }
  }
}

/** VT-d 8.7 and 8.3.1.3 */
function checkNameSpace(dmar: Dmar, report: Report): void {
  const declared = new Set<number>();
  const scoped = new Set<number>();
  for (const device of structuresOf(dmar, "ANDD")) {
    const number = show(device.deviceNumber);
    if (declared.has(device.deviceNumber)) {
      report(device, `ACPI device number ${number} is declared already`, "number them apart");
    }
    if (!device.objectName.startsWith("\\")) {
      report(device, `"${device.objectName}" is not fully qualified`, "start it with a backslash");
    }
    declared.add(device.deviceNumber);
  }
  for (const structure of dmar.structures) {
    for (const scope of scopesOf(structure)) {
      if (scope.type !== "ACPI_NAMESPACE_DEVICE") continue;
      if (structure.type === "DRHD") scoped.add(scope.enumerationId);
      if (!declared.has(scope.enumerationId)) {
        report(scope, `no ANDD declares device ${show(scope.enumerationId)}`, "add one");
      }
    }
  }
  for (const device of structuresOf(dmar, "ANDD")) {
    if (!scoped.has(device.deviceNumber)) {
      report(device, `${device.objectName} is in the scope of no unit`, "add it to a DRHD");
    }
  }
}

/** VT-d 8.8 */
function checkSatc(dmar: Dmar, report: Report): void {
  const seen = new Set<string>();
  for (const caches of structuresOf(dmar, "SATC")) {
    const key = `${caches.segment} ${caches.flags.join(" ")}`;
    if (seen.has(key)) {
      report(caches, "another SATC has the same segment and flags", "make one of them");
    }
    seen.add(key);
  }
}

/** VT-d 8.3.1.1 */
function checkIoApics(dmar: Dmar, units: readonly Drhd[], madt: Madt, report: Report): void {
  const present = new Set<number>();
  for (const entry of madt.entries) if (entry.type === "IO_APIC") present.add(entry.ioApicId);
  const scoped = new Set<number>();
  for (const scope of units.flatMap(scopesOf)) {
    if (scope.type !== "IOAPIC") continue;
    scoped.add(scope.enumerationId);
    if (!present.has(scope.enumerationId)) {
      report(scope, `the MADT has no I/O APIC ${show(scope.enumerationId)}`, "add it there");
    }
  }
  if (!dmar.flags.includes("INTR_REMAP")) return;
  for (const id of present) {
    if (!scoped.has(id)) {
      report(dmar, `I/O APIC ${show(id)} of the MADT is in no scope`, "add it to a DRHD");
    }
  }
}
