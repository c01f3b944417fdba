import { Access } from "@viommu/plugin";
import { PASS_THROUGH } from "./address-space.ts";
import type { AddressSpace } from "./address-space.ts";
import { keyOf } from "./attachments.ts";
import type { Attachment, Attachments } from "./attachments.ts";
import { refuseChange, setupOf } from "./device-features.ts";
import type { DeviceFeatures } from "./device-features.ts";
import type { DeviceSetup } from "./device-table.ts";
import { commonFormat, understands } from "./domain-format.ts";
import type { DomainFormat, TableMode } from "./domain-format.ts";
import { DomainMembers } from "./domain-members.ts";
import { Domain } from "./domain.ts";
import type { DomainOptions } from "./domain.ts";
import type { DriverState } from "./driver-state.ts";
import { badDomain, badState, hex, notCapable, notInScope } from "./errors.ts";
import type { DriverFault, FaultReport } from "./fault-handler.ts";
import { InterruptBlock } from "./interrupt-block.ts";
import type { ApicAddressing, InterruptTarget } from "./interrupt-destination.ts";
import type { PageAllocator } from "./page-allocator.ts";
import type { PageRequestReport } from "./page-request-queue.ts";
import { PagingTable } from "./paging-table.ts";
import type { ProcessOptions } from "./process-options.ts";
import { ProcessSpace } from "./process-space.ts";
import { Processes } from "./processes.ts";
import { PAGE_SIZE } from "./table-memory.ts";
import type { TableMemory } from "./table-memory.ts";
import type { DeviceId, Topology } from "./topology.ts";
import type { UnitDriver } from "./unit-driver.ts";

/** How a device is put into a domain. */
export interface AttachOptions extends DomainOptions {
  /** A domain made by `createDomain`, to be shared; without it the device gets one of its own. */
  readonly domain?: Domain;
  /** As in {@link DeviceFeatures}; what `setFeatures` was told unless given. */
  readonly deviceTlb?: boolean;
  /** Its requests with this PASID, which was allocated; those without one unless given. */
  readonly pasid?: number;
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
  /** Page requests, the groups that were answered, and times that a queue has overflowed. */
  readonly pageRequests: number;
  readonly pageRequestGroups: number;
  readonly pageRequestOverflows: number;
  /** Pages of guest memory in use. */
  readonly pages: number;
}

/** What a driver works with. */
export interface DriverParts {
  readonly topology: Topology;
  readonly units: readonly UnitDriver[];
  readonly memory: TableMemory;
  readonly pages: PageAllocator;
  readonly mode: TableMode;
  /** What page requests are answered by, too. */
  readonly attachments: Attachments;
  readonly addressing: ApicAddressing;
  /** Why no interrupts are remapped; null: they are. */
  readonly interruptObstacle: string | null;
  /** How domains unmap that don't say it themselves. */
  readonly unmapping: "strict" | "lazy";
  /** Null: never lazily. */
  readonly flushThreshold: number | null;
  readonly faultEvent: InterruptTarget | null;
  readonly pageRequestEvent: InterruptTarget | null;
}

const READ_WRITE = Access.READ | Access.WRITE;

/** A guest's driver of all its remapping units. Made by `probe`; `start` programs the units. */
export class IommuDriver {
  readonly topology: Topology;
  readonly units: readonly UnitDriver[];
  /** Which tables the units are pointed to. */
  readonly mode: TableMode;
  /** How interrupts are addressed. */
  readonly addressing: ApicAddressing;
  /** Why interrupts are not remapped; null when they are. */
  readonly interruptObstacle: string | null;

  readonly #parts: DriverParts;
  readonly #attachments: Attachments;
  readonly #features = new Map<string, DeviceFeatures>();
  readonly #processes: Processes;
  /** Domains made by `attach`: they go with their last device. */
  readonly #ownDomains = new Set<Domain>();
  #running = false;

  /** Called by `probe`. */
  constructor(parts: DriverParts) {
    this.#parts = parts;
    this.topology = parts.topology;
    this.units = parts.units;
    this.mode = parts.mode;
    this.#attachments = parts.attachments;
    this.#processes = new Processes(parts.attachments);
    this.addressing = parts.addressing;
    this.interruptObstacle = parts.interruptObstacle;
  }

