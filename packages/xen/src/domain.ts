import type { GuestIommu } from "@viommu/piommu";
import { createHookTable } from "@viommu/plugin";
import type {
  AcpiTableSource,
  GuestMemory,
  HookTable,
  InterruptSink,
  Invalidation,
  PendingWork,
} from "@viommu/plugin";
import type { VtdUnit } from "@viommu/vtd";
import { budgetLimits, FrameQuota } from "./budget.ts";
import type { BudgetLimits } from "./budget.ts";
import type { DeviceModel } from "./device-model-port.ts";
import { dmarOf } from "./dmar.ts";
import type { IoApicPlace } from "./dmar.ts";
import { FaultEventLimit } from "./fault-events.ts";
import type { HostedUnit } from "./hosted-unit.ts";

/** A domain's machine, as its host hands it in. */
export interface DomainMachine {
  /** Number of the domain: 0 to 7FEFh. */
  readonly domid: number;
  /** Guest-physical memory: tables and queues of the guest, and operations that it passes. */
  readonly memory: GuestMemory;
  /** Takes the messages of the domain's units. */
  readonly sink: InterruptSink;
  /** Bits of guest-physical addresses, 32 to 52; 48 unless given. */
  readonly addressWidth?: number;
  /** It may create and destroy, for every domain (Xen: dom0, the toolstack). */
  readonly control?: boolean;
  /** The domain that runs its device model: it may ask for translations. */
  readonly deviceModel?: number;
  /** I/O APICs of the machine; the guest must find each of them under a unit. */
  readonly ioApics?: readonly IoApicPlace[];
  readonly budget?: Partial<BudgetLimits>;
  /** Observers of the domain's units. */
  readonly hooks?: HookTable;
  /** A unit was created: put it onto the MMIO bus. */
  attach(unit: VtdUnit): void;
  /** A unit is gone: take it off the bus. */
  detach(unit: VtdUnit): void;
}

/** What a domain has cost so far. */
export interface DomainCounters {
  /** Operations issued by the domain, refused ones included. */
  hypercalls: number;
  /** Translations for its virtual devices, probes not counted. */
  translations: number;
  /** Hypercalls that ended with -ERESTART. */
  callContinuations: number;
  /** Exits that left descriptors over. */
  exitContinuations: number;
  /** Descriptors processed after their exit. */
  descriptorsLater: number;
  invalidations: number;
  faults: number;
  /** Invalidations that had to wait for a device model. */
  drains: number;
}

interface ConnectedModel {
  /** The domain as which it issues operations. */
  readonly modelDomain: number;
  readonly model: DeviceModel;
}

/** An invalidation that waits for a device model. */
interface Drain {
  readonly hosted: HostedUnit;
  /** Of the access in flight that stands for those of the model. */
  readonly inFlight: number;
  readonly modelDomain: number;
}

const DEFAULT_ADDRESS_WIDTH = 48;

/** A domain with its vIOMMUs. Made by {@link ViommuRegistry.addDomain}. */
export class XenDomain implements PendingWork {
  readonly domid: number;
  readonly machine: DomainMachine;
  readonly addressWidth: number;
  readonly limits: BudgetLimits;
  /** Host memory of the domain. */
  readonly frames: FrameQuota;
  readonly faultEvents: FaultEventLimit;
  readonly counters: DomainCounters = {
    hypercalls: 0,
    translations: 0,
    callContinuations: 0,
    exitContinuations: 0,
    descriptorsLater: 0,
    invalidations: 0,
    faults: 0,
    drains: 0,
  };
  /** What the domain's units report to: its counters, its device models, the host's observers. */
  readonly hooks: HookTable;
  readonly #units: HostedUnit[] = [];
  readonly #models: ConnectedModel[] = [];
  readonly #drains = new Map<number, Drain>();
  #iommu: GuestIommu | null = null;
  #nextTicket = 1;

  constructor(machine: DomainMachine) {
    this.domid = machine.domid;
    this.machine = machine;
    this.addressWidth = machine.addressWidth ?? DEFAULT_ADDRESS_WIDTH;
    this.limits = budgetLimits(machine.budget);
    this.frames = new FrameQuota(this.limits.frames);
    this.faultEvents = new FaultEventLimit(this.limits.faultEventsPerSecond);
    this.hooks = this.#observe(machine.hooks ?? createHookTable());
  }

  /** In the order of their creation. */
  get units(): readonly HostedUnit[] {
    return this.#units;
  }

  /** The driver of its passed-through devices, or null: made by `createDomainIommu`. */
  get iommu(): GuestIommu | null {
    return this.#iommu;
  }

  /** From now on the driver hears of what the guest does, before the host's observers do. */
  passDevicesTo(iommu: GuestIommu): void {
    this.#iommu = iommu;
  }

