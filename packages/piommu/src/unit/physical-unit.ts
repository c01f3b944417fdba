import { Access, createHookTable, NO_PASID } from "@viommu/plugin";
import type {
  DeviceSpace,
  DmaRemapper,
  DmaRequest,
  FirstStage,
  GuestMemory,
  InterruptRemapper,
  InterruptRequest,
  InterruptSink,
  NestedSpace,
  PagingSpace,
  PagingSpaceOptions,
  PhysicalFault,
  PhysicalIommu,
  PhysicalIommuInfo,
  PhysicalInterrupts,
  PhysicalPageRequests,
  ReservedRegion,
} from "@viommu/plugin";
import { createAtc } from "@viommu/memory";
import type { Atc, AtcOptions } from "@viommu/memory";
import { InterruptRemappingEngine } from "@viommu/interrupt-remapping";
import { TranslationEngine } from "@viommu/translation";
import { FaultReason, TranslationTableMode } from "@viommu/vtd-spec";
import { abilitiesOf, infoOf, takesPageRequests } from "./abilities.ts";
import type { Abilities } from "./abilities.ts";
import type { DeviceTables, PhysicalFunction } from "./device-tables.ts";
import { DeviceTlbs } from "./device-tlbs.ts";
import { DomainIds, IDENTITY_DOMAIN } from "./domain-ids.ts";
import { isOfFirstStage, isWriteDeniedByFirstStage } from "./fault-stage.ts";
import { InFlightFences } from "./in-flight-fences.ts";
import { InterruptEntries } from "./interrupt-entries.ts";
import { LegacyTables } from "./legacy-tables.ts";
import { NestedTables } from "./nested-space.ts";
import { SecondStageSpace } from "./paging-space.ts";
import { UnitPageRequests } from "./page-requests.ts";
import { refusal } from "./refusal.ts";
import { ScalableTables } from "./scalable-tables.ts";
import { TableMemory } from "./table-memory.ts";
import type { TableTarget } from "./table-entries.ts";
import { UnitDevices } from "./unit-devices.ts";
import type { PhysicalUnitOptions } from "./unit-options.ts";
import type { Attachment, SpaceHost, UnitSpace } from "./unit-space.ts";

const FRAMES_PER_GIB = 2 ** 18;

/** Makes a physical unit, with all devices blocked. Throws ERR_VIOMMU_PIOMMU. */
export function createPhysicalUnit(options: PhysicalUnitOptions): PhysicalUnit {
  return new PhysicalUnit(options);
}

/** Lets devices through one to one. */
class IdentitySpace implements DeviceSpace, UnitSpace {
  readonly kind = "identity";
  readonly domainId: number = IDENTITY_DOMAIN;
  readonly attachments: Set<Attachment> = new Set<Attachment>();

  target(): TableTarget {
    const { domainId } = this;
    return { kind: "pass-through", domainId, root: 0, tracksDirty: false, stage: null };
  }
}

/**
 * A physical VT-d unit and its driver: the driver writes root, context, PASID, second-stage and
 * interrupt tables into host memory, and an engine answers the requests of devices by these tables
 * alone. Devices reach what the tables say, and the driver has to invalidate the engine's caches as
 * it would those of hardware.
 */
export class PhysicalUnit implements PhysicalIommu {
  readonly name: string;
  readonly segment: number;
  readonly info: PhysicalIommuInfo;
  readonly identity: DeviceSpace;
  readonly blocking: DeviceSpace = { kind: "blocking" };
  readonly pageRequests?: PhysicalPageRequests;
  readonly interrupts: PhysicalInterrupts;
  faultListener: ((this: void, fault: PhysicalFault) => void) | null = null;
  /** The hardware, as a device sees it. */
  readonly memory: GuestMemory;
  readonly dmaRemapper: DmaRemapper;
  readonly interruptRemapper: InterruptRemapper;
  readonly sink: InterruptSink;

  private readonly abilities: Abilities;
  private readonly deviceTlbs: DeviceTlbs;
  private readonly devices: UnitDevices;
  private readonly tables: DeviceTables;
  private readonly fences: InFlightFences;
  private readonly host: SpaceHost;
  /** Spaces that devices can be attached to. */
  private readonly spaces = new Map<DeviceSpace, UnitSpace>();
  /** What devices are attached to, by PASID; blocked ones have no entry. */
  private readonly attachments = new Map<PhysicalFunction, Map<number, Attachment>>();

