import type { DeviceScope } from "./device-scope.ts";
import type { Drhd } from "./dmar.ts";
import { show } from "./errors.ts";
import type { Report } from "./problem.ts";
import { isPci, scopesOf } from "./scope-rules.ts";

/**
 * Which unit has which device in its scope. Reports devices that two units have, or one has twice.
 * No search: devices and bridges are keys of maps, asked once for each step of a path.
 */
export class ScopeOwners {
  readonly #wholeSegments = new Set<number>();
  readonly #devices = new Map<string, Drhd>();
  readonly #bridges = new Map<string, Drhd>();
  readonly #interruptSources = new Set<string>();

  constructor(units: readonly Drhd[], report: Report) {
    for (const unit of units) {
      if (unit.flags.includes("INCLUDE_PCI_ALL")) this.#wholeSegments.add(unit.segment);
      for (const scope of scopesOf(unit)) this.#claim(unit, scope, report);
    }
    for (const unit of units) {
      for (const scope of scopesOf(unit)) this.#checkBridgesAbove(unit, scope, report);
    }
  }

  /** True if a unit has the device in its scope, alone, behind a bridge, or with its segment. */
  owns(segment: number, scope: DeviceScope): boolean {
    if (isPci(scope) && this.#wholeSegments.has(segment)) return true;
    return (
      this.#devices.has(identity(segment, scope)) ||
      placesAbove(segment, scope).some((place) => this.#bridges.has(place))
    );
  }

  #claim(unit: Drhd, scope: DeviceScope, report: Report): void {
    const key = identity(unit.segment, scope);
    const owner = this.#devices.get(key);
    if (owner !== undefined) {
      report(
        scope,
        `${key} is in the scope of the unit at ${show(owner.registerBase)} already`,
        "name it once",
      );
      return;
    }
    this.#devices.set(key, unit);
    if (scope.type === "PCI_SUB_HIERARCHY") this.#bridges.set(key, unit);
    if (scope.type !== "IOAPIC" && scope.type !== "MSI_CAPABLE_HPET") return;
    const source = place(unit.segment, scope);
    if (this.#interruptSources.has(source)) {
      report(scope, `the source-id of ${source} is another's already`, "give it one of its own");
    }
    this.#interruptSources.add(source);
  }

  #checkBridgesAbove(unit: Drhd, scope: DeviceScope, report: Report): void {
    if (!isPci(scope)) return;
    for (const above of placesAbove(unit.segment, scope)) {
      const owner = this.#bridges.get(above);
      if (owner === undefined || owner === unit) continue;
      report(
        scope,
        `it is behind ${above}, which the unit at ${show(owner.registerBase)} has with all below`,
        "put it under one unit",
      );
      return; // one is enough: a damaged table could have them by the thousand
    }
  }
}

/** What tells a scope's device from all others: its place, or its number for what has one. */
const identity = (segment: number, scope: DeviceScope): string =>
  isPci(scope) ? place(segment, scope) : `${scope.type} ${scope.enumerationId}`;

/** "0000:00/1c.0/00.0": segment, start bus and path. */
const place = (segment: number, scope: DeviceScope): string =>
  bus(segment, scope) + scope.path.map(step).join("");

/** The places of all bridges on the way to a device, outermost first. */
function placesAbove(segment: number, scope: DeviceScope): string[] {
  let above = bus(segment, scope);
  return scope.path.slice(0, -1).map((bridge) => (above += step(bridge)));
}

const bus = (segment: number, scope: DeviceScope): string =>
  `${hex(segment, 4)}:${hex(scope.startBus, 2)}`;

const step = ({ device, function: fn }: DeviceScope["path"][number]): string =>
  `/${hex(device, 2)}.${fn}`;

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0");