  /** The unit above a device, or null. */
  unitAbove(segment: number, sourceId: number): VtdUnit | null {
    let rest: VtdUnit | null = null;
    for (const { unit, devices } of this.#units) {
      if (unit.segment !== segment) continue;
      if (devices === null) rest = unit;
      else if (devices.has(sourceId)) return unit;
    }
    return rest;
  }

  /** DMAR, or nothing in a domain without vIOMMU. */
  acpiTables(): readonly AcpiTableSource[] {
    if (this.#units.length === 0) return [];
    const { ioApics = [] } = this.machine;
    return [dmarOf(this.#units, ioApics, this.addressWidth)];
  }

  /** From now on a device model is told of invalidations; it issues operations as `modelDomain`. */
  connect(modelDomain: number, model: DeviceModel): void {
    const connected = { modelDomain, model };
    this.#models.push(connected);
    for (const hosted of this.#units) this.#tell(connected, hosted, null);
  }

  add(hosted: HostedUnit): void {
    this.#units.push(hosted);
    this.machine.attach(hosted.unit);
    this.forget(hosted);
  }

  /** Models forget all answers of a unit; what they have in flight holds up the unit from now on. */
  forget(hosted: HostedUnit): void {
    for (const connected of this.#models) this.#tell(connected, hosted, null);
  }

  /** Takes a unit away; models have forgotten it. */
  remove(hosted: HostedUnit): void {
    for (const [ticket, drain] of this.#drains) {
      if (drain.hosted === hosted) this.#drains.delete(ticket);
    }
    this.#units.splice(this.#units.indexOf(hosted), 1);
    this.faultEvents.remove(hosted.gate);
    this.frames.give(hosted.frames);
    this.machine.detach(hosted.unit);
  }

  /** A device model has drained; false for a ticket which is not its own or not waited for. */
  drained(modelDomain: number, viommuId: number, ticket: number): boolean {
    const drain = this.#drains.get(ticket);
    if (drain?.hosted.id !== viommuId || drain.modelDomain !== modelDomain) return false;
    this.#drains.delete(ticket);
    drain.hosted.unit.dma.leave(drain.inFlight);
    return true;
  }

  get pending(): boolean {
    return this.#units.some(({ unit }) => unit.pending) || this.#iommu?.pending === true;
  }

  run(budget: number): number {
    let done = 0;
    for (const { unit } of this.#units) done += unit.run(budget - done);
    this.counters.descriptorsLater += done;
    // what the guest has invalidated is brought up to date in steps, and the queue waits for it
    if (done < budget) done += this.#iommu?.run(budget - done) ?? 0;
    return done;
  }

  #observe(host: HookTable): HookTable {
    const { counters } = this;
    const byName = (name: string): HostedUnit | undefined =>
      this.#units.find(({ unit }) => unit.name === name);
    return {
      ...host,
      fault: (name, record) => {
        counters.faults += 1;
        host.fault?.(name, record);
      },
      workPending: (name) => {
        counters.exitContinuations += 1;
        host.workPending?.(name);
      },
      invalidate: (name, what) => {
        counters.invalidations += 1;
        const hosted = byName(name);
        // interrupt entries and device-TLBs are nothing that a model keeps answers of
        const concerns = what.kind !== "interrupt-entry" && what.kind !== "device-tlb";
        if (hosted !== undefined && concerns) {
          const seen = seenByModels(hosted, what);
          for (const connected of this.#models) this.#tell(connected, hosted, seen);
        }
        this.#iommu?.hooks.invalidate(name, what);
        host.invalidate?.(name, what);
      },
      modeChange: (name, mode) => {
        const hosted = byName(name);
        if (hosted !== undefined) this.forget(hosted);
        this.#iommu?.hooks.modeChange(name, mode);
        host.modeChange?.(name, mode);
      },
    };
  }

  #tell(
    { modelDomain, model }: ConnectedModel,
    hosted: HostedUnit,
    what: Invalidation | null,
  ): void {
    const ticket = this.#nextTicket;
    if (model.invalidate(hosted.id, ticket, what)) return;
    this.#nextTicket = (ticket + 1) >>> 0 || 1;
    this.counters.drains += 1;
    this.#drains.set(ticket, { hosted, inFlight: hosted.unit.dma.enter(), modelDomain });
  }
}

/**
 * An IOTLB page of a unit that nests may be an address between the stages, which no device asks for:
 * then every answer may differ.
 */
function seenByModels({ unit }: HostedUnit, what: Invalidation): Invalidation | null {
  return what.kind === "iotlb" && unit.profile.capabilities.NEST !== 0 ? null : what;
}