  /** Called by {@link createPhysicalUnit}. */
  constructor(options: PhysicalUnitOptions) {
    const { frames, hostAddressWidth, memory, name, segment = 0, sink } = options;
    const abilities = abilitiesOf(options);
    const domainIds = new DomainIds(abilities.domainIdWidth);
    this.name = name;
    this.segment = segment;
    this.memory = memory;
    this.sink = sink;
    this.abilities = abilities;
    this.info = infoOf(options, abilities, domainIds.total);
    const pri = takesPageRequests(abilities);
    this.devices = new UnitDevices(options.devices ?? [], {
      ats: abilities.capabilities.DT !== 0,
      pri,
    });
    const pageRequests = new UnitPageRequests({
      admits: (sourceId, pasid) =>
        this.devices.of(sourceId).pri && this.attached(sourceId, pasid) !== this.blocking,
      answer: (sourceId, pasid, group, code) => {
        this.deviceTlbs.respond(sourceId, pasid, group, code);
      },
    });
    if (pri) this.pageRequests = pageRequests;
    this.deviceTlbs = new DeviceTlbs((request) => {
      pageRequests.accept(request);
    });
    const identity = new IdentitySpace();
    this.identity = identity;
    this.spaces.set(identity, identity);

    const { capabilities, scalable } = abilities;
    const common = { memory, capabilities, hostAddressWidth, segment, unit: name };
    const hooks = createHookTable();
    const engine = new TranslationEngine({
      ...common,
      hooks,
      reporter: {
        dmaFault: (reason, request) => {
          this.reportDma(reason, request);
        },
      },
    });
    const tables = new TableMemory(memory);
    const entries = new InterruptEntries({
      frames,
      tables,
      abilities,
      sizeLog2: options.interruptEntriesLog2 ?? 8,
      deviceOf: (sourceId) => this.devices.of(sourceId),
    });
    const parts = { frames, tables, engine, abilities };
    this.tables = scalable ? new ScalableTables(parts) : new LegacyTables(parts);
    const mode = scalable ? TranslationTableMode.SCALABLE : TranslationTableMode.LEGACY;
    engine.latchRoot(hiOf(this.tables.root), loOf(this.tables.root), mode, false);
    engine.setEnabled(true);
    this.dmaRemapper = engine;
    this.fences = new InFlightFences(engine.inFlight);
    this.host = {
      ...parts,
      deviceTlbs: this.deviceTlbs,
      domainIds,
      rewrite: (space, old) => {
        for (const { device, pasid } of space.attachments) {
          this.tables.set(device, pasid, space.target(), old);
          this.deviceTlbs.drop(device, pasid);
        }
      },
      forget: (space) => {
        this.spaces.delete(space as UnitSpace & DeviceSpace);
      },
    };

    const remapping = new InterruptRemappingEngine({
      ...common,
      hooks,
      sink,
      reporter: {
        interruptFault: (reason, request, index) => {
          this.reportInterrupt(reason, request, index);
        },
      },
    });
    const extended = capabilities.EIM !== 0;
    remapping.latchTable(hiOf(entries.table), loOf(entries.table), entries.sizeLog2, extended);
    remapping.setEnabled(capabilities.IR !== 0);
    this.interrupts = entries;
    this.interruptRemapper = remapping;
  }

  createPagingSpace(options: PagingSpaceOptions): PagingSpace {
    const space = new SecondStageSpace(this.host, options);
    this.spaces.set(space, space);
    return space;
  }

  createNestedSpace(parent: PagingSpace, stage: FirstStage): NestedSpace {
    const known = this.spaces.get(parent);
    if (!(known instanceof SecondStageSpace)) {
      throw refusal(`the parent is no paging space of ${this.name}; create it there first`);
    }
    const space = new NestedTables(this.host, known, stage);
    this.spaces.set(space, space);
    return space;
  }

  attach(sourceId: number, pasid: number, space: DeviceSpace): void {
    const device = this.devices.of(sourceId);
    const known = this.attachments.get(device)?.get(pasid);
    if ((known?.space ?? this.blocking) === space) return;
    const next = this.usable(device, pasid, space);
    const previous = known === undefined ? undefined : this.spaces.get(known.space);
    if (!this.translatesFor(next)) this.deviceTlbs.enable(device, false);
    this.tables.set(device, pasid, next?.target() ?? null, previous?.target() ?? null);
    this.deviceTlbs.drop(device, pasid);
    if (device.ats && this.translatesFor(next)) this.deviceTlbs.enable(device, true);
    if (known !== undefined) {
      previous!.attachments.delete(known);
      this.attachments.get(device)!.delete(pasid);
    }
    if (next === null) return;
    if ((this.attachments.get(device)?.size ?? 0) === 0) this.deviceTlbs.welcome(device);
    const attachment = { device, pasid, space };
    next.attachments.add(attachment);
    const byPasid = this.attachments.get(device);
    if (byPasid === undefined) this.attachments.set(device, new Map([[pasid, attachment]]));
    else byPasid.set(pasid, attachment);
  }

