import type { Dmar, Drhd } from "./dmar.ts";
import { show } from "./errors.ts";
import type { Report } from "./problem.ts";

const registerBytes = (unit: Drhd): number => 2 ** (unit.size + 12);

/** Reports units that can't be where they are said to be, or that claim too much (VT-d 8.3). */
export function checkUnits(dmar: Dmar, units: readonly Drhd[], report: Report): void {
  if (units.length === 0) report(dmar, "there is no remapping unit", "add a DRHD");
  for (const unit of units) checkRegisters(dmar, unit, report);
  checkOverlap(units, report);
  checkIncludeAll(units, report);
}

function checkRegisters(dmar: Dmar, unit: Drhd, report: Report): void {
  const base = unit.registerBase;
  const bytes = registerBytes(unit);
  if (base === 0) report(unit, "the register base is 0", "give the address of the unit");
  if (base % bytes !== 0) {
    report(unit, `register base ${show(base)} is not aligned to ${show(bytes)}`, "align it");
  }
  if (base + bytes > 2 ** dmar.hostAddressWidth) {
    report(
      unit,
      `registers at ${show(base)} are beyond the host address width ${dmar.hostAddressWidth}`,
      "put them lower, or widen it",
    );
  }
}

function checkOverlap(units: readonly Drhd[], report: Report): void {
  const registersEnd = (unit: Drhd): number => unit.registerBase + registerBytes(unit);
  let highest: Drhd | undefined;
  for (const unit of [...units].sort((a, b) => a.registerBase - b.registerBase)) {
    if (highest !== undefined && registersEnd(highest) > unit.registerBase) {
      report(
        unit,
        `its registers lie over those of the unit at ${show(highest.registerBase)}`,
        "give each unit its own",
      );
    }
    if (highest === undefined || registersEnd(unit) > registersEnd(highest)) highest = unit;
  }
}

/** A unit with INCLUDE_PCI_ALL is the last of its segment, so that others come first. */
function checkIncludeAll(units: readonly Drhd[], report: Report): void {
  const closed = new Set<number>();
  for (const unit of units) {
    if (closed.has(unit.segment)) {
      report(
        unit,
        `it comes after the unit with INCLUDE_PCI_ALL of segment ${show(unit.segment)}`,
        "put that one last, once",
      );
    }
    if (unit.flags.includes("INCLUDE_PCI_ALL")) closed.add(unit.segment);
  }
}
