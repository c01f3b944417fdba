import { commonFormat, understands } from "./domain-format.ts";
import type { DomainFormat } from "./domain-format.ts";
import { PASS_THROUGH_ID } from "./domain-ids.ts";
import { DomainMembers } from "./domain-members.ts";
import { Domain } from "./domain.ts";
import type { DomainOptions } from "./domain.ts";
import type { DriverState } from "./driver-state.ts";
import { badDomain, badState, hex, notCapable, notInScope } from "./errors.ts";
import type { DriverFault, FaultReport } from "./fault-handler.ts";
import { InterruptBlock } from "./interrupt-block.ts";
import type { ApicAddressing, InterruptTarget } from "./interrupt-destination.ts";
import type { PageAllocator } from "./page-allocator.ts";
import { SecondStageTable } from "./second-stage-table.ts";
import { PAGE_SIZE } from "./table-memory.ts";
import type { TableMemory } from "./table-memory.ts";
import type { DeviceId, Topology } from "./topology.ts";
import type { UnitDriver } from "./unit-driver.ts";

/** How a device is put into a domain. */
export interface AttachOptions extends DomainOptions {
  /** A domain made by `createDomain`, to be shared; without it the device gets one of its own. */
  readonly domain?: Domain;
  /** The device has a device-TLB and may use it (ATS); the unit needs ECAP.DT. */
  readonly deviceTlb?: boolean;
}

/** Whose interrupts: those of a PCI function, of an I/O APIC by its id, or of an HPET by its number. */
export type InterruptRequester = DeviceId | { readonly ioApic: number } | { readonly hpet: number };

/** What has happened since the driver was made. */
export interface DriverCounters {
  /** Invalidation descriptors, and the waits behind them. */
  readonly descriptors: number;
  readonly waits: number;
  /** Descriptors that a unit has refused (IQE). */
  readonly refused: number;
  /** Devices that have not answered an invalidation of their device-TLB (ITE). */
  readonly deviceTimeouts: number;
  readonly faults: number;
  /** Times that a fault log was found full. */
  readonly overflows: number;
  /** Pages of guest memory in use. */
  readonly pages: number;
}

/** What a driver works with. */
export interface DriverParts {
  readonly topology: Topology;
  readonly units: readonly UnitDriver[];
  readonly memory: TableMemory;
  readonly pages: PageAllocator;
  readonly addressing: ApicAddressing;
  /** Why no interrupts are remapped; null: they are. */
  readonly interruptObstacle: string | null;
  /** How domains unmap that don't say it themselves. */
  readonly unmapping: "strict" | "lazy";
  /** Null: never lazily. */
  readonly flushThreshold: number | null;
  readonly faultEvent: InterruptTarget | null;
}

/** A guest's driver of all its remapping units. Made by `probe`; `start` programs the units. */
export class IommuDriver {
  readonly topology: Topology;
  readonly units: readonly UnitDriver[];
  /** How interrupts are addressed. */
  readonly addressing: ApicAddressing;
  /** Why interrupts are not remapped; null when they are. */
  readonly interruptObstacle: string | null;

  readonly #parts: DriverParts;
  /** By device; null: pass-through. */
  readonly #attachments = new Map<string, Domain | null>();
  /** Domains made by `attach`: they go with their last device. */
  readonly #ownDomains = new Set<Domain>();
  #running = false;

  /** Called by `probe`. */
  constructor(parts: DriverParts) {
    this.#parts = parts;
    this.topology = parts.topology;
    this.units = parts.units;
    this.addressing = parts.addressing;
    this.interruptObstacle = parts.interruptObstacle;
  }