  attached(sourceId: number, pasid: number): DeviceSpace {
    const attachment = this.attachments.get(this.devices.of(sourceId))?.get(pasid);
    return attachment?.space ?? this.blocking;
  }

  reservedRegions(sourceId: number): readonly ReservedRegion[] {
    return this.devices.reservedRegions(this.devices.of(sourceId));
  }

  drain(done: (this: void) => void): boolean {
    return this.fences.drain(done);
  }

  invalidateDeviceTlb(sourceId: number, pasid: number, page: number, order: number): void {
    this.deviceTlbs.drop(this.devices.of(sourceId), pasid, page, order);
  }

  /**
   * A device has a translation cache, which is on while the host wants it so: requests go through it
   * from now on. It makes page requests, if it can, while the host takes them.
   */
  connectDeviceTlb(sourceId: number, parts: Pick<AtcOptions, "entries" | "pageRequests">): Atc {
    const { ats, pri } = this.devices.of(sourceId);
    const tlb = createAtc({ remapper: this.dmaRemapper, agent: this.deviceTlbs, ...parts });
    const attached = this.spaces.get(this.attached(sourceId, NO_PASID)) ?? null;
    this.deviceTlbs.connect(sourceId, tlb, ats && this.translatesFor(attached), pri);
    return tlb;
  }

  /** Whether devices may ask for translations: in legacy mode not those that pass through. */
  private translatesFor(space: UnitSpace | null): boolean {
    return this.abilities.scalable || space?.target().kind !== "pass-through";
  }

  /** The space for tables, null for none; throws ERR_VIOMMU_PIOMMU for what they can't say. */
  private usable(device: PhysicalFunction, pasid: number, space: DeviceSpace): UnitSpace | null {
    if (space === this.blocking) return null;
    const known = this.spaces.get(space);
    if (known === undefined) {
      throw refusal(`a space that is not of ${this.name}, or was destroyed; create one there`);
    }
    const { capabilities, pasidLimit } = this.abilities;
    if (pasid !== NO_PASID && !(Number.isInteger(pasid) && pasid > 0 && pasid < pasidLimit)) {
      throw refusal(
        `PASID ${pasid} on a unit with those from 1 to ${pasidLimit - 1}; use one of them`,
      );
    }
    if (space === this.identity && capabilities.PT === 0) {
      throw refusal("the unit has no pass-through (ECAP.PT); map the memory one to one");
    }
    if (known instanceof SecondStageSpace && pasid === NO_PASID) {
      this.devices.checkDirect(device, known);
    }
    return known;
  }

  private reportDma(reason: number, request: DmaRequest): void {
    if (this.faultListener === null) return;
    const { sourceId, pasid, access, addressType, hi, lo, suppressed } = request;
    const stage = this.stageOf(reason, request);
    const where = { sourceId, pasid, access, addressType, hi, lo };
    this.faultListener({ reason, kind: "dma", ...where, index: -1, suppressed, stage });
  }

  private stageOf(reason: number, request: DmaRequest): PhysicalFault["stage"] {
    const space = this.attached(request.sourceId & 0xffff, request.pasid);
    if (!(space instanceof NestedTables)) return "host";
    const isGuests =
      isOfFirstStage(reason) ||
      (reason === FaultReason.SM_WRITE_DENIED &&
        isWriteDeniedByFirstStage(space, request, this.memory));
    return isGuests ? "first-stage" : "host";
  }

  private reportInterrupt(reason: number, request: InterruptRequest, index: number): void {
    if (this.faultListener === null) return;
    const { sourceId, suppressed } = request;
    const where = { pasid: NO_PASID, access: Access.WRITE, addressType: 0, hi: 0, lo: 0 };
    const stage = "host";
    this.faultListener({ reason, kind: "interrupt", sourceId, ...where, index, suppressed, stage });
  }
}

function hiOf(frame: number): number {
  return Math.floor(frame / FRAMES_PER_GIB);
}

function loOf(frame: number): number {
  return (frame % FRAMES_PER_GIB) * 4096;
}
