import type { ConfigPath } from "./error.ts";
import type { Refuse } from "./rule.ts";
import type { GuestDescription } from "./schema.ts";
import type { BusAddress } from "./values.ts";

interface Named {
  readonly kind: "bridge" | "I/O APIC" | "device";
  readonly address: BusAddress;
}

/**
 * Which unit has which device, bridge and I/O APIC, by the rules of the DMAR table (VT-d 8.3): what a
 * unit names, what is behind a bridge that it names, and with `includeAll` the rest of its segment.
 */
export class Scopes {
  readonly #guest: GuestDescription;
  readonly #refuse: Refuse;
  /** Unit by the name of what it has in its scope. */
  readonly #owners = new Map<string, string>();

  /** Refuses names that nobody has, two units for one device, and what is under no unit. */
  constructor(guest: GuestDescription, refuse: Refuse) {
    this.#guest = guest;
    this.#refuse = refuse;
    this.#checkIncludeAll();
    const named = namedParts(guest);
    guest.units.forEach((unit, u) => {
      unit.scope.forEach((name, i) => {
        this.#claim(name, named.get(name), u, ["units", u, "scope", i]);
      });
    });
    if (guest.units.length === 0) return;
    guest.ioapics.forEach(({ name }, i) => {
      if (this.#owners.has(name)) return;
      refuse(
        ["ioapics", i, "name"],
        "is in the scope of no unit, so its interrupts could not be remapped",
        "name it in the scope of a unit (includeAll does not cover I/O APICs)",
      );
    });
    guest.devices.forEach((device, i) => {
      this.#checkDevice(device, ["devices", i, "address"]);
    });
  }

  /** The unit that names this; null when none does. */
  ownerOf(name: string): string | null {
    return this.#owners.get(name) ?? null;
  }

  /** The unit above a device; null in a machine without units. */
  unitOf(device: { readonly name: string; readonly address: BusAddress }): string | null {
    const bridge = this.#bridgeAbove(device.address);
    return (
      this.#owners.get(device.name) ??
      (bridge === undefined ? undefined : this.#owners.get(bridge.name)) ??
      this.#guest.units.find(
        ({ includeAll, segment }) => includeAll && segment === device.address.segment,
      )?.name ??
      null
    );
  }

  #claim(name: string, part: Named | undefined, unitIndex: number, path: ConfigPath): void {
    const unit = this.#guest.units[unitIndex]!;
    if (part === undefined) {
      this.#refuse(path, "is no device, bridge or I/O APIC", "give the name of one");
    }
    const owner = this.#owners.get(name);
    if (owner !== undefined) {
      this.#refuse(path, `is under two units, "${owner}" and "${unit.name}"`, "name it once");
    }
    if (part.address.segment !== unit.segment) {
      this.#refuse(
        path,
        `is in segment ${part.address.segment}, and "${unit.name}" in segment ${unit.segment}`,
        "name it under a unit of its segment",
      );
    }
    if (unit.includeAll && part.kind !== "I/O APIC") {
      this.#refuse(
        path,
        `cannot be named by "${unit.name}", which has includeAll (VT-d 8.3)`,
        "leave it out: the unit has all that no other one names",
      );
    }
    this.#checkPath(part, path);
    this.#owners.set(name, unit.name);
  }

  /** The path of a scope leads to the secondary bus of the bridge (VT-d 8.3.1). */
  #checkPath({ address }: Named, path: ConfigPath): void {
    const bus = address.sourceId >> 8;
    const bridge = this.#bridgeAbove(address);
    if (bridge === undefined || bridge.buses.first === bus) return;
    this.#refuse(
      path,
      `is on bus ${bus}, where no path over "${bridge.name}" leads`,
      `name the bridge, or put the device on bus ${bridge.buses.first}`,
    );
  }

  #checkIncludeAll(): void {
    const segments = new Map<number, string>();
    this.#guest.units.forEach(({ name, segment, includeAll }, i) => {
      if (!includeAll) return;
      const other = segments.get(segment);
      if (other !== undefined) {
        this.#refuse(
          ["units", i, "includeAll"],
          `is set, and "${other}" has all of segment ${segment} already`,
          "set it in one unit of a segment",
        );
      }
      segments.set(segment, name);
    });
  }

  #checkDevice(device: GuestDescription["devices"][number], path: ConfigPath): void {
    const unit = this.unitOf(device);
    const { segment } = device.address;
    if (unit === null && !this.#guest.units.some((other) => other.segment === segment)) {
      this.#refuse(path, `is in segment ${segment}, which has no unit`, "add a unit for it");
    }
    if (unit === null) {
      this.#refuse(
        path,
        "is under no unit",
        "name it in the scope of one, or set includeAll there",
      );
    }
    const bridge = this.#bridgeAbove(device.address);
    const above = bridge === undefined ? undefined : this.#owners.get(bridge.name);
    if (above === undefined || above === unit) return;
    this.#refuse(
      path,
      `is under two units: "${unit}" names it, and "${above}" the bridge "${bridge!.name}" above it`,
      "put both under one unit",
    );
  }

  #bridgeAbove({ segment, sourceId }: BusAddress): GuestDescription["bridges"][number] | undefined {
    const bus = sourceId >> 8;
    return this.#guest.bridges.find(
      ({ address, buses }) =>
        address.segment === segment && bus >= buses.first && bus <= buses.last,
    );
  }
}

function namedParts({ bridges, ioapics, devices }: GuestDescription): Map<string, Named> {
  return new Map<string, Named>([
    ...bridges.map(({ name, address }) => [name, { kind: "bridge", address }] as const),
    ...ioapics.map(({ name, address }) => [name, { kind: "I/O APIC", address }] as const),
    ...devices.map(({ name, address }) => [name, { kind: "device", address }] as const),
  ]);
}