  /**
   * Programs the units as Linux does: queue, interrupt table, interrupt remapping; root table, fault
   * event, devices with reserved memory, translation. A device that is not attached by then is
   * blocked. Throws ERR_VIOMMU_DRIVER_TIMEOUT when a unit does not answer.
   */
  start(): void {
    if (this.#running) throw badState("the driver runs already", "stop it first");
    const { units } = this;
    const { faultEvent } = this.#parts;
    this.#running = true;
    for (const unit of units) unit.prepare();
    for (const unit of units) unit.setInterruptTable();
    for (const unit of units) unit.enableInterrupts();
    for (const unit of units) unit.setRootTable();
    if (faultEvent !== null) for (const unit of units) unit.enableFaultEvent(faultEvent);
    this.#attachReserved();
    for (const unit of units) unit.enableTranslation();
  }

  /** Switches all units off. Tables stay as they are, for another `start`. */
  stop(): void {
    if (!this.#running) throw badState("the driver does not run", "start it first");
    for (const unit of this.units) unit.stop();
    this.#running = false;
  }

  /** Makes a domain that devices under any of the units can share. */
  createDomain(options: DomainOptions = {}): Domain {
    const translating = this.units.filter((unit) => unit.devices !== null);
    return this.#newDomain(translating, options);
  }

  /**
   * Puts a device into a domain, out of the one it was in before; returns the domain. Its reserved
   * memory (RMRR) is mapped there.
   */
  attach(device: DeviceId, options: AttachOptions = {}): Domain {
    const unit = this.#translatingUnit(device);
    const { sourceId } = device;
    const { deviceTlb = false } = options;
    if (deviceTlb && unit.capabilities.DT === 0) {
      throw notCapable(
        `${unit.name} has no device-TLB support (ECAP.DT)`,
        "attach without deviceTlb",
      );
    }
    const domain = options.domain ?? this.#newDomain([unit], options);
    if (domain === this.domainOf(device)) return domain;
    if (!understands(unit.capabilities, domain.format)) {
      throw badDomain(
        `${unit.name} does not understand a domain of ${domain.format.levels} levels, ` +
          `${domain.format.addressWidth} bits and page levels ${domain.format.pageLevels.join(", ")}`,
        "make the domain with createDomain(), which finds what all units have in common",
      );
    }
    for (const { base, limit } of this.topology.reservedFor(device)) {
      domain.mapIdentity(base, limit);
    }
    this.detach(device);
    domain.add(unit, sourceId, deviceTlb);
    if (options.domain === undefined) this.#ownDomains.add(domain);
    this.#attachments.set(keyOf(device), domain);
    return domain;
  }

  /** Lets a device's addresses pass as they are (TT = 10b, VT-d 9.3). */
  passThrough(device: DeviceId): void {
    const unit = this.#translatingUnit(device);
    const { capabilities, name } = unit;
    if (capabilities.PT === 0) {
      throw notCapable(`${name} has no pass-through (ECAP.PT)`, "attach the device to a domain");
    }
    this.detach(device);
    const { sourceId } = device;
    const { levels } = commonFormat([capabilities])!;
    unit.bind(sourceId, {
      domainId: PASS_THROUGH_ID,
      addressWidth: levels - 2,
      table: null,
      deviceTlb: false,
    });
    this.#attachments.set(keyOf(device), null);
  }

  /** Takes a device out of whatever it is in: on return it is blocked. */
  detach(device: DeviceId): void {
    const unit = this.#translatingUnit(device);
    const domain = this.domainOf(device);
    this.#attachments.delete(keyOf(device));
    if (domain === null) {
      unit.unbind(device.sourceId); // it may have an entry of a predecessor
      return;
    }
    domain.remove(unit, device.sourceId);
    if (domain.inUse || !this.#ownDomains.delete(domain)) return;
    domain.release();
  }

  /** The domain of a device; null when it has none, or passes through. */
  domainOf(device: DeviceId): Domain | null {
    return this.#attachments.get(keyOf(device)) ?? null;
  }

  /** Ends all delays of lazy unmapping, as a guest does every few milliseconds. */
  flush(): void {
    for (const domain of this.#attachments.values()) domain?.flush();
  }

  /**
   * Entries of the interrupt remapping table for `count` interrupts: one at a time for MSI-X and for
   * pins, all at once for MSI. Throws ERR_VIOMMU_DRIVER_CAPABILITY when interrupts are not remapped.
   */
  requestInterrupts(from: InterruptRequester, count = 1): InterruptBlock {
    const { unit, sourceId } = this.#requester(from);
    const { interrupts } = unit;
    if (interrupts === null) {
      throw notCapable(
        `interrupts are not remapped: ${this.interruptObstacle ?? "the unit can't"}`,
        "use messages in compatibility format",
      );
    }
    // an HPET's timers may use several functions of its source-id
    const qualifier = "hpet" in from ? 3 : 0;
    const source = { sourceId, qualifier } as const;
    return new InterruptBlock(unit, interrupts, source, count, this.addressing);
  }

  /** Reads and clears the fault logs: what a guest does when the fault event arrives. */
  serviceFaults(): FaultReport {
    const faults: DriverFault[] = [];
    let overflow = false;
    for (const unit of this.units) {
      const report = unit.faults.service();
      faults.push(...report.faults);
      overflow ||= report.overflow;
    }
    return { faults, overflow };
  }

  get counters(): DriverCounters {
    const sum = (count: (unit: UnitDriver) => number | undefined): number =>
      this.units.reduce((total, unit) => total + (count(unit) ?? 0), 0);
    return {
      descriptors: sum((unit) => unit.queue?.counters.descriptors),
      waits: sum((unit) => unit.queue?.counters.waits),
      refused: sum((unit) => unit.queue?.counters.refused),
      deviceTimeouts: sum((unit) => unit.queue?.counters.deviceTimeouts),
      faults: sum((unit) => unit.faults.counters.faults),
      overflows: sum((unit) => unit.faults.counters.overflows),
      pages: this.#parts.pages.used,
    };
  }

  /**
   * The state of the driver, for a machine that moves: guest memory and the units are saved by the
   * machine. Domains without devices are not part of it.
   */
  save(): DriverState {
    return {
      layout: this.#layout(),
      running: this.#running,
      pages: this.#parts.pages.save(),
      units: this.units.map((unit) => unit.save()),
      domains: this.#domains().map((domain) => domain.save()),
    };
  }

  /** Whether {@link restore} can take a state: the driver was started as the one that was saved. */
  fits(state: DriverState): boolean {
    return state.layout === this.#layout();
  }

  /** Goes on as the driver that was saved, with its guest memory and its units; see {@link fits}. */
  restore(state: DriverState): void {
    this.#running = state.running;
    this.#parts.pages.restore(state.pages);
    this.units.forEach((unit, i) => {
      unit.restore(state.units[i]!);
    });
    this.#domains().forEach((domain, i) => {
      domain.restore(state.domains[i]!);
    });
  }

  #domains(): Domain[] {
    return [...new Set(this.#attachments.values())].filter((domain) => domain !== null);
  }

  #layout(): string {
    const devices = [...this.#attachments].map(
      ([device, domain]) => `${device} ${domain?.layout ?? "passes through"}`,
    );
    return [...this.units.map((unit) => unit.layout), ...devices].join("\n");
  }

  #attachReserved(): void {
    for (const { segment, sourceIds } of this.topology.reserved) {
      for (const sourceId of sourceIds) {
        const device = { segment, sourceId };
        if (this.#attachments.has(keyOf(device)) || this.#unitOf(device).devices === null) continue;
        this.attach(device);
      }
    }
  }

  #newDomain(units: readonly UnitDriver[], options: DomainOptions): Domain {
    const format = units.length === 0 ? null : commonFormat(units.map((u) => u.capabilities));
    if (format === null) {
      throw badDomain(
        "the units have no address width in common (CAP.SAGAW)",
        "attach devices without a shared domain",
      );
    }
    const { memory, pages, flushThreshold } = this.#parts;
    const { unmapping = this.#parts.unmapping } = options;
    return new Domain({
      format,
      table: new SecondStageTable(memory, pages, format),
      members: new DomainMembers(),
      pages,
      pageLimit: pageLimit(format, options.addressLimit),
      flushThreshold: unmapping === "lazy" ? flushThreshold : null,
    });
  }

  #unitOf(device: DeviceId): UnitDriver {
    const description = this.topology.unitOf(device);
    return this.units.find((unit) => unit.description === description)!;
  }

  #translatingUnit(device: DeviceId): UnitDriver {
    const unit = this.#unitOf(device);
    if (unit.devices !== null) return unit;
    throw notCapable(
      `${unit.name}, above device ${hex(device.sourceId)}, does not remap DMA`,
      "its DMA reaches all memory as it is",
    );
  }

  #requester(from: InterruptRequester): { unit: UnitDriver; sourceId: number } {
    if ("sourceId" in from) return { unit: this.#unitOf(from), sourceId: from.sourceId };
    const [kind, controllers, id] =
      "ioApic" in from
        ? (["I/O APIC", this.topology.ioApics, from.ioApic] as const)
        : (["HPET", this.topology.hpets, from.hpet] as const);
    const found = controllers.find((controller) => controller.id === id);
    if (found === undefined) {
      throw notInScope(`${kind} ${id} is in the scope of no unit`, "name it in the DMAR table");
    }
    const unit = this.units.find(({ description }) => description === found.unit)!;
    return { unit, sourceId: found.sourceId };
  }
}

const keyOf = ({ segment = 0, sourceId }: DeviceId): string => `${segment}:${sourceId}`;

/** The page after the last one for devices that reach up to `addressLimit`. */
function pageLimit(format: DomainFormat, addressLimit = Infinity): number {
  const pages = 2 ** format.addressWidth / PAGE_SIZE;
  return Math.min(pages, Math.floor((addressLimit + 1) / PAGE_SIZE));
}
