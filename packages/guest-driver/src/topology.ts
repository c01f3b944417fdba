import { parseDmar, parseMadt, scopeSourceId } from "@viommu/acpi";
import type { DeviceScope, DmarStructure, Drhd, Problem, Rmrr } from "@viommu/acpi";
import { hex, noUnit, notInScope } from "./errors.ts";

/** A PCI function: where its requests come from. */
export interface DeviceId {
  /** PCI segment; 0 unless given. */
  readonly segment?: number;
  /** Bus (15:8), device (7:3), function (2:0). */
  readonly sourceId: number;
}

/** The bus numbers of PCI bridges, as configuration space has them. */
export interface PciBridges {
  /** Secondary and subordinate bus of a bridge. */
  buses(segment: number, bridgeSourceId: number): { secondary: number; subordinate: number };
}

/** A remapping unit as the DMAR table describes it (VT-d 8.3). */
export interface UnitDescription {
  /** "dmar0", "dmar1", … in the order of the table. */
  readonly name: string;
  readonly segment: number;
  /** Guest-physical address of the registers. */
  readonly registerBase: number;
  /** It has all devices of its segment that no other unit has (INCLUDE_PCI_ALL). */
  readonly includesAll: boolean;
}

/** An I/O APIC or HPET under a unit: its interrupts have a source-id of their own. */
export interface InterruptController {
  /** I/O APIC id, or number of the HPET. */
  readonly id: number;
  readonly sourceId: number;
  readonly unit: UnitDescription;
}

/** Memory that devices go on using (VT-d 8.4). */
export interface ReservedRegion {
  readonly segment: number;
  readonly base: number;
  /** Last byte. */
  readonly limit: number;
  readonly sourceIds: readonly number[];
}

/** Which devices are under which unit, out of a DMAR table. */
export class Topology {
  readonly units: readonly UnitDescription[];
  /** Width of host addresses in bits. */
  readonly hostAddressWidth: number;
  /** The platform supports interrupt remapping. */
  readonly interruptRemapping: boolean;
  /** Firmware asks not to switch to x2APIC mode. */
  readonly x2apicOptOut: boolean;
  readonly ioApics: readonly InterruptController[];
  readonly hpets: readonly InterruptController[];
  readonly reserved: readonly ReservedRegion[];
  /** Ids of I/O APICs in the MADT that no unit has in its scope. */
  readonly unscopedIoApics: readonly number[];
  /** What is wrong with the tables, as far as they could be read all the same. */
  readonly problems: readonly Problem[];