  /**
   * Programs the units as Linux does: queue, interrupt table, interrupt remapping; root table, page
   * requests, fault event, devices with reserved memory, translation. A device that is not attached by then is
   * blocked. Throws ERR_VIOMMU_DRIVER_TIMEOUT when a unit does not answer.
   */
  start(): void {
    if (this.#running) throw badState("the driver runs already", "stop it first");
    const { units } = this;
    const { faultEvent, pageRequestEvent } = this.#parts;
    this.#running = true;
    for (const unit of units) unit.prepare();
    for (const unit of units) unit.setInterruptTable();
    for (const unit of units) unit.enableInterrupts();
    for (const unit of units) unit.setRootTable();
    for (const unit of units) unit.enablePageRequests(pageRequestEvent);
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

  /**
   * Says what a device can do, before anything of it is attached or bound. Throws
   * ERR_VIOMMU_DRIVER_CAPABILITY for what its unit cannot, ERR_VIOMMU_DRIVER_STATE later.
   */
  setFeatures(device: DeviceId, features: DeviceFeatures): void {
    setupOf(device.sourceId, features, this.#translatingUnit(device), this.mode);
    if (this.#attachments.count(device) > 0) refuseChange(device.sourceId);
    this.#features.set(keyOf(device), features);
  }

  // Domains

  /** Makes a domain that devices under any of the units can share. */
  createDomain(options: DomainOptions = {}): Domain {
    const translating = this.units.filter((unit) => unit.devices !== null);
    return this.#newDomain(translating, options);
  }

  /**
   * Puts a device into a domain, out of the one it was in before; returns the domain. Its reserved
   * memory (RMRR) is mapped there. With `pasid`, only its requests with that one.
   */
  attach(device: DeviceId, options: AttachOptions = {}): Domain {
    const unit = this.#translatingUnit(device);
    const { pasid = null, deviceTlb } = options;
    const setup = this.#setupOf(device, unit, pasid, deviceTlb);
    const domain = options.domain ?? this.#newDomain([unit], options);
    if (domain === this.domainOf(device, pasid)) return domain;
    if (!understands(unit.capabilities, this.mode, domain.format)) {
      throw badDomain(
        `${unit.name} does not understand a domain of ${domain.format.levels} levels, ` +
          `${domain.format.addressWidth} bits and page levels ${domain.format.pageLevels.join(", ")}`,
        "make the domain with createDomain(), which finds what all units have in common",
      );
    }
    if (pasid === null) {
      for (const { base, limit } of this.topology.reservedFor(device)) {
        domain.mapIdentity(base, limit);
      }
    }
    if (options.domain === undefined) this.#ownDomains.add(domain);
    this.#lead(device, { unit, device: setup, pasid, space: domain });
    return domain;
  }

  /** Lets a device's addresses without PASID pass as they are (VT-d 9.3, 9.6). */
  passThrough(device: DeviceId): void {
    const unit = this.#translatingUnit(device);
    const { capabilities, name } = unit;
    if (capabilities.PT === 0) {
      throw notCapable(`${name} has no pass-through (ECAP.PT)`, "attach the device to a domain");
    }
    // without translation there is nothing to ask for, in legacy mode not even permitted
    const setup = this.#setupOf(device, unit, null, this.mode === "legacy" ? false : undefined);
    if (setup.hostPermissions) {
      throw badState(
        `device ${hex(setup.sourceId)} has host permissions, and would reach all memory`,
        "attach it to a domain, or tell setFeatures() of a device without hostPermissions",
      );
    }
    this.#lead(device, { unit, device: setup, pasid: null, space: PASS_THROUGH });
  }

  /**
   * Takes a device out of whatever its requests without PASID, or with this one, are in: on return
   * they are blocked. Other requests of the device are not concerned.
   */
  detach(device: DeviceId, pasid: number | null = null): void {
    const unit = this.#translatingUnit(device);
    const attachment = this.#attachments.get(device, pasid);
    if (attachment !== null) this.#end(device, attachment);
    else if (this.#attachments.count(device) === 0) {
      unit.unbind(setupOf(device.sourceId, {}, unit, this.mode), null); // a predecessor's entry
    }
  }

  /** The domain of a device; null when it has none, or passes through. */
  domainOf(device: DeviceId, pasid: number | null = null): Domain | null {
    const space = this.#attachments.get(device, pasid)?.space;
    return space instanceof Domain ? space : null;
  }

  // Processes (SVA)

  /** The lowest free PASID, or the one that is wanted. Throws ERR_VIOMMU_DRIVER_PASID. */
  allocatePasid(wanted?: number): number {
    return this.#processes.allocate(wanted);
  }

  /** Gives a PASID back. Throws ERR_VIOMMU_DRIVER_STATE while a device uses it. */
  freePasid(pasid: number): void {
    this.#processes.free(pasid);
  }

  /**
   * Lets a device see a process under an allocated PASID: by its page table at `root`, which stays
   * the kernel's, in the format of a processor (VT-d 3.6). The same process may be bound to several
   * devices. From now on {@link invalidateRange} tells what changes there.
   */
  bindProcess(device: DeviceId, pasid: number, root: number, options: ProcessOptions = {}): void {
    const unit = this.#translatingUnit(device);
    const setup = this.#setupOf(device, unit, pasid);
    this.#processes.bind(device, { unit, setup, pasid, root }, options);
  }

  /**
   * Ends that. On return the device cannot reach the process, and no page request of its waits; the
   * device must have stopped using the PASID (VT-d 7.11).
   */
  unbindProcess(device: DeviceId, pasid: number): void {
    this.#processes.unbind(device, pasid);
  }

  /**
   * The process has ended and its page table goes away, while devices still have it bound: on return
   * no device can reach it, and what still comes is blocked without a fault record, until
   * {@link unbindProcess}.
   */
  endProcess(pasid: number): void {
    this.#processes.end(pasid);
  }

  /**
   * To be called when the kernel has changed entries of a process' page table, before it uses the
   * memory for something else: on return units and devices have forgotten `pages` pages from `start`
   * on; all of them unless given. New entries where nothing was present need no call.
   */
  invalidateRange(pasid: number, start = 0, pages = Infinity): void {
    this.#processes.invalidateRange(pasid, start, pages);
  }

  /**
   * Says that a process may reach host pages, `pages` of them from `address` on: to be called before
   * an entry of its page table leads there, for each such entry, and after {@link bindProcess}. Only
   * this lets devices with `hostPermissions` reach them, also such that are bound later; what the
   * process has from a domain is known, and needs no call. Throws ERR_VIOMMU_DRIVER_PASID without such
   * a process, ERR_VIOMMU_DRIVER_IOVA, ERR_VIOMMU_DRIVER_MEMORY; then nothing is permitted.
   */
  permitPages(pasid: number, address: number, pages = 1, access = READ_WRITE): void {
    this.#processes.permit(pasid, address, pages, access);
  }

  /**
   * Takes that back, when {@link invalidateRange} has returned for the last entry that leads there:
   * on return no device reaches them by this process, whatever its device-TLB holds. All goes with
   * {@link endProcess}, or when the process is bound to no device any more.
   */
  forbidPages(pasid: number, address: number, pages = 1, access = READ_WRITE): void {
    this.#processes.forbid(pasid, address, pages, access);
  }

  /** Answers what is in the page request queues: what a guest does when their event arrives. */
  servicePageRequests(): PageRequestReport {
    let groups = 0;
    let overflow = false;
    for (const unit of this.units) {
      const report = unit.pageRequests?.service();
      groups += report?.groups ?? 0;
      overflow ||= report?.overflow ?? false;
    }
    return { groups, overflow };
  }

  /** Ends all delays of lazy unmapping, as a guest does every few milliseconds. */
  flush(): void {
    for (const { space } of this.#attachments.all()) if (space instanceof Domain) space.flush();
  }

  // Interrupts and faults

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
      pageRequests: sum((unit) => unit.pageRequests?.counters.requests),
      pageRequestGroups: sum((unit) => unit.pageRequests?.counters.groups),
      pageRequestOverflows: sum((unit) => unit.pageRequests?.counters.overflows),
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
      pasids: this.#processes.save(),
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
    this.#processes.restore(state.pasids);
  }

  /** Who is attached to which space, by place: not in the order in which it happened. */
  #places(): { place: string; space: AddressSpace }[] {
    const places = [...this.#attachments.all()].map(({ unit, device, pasid, space }) => ({
      place: `${unit.name} ${device.sourceId}:${pasid ?? ""}`,
      space,
    }));
    return places.sort((a, b) => (a.place < b.place ? -1 : 1));
  }

  #domains(): Domain[] {
    const spaces = this.#places().map(({ space }) => space);
    return [...new Set(spaces)].filter((space) => space instanceof Domain);
  }