  readonly #devices = new Map<string, UnitDescription>();
  readonly #bridges: {
    segment: number;
    secondary: number;
    subordinate: number;
    unit: UnitDescription;
  }[] = [];

  /**
   * Reads DMAR and MADT bytes. Throws ERR_VIOMMU_ACPI on bytes that are no table,
   * ERR_VIOMMU_DRIVER_NO_UNIT without any unit, ERR_VIOMMU_DRIVER_SCOPE when a scope leads over bridges
   * and their bus numbers are not known.
   */
  constructor(dmarBytes: Uint8Array, madtBytes: Uint8Array | null, bridges: PciBridges | null) {
    const madt = madtBytes === null ? null : parseMadt(madtBytes);
    const dmar = parseDmar(dmarBytes, madt?.table);
    const { flags, hostAddressWidth, structures } = dmar.table;
    this.hostAddressWidth = hostAddressWidth;
    this.interruptRemapping = flags.includes("INTR_REMAP");
    this.x2apicOptOut = flags.includes("X2APIC_OPT_OUT");
    this.problems = [...(madt?.problems ?? []), ...dmar.problems];

    const paths = new ScopePaths(bridges);
    const ioApics: InterruptController[] = [];
    const hpets: InterruptController[] = [];
    this.units = structures.filter(isDrhd).map((drhd, i) => {
      const unit = describe(drhd, i);
      for (const scope of drhd.scopes) {
        if (scope.type === "UNKNOWN") continue;
        const sourceId = paths.sourceId(unit.segment, scope);
        const controller = { id: scope.enumerationId, sourceId, unit };
        if (scope.type === "IOAPIC") ioApics.push(controller);
        else if (scope.type === "MSI_CAPABLE_HPET") hpets.push(controller);
        else this.#devices.set(key(unit.segment, sourceId), unit);
        if (scope.type === "PCI_SUB_HIERARCHY") {
          this.#bridges.push({
            segment: unit.segment,
            ...paths.buses(unit.segment, sourceId),
            unit,
          });
        }
      }
      return unit;
    });
    if (this.units.length === 0) {
      throw noUnit("the DMAR table has no remapping unit", "give a table with a DRHD structure");
    }
    this.ioApics = ioApics;
    this.hpets = hpets;
    this.unscopedIoApics = (madt?.table.entries ?? [])
      .filter((entry) => entry.type === "IO_APIC")
      .map((entry) => entry.ioApicId)
      .filter((id) => !ioApics.some((ioApic) => ioApic.id === id));
    this.reserved = structures.filter(isRmrr).map(({ segment, base, limit, scopes }) => ({
      segment,
      base,
      limit,
      sourceIds: scopes
        .filter((scope) => scope.type !== "UNKNOWN")
        .map((scope) => paths.sourceId(segment, scope)),
    }));
  }

  /**
   * The unit above a device: the one which names it or a bridge above it, else the one that has all of
   * the segment. Throws ERR_VIOMMU_DRIVER_SCOPE when there is none.
   */
  unitOf({ segment = 0, sourceId }: DeviceId): UnitDescription {
    if (!Number.isInteger(sourceId) || sourceId < 0 || sourceId > 0xffff) {
      throw notInScope(`${sourceId} is no source-id`, "give bus, device and function in 16 bits");
    }
    const bus = sourceId >> 8;
    const unit =
      this.#devices.get(key(segment, sourceId)) ??
      this.#bridges.find(
        (bridge) =>
          bridge.segment === segment && bus >= bridge.secondary && bus <= bridge.subordinate,
      )?.unit ??
      this.units.find((candidate) => candidate.includesAll && candidate.segment === segment);
    if (unit !== undefined) return unit;
    throw notInScope(
      `device ${hex(sourceId)} of segment ${segment} is in the scope of no unit`,
      "name it in the DMAR table, or use it without remapping",
    );
  }

  /** The reserved memory of a device. */
  reservedFor({ segment = 0, sourceId }: DeviceId): readonly ReservedRegion[] {
    return this.reserved.filter(
      (region) => region.segment === segment && region.sourceIds.includes(sourceId),
    );
  }
}

/** Follows device scopes over bridges (VT-d 8.3.1). */
class ScopePaths {
  readonly #bridges: PciBridges | null;

  constructor(bridges: PciBridges | null) {
    this.#bridges = bridges;
  }

  sourceId(segment: number, scope: DeviceScope): number {
    return scopeSourceId(scope, (bridge) => this.buses(segment, bridge).secondary);
  }

  buses(segment: number, bridge: number): { secondary: number; subordinate: number } {
    if (this.#bridges !== null) return this.#bridges.buses(segment, bridge);
    throw notInScope(
      `the DMAR table has devices behind bridge ${hex(bridge)} of segment ${segment}`,
      "give probe() the bus numbers of the bridges (pci)",
    );
  }
}

function describe(drhd: Drhd, position: number): UnitDescription {
  return {
    name: `dmar${position}`,
    segment: drhd.segment,
    registerBase: drhd.registerBase,
    includesAll: drhd.flags.includes("INCLUDE_PCI_ALL"),
  };
}

const isDrhd = (structure: DmarStructure): structure is Drhd => structure.type === "DRHD";
const isRmrr = (structure: DmarStructure): structure is Rmrr => structure.type === "RMRR";
const key = (segment: number, sourceId: number): string => `${segment}:${sourceId}`;