  #layout(): string {
    const places = this.#places().map(({ place, space }) => `${place} ${space.layout}`);
    return [...this.units.map((unit) => unit.layout), ...places].join("\n");
  }

  #attachReserved(): void {
    for (const { segment, sourceIds } of this.topology.reserved) {
      for (const sourceId of sourceIds) {
        const device = { segment, sourceId };
        if (this.#attachments.get(device, null) !== null) continue;
        if (this.#unitOf(device).devices !== null) this.attach(device);
      }
    }
  }

  /** Leads requests of a device to a space, out of the one where they went before. */
  #lead(device: DeviceId, attachment: Attachment): void {
    const before = this.#attachments.get(device, attachment.pasid);
    if (before !== null) this.#end(device, before);
    this.#attachments.make(device, attachment);
  }

  #end(device: DeviceId, attachment: Attachment): void {
    const { space, pasid } = attachment;
    if (space instanceof ProcessSpace) {
      throw badState(`PASID ${String(pasid)} is bound to a process`, "use unbindProcess()");
    }
    this.#attachments.end(device, attachment);
    this.#releaseUnused(space);
  }

  /** A domain of a single device goes with it. */
  #releaseUnused(space: AddressSpace): void {
    if (!(space instanceof Domain) || space.inUse || !this.#ownDomains.delete(space)) return;
    space.release();
  }

  /** What the tables say of a device; it cannot change while other requests of it are in use. */
  #setupOf(
    device: DeviceId,
    unit: UnitDriver,
    pasid: number | null,
    deviceTlb?: boolean,
  ): DeviceSetup {
    const { sourceId } = device;
    const features = this.#features.get(keyOf(device)) ?? {};
    const wanted = deviceTlb === undefined ? features : { ...features, deviceTlb };
    const present = this.#attachments.setupBeside(device, pasid);
    const setup = present ?? setupOf(sourceId, wanted, unit, this.mode);
    if (deviceTlb !== undefined && deviceTlb !== setup.deviceTlb) refuseChange(sourceId);
    if (pasid === null) return setup;
    this.#processes.check(pasid);
    if (pasid < 2 ** setup.pasidBits && setup.pasidBits > 0) return setup;
    throw notCapable(
      `device ${hex(sourceId)} has PASIDs of ${setup.pasidBits} bits under ${unit.name}, not ${pasid}`,
      "tell setFeatures() of its pasidBits, or allocate a lower PASID",
    );
  }

  #newDomain(units: readonly UnitDriver[], options: DomainOptions): Domain {
    const { mode } = this;
    const format =
      units.length === 0
        ? null
        : commonFormat(
            units.map((unit) => unit.capabilities),
            mode,
            options.stage,
          );
    if (format === null) {
      throw badDomain(
        options.stage === undefined
          ? "the units have no address width in common (CAP.SAGAW)"
          : `the units have no ${options.stage}-stage translation in common, in ${mode} mode`,
        "attach devices without a shared domain, or ask for another stage",
      );
    }
    const { memory, pages, flushThreshold } = this.#parts;
    const { unmapping = this.#parts.unmapping } = options;
    const table = new PagingTable(memory, pages, format);
    return new Domain({
      format,
      table,
      members: new DomainMembers(table.root, format),
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

/** The page after the last one for devices that reach up to `addressLimit`. */
function pageLimit(format: DomainFormat, addressLimit = Infinity): number {
  const pages = 2 ** format.addressWidth / PAGE_SIZE;
  return Math.min(pages, Math.floor((addressLimit + 1) / PAGE_SIZE));
}
