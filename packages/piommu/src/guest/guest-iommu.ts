import type { AtcEndpoint } from "@viommu/memory";
import { NO_PASID, ViommuError } from "@viommu/plugin";
import type { GuestMemory, Hooks, Invalidation, ModeChange, PageRequest } from "@viommu/plugin";
import type { PagingSpace, PendingWork, PhysicalFault, PhysicalIommu } from "@viommu/plugin";
import { compareCapabilities, refuseMismatches } from "./capability-mismatch.ts";
import { createCounters } from "./counters.ts";
import type { GuestIommuCounters } from "./counters.ts";
import { DeviceSwitch } from "./device-switch.ts";
import { DirtyPages } from "./dirty-pages.ts";
import { routeDmaFault } from "./fault-routing.ts";
import { FrameAccount } from "./frame-account.ts";
import { GuestInterrupts } from "./guest-interrupts.ts";
import type { GuestMessage, PostedLookup } from "./guest-interrupts.ts";
import { GuestInvalidations } from "./guest-invalidations.ts";
import { GuestPageRequests } from "./guest-page-requests.ts";
import { GuestSpaces } from "./guest-spaces.ts";
import { GuestTables } from "./guest-tables.ts";
import type { GuestUnit } from "./guest-unit.ts";
import { MainSpace } from "./main-space.ts";
import type { P2m } from "./p2m.ts";
import type { PassedDevice, UnitState } from "./passed-device.ts";

/** What the driver is made of, for one guest on one physical IOMMU. */
export interface GuestIommuOptions {
  /** Names the guest in errors, and in calls of `workPending`. */
  readonly name: string;
  readonly physical: PhysicalIommu;
  /** The guest's memory, where its tables are. */
  readonly memory: GuestMemory;
  readonly p2m: P2m;
  /** The guest's virtual units, as they are at power-on. */
  readonly units: readonly GuestUnit[];
  /** Frames that the guest's shadows may use, with what is remembered of its tables (16384). */
  readonly frameQuota?: number;
  /** Guest tables that one synchronisation of a shadow may visit (65536). */
  readonly tableLimit?: number;
  /** PASIDs of one device that are followed (256). */
  readonly pasidQuota?: number;
  /**
   * Steps (guest tables read, host entries written) that are taken inside a guest's access (1024).
   * The rest is `pending`, and the guest's invalidation completes when it is done. Infinity: always
   * at once.
   */
  readonly inlineBudget?: number;
  /** For posted interrupts: where the descriptor of a virtual processor is. */
  readonly postedTarget?: PostedLookup;
  /** {@link GuestIommu.run} should be called soon. */
  readonly workPending?: Hooks["workPending"];
  /** A device's fault that is none of the guest's business. */
  readonly hostFault?: (this: void, fault: PhysicalFault) => void;
}

/** A physical device that a guest gets. */
export interface Assignment {
  /** On the host: bus (15:8), device (7:3), function (2:0). */
  readonly sourceId: number;
  /** In the guest. */
  readonly virtualSourceId: number;
  /** The guest's unit whose tables translate for it. */
  readonly unit: GuestUnit;
  /** Other source-ids of its requests (phantom functions, aliases), for faults. */
  readonly aliases?: readonly number[];
}

/** What the driver holds for a guest, for a report. */
export interface GuestIommuReport {
  readonly counters: Readonly<GuestIommuCounters>;
  readonly devices: number;
  readonly interrupts: number;
  /** Shadows in use. */
  readonly shadows: number;
  /** Pages in the shadows: 4 KiB, 2 MiB, 1 GiB. */
  readonly shadowPages: readonly [number, number, number];
  /** Frames in use for shadows, the most there were, and the quota. */
  readonly frames: number;
  readonly mostFrames: number;
  readonly frameQuota: number;
  /** Frames of the GPA→HPA tables. */
  readonly mainFrames: number;
}

const DEFAULT_QUOTA = 16384;
const DEFAULT_TABLE_LIMIT = 65536;
const DEFAULT_PASIDS = 256;
const DEFAULT_INLINE = 1024;

/**
 * The driver of the physical IOMMU for one guest: which tables the guest's devices go through.
 *
 * A device starts with the guest's GPA→HPA space. When the guest switches translation on, it goes
 * through a shadow of the guest's second stage, through the guest's first stage nested on GPA→HPA, or
 * nowhere, as its context entry says. The guest's invalidations and mode changes come in through
 * {@link hooks}; a completion is held back until everything that the invalidation covers is in the
 * tables, and no request translated the old way is under way.
 */
export class GuestIommu implements PendingWork {
  readonly name: string;
  readonly p2m: P2m;
  readonly counters: GuestIommuCounters = createCounters();
  /** To be called for the hooks of the guest's units. */
  readonly hooks: Pick<Hooks, "invalidate" | "modeChange">;

  readonly #options: GuestIommuOptions;
  readonly #physical: PhysicalIommu;
  readonly #units = new Map<string, UnitState>();
  readonly #devices = new Map<number, PassedDevice>();
  readonly #byAlias = new Map<number, PassedDevice>();
  readonly #account: FrameAccount;
  readonly #dirty: DirtyPages;
  readonly #main: MainSpace;
  readonly #spaces: GuestSpaces;
  readonly #switch: DeviceSwitch;
  readonly #invalidations: GuestInvalidations;
  readonly #pageRequests: GuestPageRequests;
  readonly #interrupts: GuestInterrupts;
  readonly #unsubscribe: () => void;
  #running = false;
  #tracking = false;
  #closed = false;

  /** Called by {@link createGuestIommu}. */
  constructor(options: GuestIommuOptions) {
    const { memory, p2m, physical } = options;
    this.name = options.name;
    this.p2m = p2m;
    this.#options = options;
    this.#physical = physical;
    for (const unit of options.units) {
      const { capabilities, hostAddressWidth } = unit.profile;
      this.#units.set(unit.name, {
        unit,
        tables: new GuestTables(memory, capabilities, hostAddressWidth),
        ticket: -1,
        draining: 0,
        undrained: false,
        scans: [],
      });
    }
    this.#account = new FrameAccount(options.frameQuota ?? DEFAULT_QUOTA);
    this.#dirty = new DirtyPages(p2m);
    this.#main = new MainSpace(physical, p2m, this.#dirty);
    const { counters } = this;
    this.#spaces = new GuestSpaces({
      physical,
      memory,
      p2m,
      main: this.#main.space,
      account: this.#account,
      dirty: this.#dirty,
      counters,
      tableLimit: options.tableLimit ?? DEFAULT_TABLE_LIMIT,
    });
    this.#switch = new DeviceSwitch({
      physical,
      main: this.#main.space,
      spaces: this.#spaces,
      devices: this.#devices,
      counters,
      pasidQuota: options.pasidQuota ?? DEFAULT_PASIDS,
    });
    this.#invalidations = new GuestInvalidations(
      physical,
      this.#devices,
      this.#spaces,
      this.#switch,
      counters,
    );
    this.#pageRequests = new GuestPageRequests(physical, counters);
    this.#interrupts = new GuestInterrupts(physical, options.postedTarget ?? null, counters);
    this.#unsubscribe = p2m.subscribe({
      changed: (gfn, count) => {
        this.#p2mChanged(gfn, count);
      },
      drain: (done) => physical.drain(done),
    });
    this.hooks = {
      invalidate: (unit, what) => {
        this.#invalidated(unit, what);
      },
      modeChange: (unit, mode) => {
        this.#modeChanged(unit, mode);
      },
    };
  }

  /** GPA→HPA: the default space of all devices of the guest, and the parent of nested spaces. */
  get main(): PagingSpace {
    return this.#main.space;
  }

  /** Source-ids of the devices that the guest has. */
  get devices(): number[] {
    return [...this.#devices.keys()];
  }

  /**
   * Gives a device to the guest; its requests go where the guest's tables say from now on. Throws,
   * with nothing changed: ERR_VIOMMU_CAPABILITY_MISMATCH with each capability that the host can't
   * keep, ERR_VIOMMU_P2M for a reserved region that is not mapped one to one, ERR_VIOMMU_ASSIGN.
   */
  assign(assignment: Assignment): void {
    const { aliases = [], sourceId, unit, virtualSourceId } = assignment;
    const state = this.#check(assignment);
    refuseMismatches(
      unit.name,
      this.#physical.name,
      compareCapabilities(unit.profile.capabilities, this.#physical.info),
    );
    const unpin: (() => void)[] = [];
    const device = { sourceId, virtualSourceId, state, bindings: new Map(), unpin };
    try {
      for (const { dfn, frames, kind } of this.#physical.reservedRegions(sourceId)) {
        if (kind === "direct") unpin.push(this.p2m.pinIdentity(dfn, frames));
      }
      this.#devices.set(sourceId, device);
      for (const id of [sourceId, ...aliases]) this.#byAlias.set(id, device);
      this.#switch.admit(device);
    } catch (error) {
      this.#remove(device);
      throw error;
    }
    this.#go();
  }

  /**
   * Takes a device from the guest: it reaches nothing from the return on. True when no request of it
   * is under way either; otherwise `released` is called when the last one is over.
   */
  unassign(sourceId: number, released: () => void = nobody): boolean {
    const device = this.#device(sourceId);
    this.#switch.quarantine(device);
    this.#pageRequests.end(device);
    this.#remove(device);
    this.#go();
    return this.#physical.drain(released);
  }

  /** A message that the guest has programmed into its device: the handle for the real one. */
  bindInterrupt(sourceId: number, message: GuestMessage): number {
    const { state, virtualSourceId } = this.#device(sourceId);
    return this.#interrupts.bind(sourceId, virtualSourceId, state.unit, message);
  }

  /** The guest has written another message. */
  changeInterrupt(handle: number, message: GuestMessage): void {
    this.#interrupts.change(handle, message);
  }

  /** The guest has no use for the message any more. */
  unbindInterrupt(handle: number): void {
    this.#interrupts.unbind(handle);
  }

  /**
   * A physical device's request was blocked. False if it is no device of this guest; else the fault is
   * in the guest's fault log, or, where the guest's tables are not the reason, told to the host.
   */
  fault(fault: PhysicalFault): boolean {
    const device = this.#byAlias.get(fault.sourceId);
    if (device === undefined) return false;
    if (this.#isForGuest(fault, device)) this.counters.guestFaults += 1;
    else {
      this.counters.hostFaults += 1;
      this.#options.hostFault?.(fault);
    }
    return true;
  }

  /**
   * A physical device asks for a page (the listener of `PhysicalIommu.pageRequests`). False if it is no
   * device of this guest, or none that the guest could answer; else it is in the queue of the guest's
   * unit, or answered. Requests of aliases are for the host.
   */
  pageRequest(request: PageRequest): boolean {
    const device = this.#devices.get(request.sourceId);
    return device !== undefined && this.#pageRequests.take(device, request);
  }

  /**
   * What stands for a device towards the guest's unit: it takes the guest's page group responses, and
   * answers its device-TLB invalidations. To be attached to the `AtcRouter` of the unit, at the
   * device's source-id in the guest, as long as the guest has the device. Throws ERR_VIOMMU_ASSIGN.
   */
  endpoint(sourceId: number): AtcEndpoint {
    return this.#pageRequests.endpoint(this.#device(sourceId));
  }

  /** Starts (with everything clean) or stops telling what devices write, for a migration. */
  setDirtyTracking(on: boolean): void {
    if (on === this.#tracking) return;
    this.#main.setTracking(on); // throws where the host can't
    this.#tracking = on;
    this.#spaces.setTracking(on);
    this.#dirty.clear();
  }

  /**
   * Tells of the guest frames among `count` from `gfn` on that devices have written since they were
   * told of last, or may have: frames that lost a writable mapping are among them.
   */
  readAndClearDirty(gfn: number, count: number, dirty: (gfn: number) => void): void {
    if (!this.#tracking) return;
    this.#main.collectDirty();
    for (const { shadow } of this.#spaces.shared) shadow?.collectDirty();
    this.#dirty.take(gfn, count, dirty);
  }

  /** True while something the guest has invalidated, or the host has taken away, is not done. */
  get pending(): boolean {
    if (this.#spaces.leaving > 0 || this.#main.leaving) return true;
    for (const state of this.#units.values()) if (this.#isBusy(state)) return true;
    return false;
  }

  run(budget: number): number {
    if (this.#running) return 0;
    this.#running = true;
    const steps = this.#work(budget);
    this.#running = false;
    this.#settle();
    return steps;
  }

  /**
   * The guest is gone: takes its devices back; {@link run} gives all table frames back. True when no
   * request is under way; otherwise `released` is called when the last one is over. The guest's memory
   * is not to be used again before.
   */
  close(released: () => void = nobody): boolean {
    if (!this.#closed) {
      this.#closed = true;
      for (const sourceId of this.devices) this.unassign(sourceId);
      this.#unsubscribe();
      this.#main.leave();
    }
    return this.#physical.drain(released);
  }

  report(): GuestIommuReport {
    const pages = new Map<number, number>();
    let shadows = 0;
    for (const { shadow } of this.#spaces.shared) {
      if (shadow === null) continue;
      shadows += 1;
      shadow.census(pages);
    }
    return {
      counters: { ...this.counters },
      devices: this.#devices.size,
      interrupts: this.#interrupts.count,
      shadows,
      shadowPages: [pages.get(0) ?? 0, pages.get(9) ?? 0, pages.get(18) ?? 0],
      frames: this.#account.used,
      mostFrames: this.#account.most,
      frameQuota: this.#account.quota,
      mainFrames: this.#main.space.frames,
    };
  }

  #check({ aliases = [], sourceId, unit, virtualSourceId }: Assignment): UnitState {
    const state = this.#units.get(unit.name);
    if (this.#closed) throw this.#refusal("it is closed", "make a new one");
    if (state?.unit !== unit) {
      throw this.#refusal(`unit "${unit.name}" is none of its units`, "name it at creation");
    }
    for (const id of [sourceId, ...aliases]) {
      if (!this.#byAlias.has(id)) continue;
      throw this.#refusal(`source-id ${hex(id)} is assigned to it already`, "assign it once");
    }
    for (const other of this.#devices.values()) {
      if (other.state === state && other.virtualSourceId === virtualSourceId) {
        throw this.#refusal(
          `source-id ${hex(virtualSourceId)} of unit "${unit.name}" is in use`,
          "give each device its own place in the guest",
        );
      }
    }
    if (this.#physical.attached(sourceId, NO_PASID) !== this.#physical.blocking) {
      throw this.#refusal(
        `device ${hex(sourceId)} is attached to something else`,
        "take it from its owner first",
      );
    }
    return state;
  }

  #device(sourceId: number): PassedDevice {
    const device = this.#devices.get(sourceId);
    if (device !== undefined) return device;
    throw this.#refusal(`it has no device ${hex(sourceId)}`, "assign the device first");
  }

  #remove(device: PassedDevice): void {
    this.#devices.delete(device.sourceId);
    for (const [id, other] of this.#byAlias) if (other === device) this.#byAlias.delete(id);
    this.#interrupts.unbindDevice(device.sourceId);
    for (const unpin of device.unpin) unpin();
  }

  #isForGuest(fault: PhysicalFault, device: PassedDevice): boolean {
    if (fault.kind === "interrupt") return this.#interrupts.fault(fault.index);
    const binding = device.bindings.get(fault.pasid) ?? device.bindings.get(NO_PASID);
    return binding !== undefined && routeDmaFault(fault, binding);
  }

  #p2mChanged(gfn: number, count: number): void {
    if (this.#tracking) this.#dirty.add(gfn, count);
    const isComplete = this.#main.changed(gfn, count);
    for (const shared of [...this.#spaces.shared]) {
      const { shadow } = shared;
      if (shadow === null) continue;
      shadow.frames(gfn, count);
      this.counters.p2mChanges += 1;
      if (shadow.failed) this.#switch.failed(shared);
    }
    if (!isComplete) {
      throw this.#refusal(
        `the host has no table frame for guest frames ${hex(gfn)} to ${hex(gfn + count)}; ` +
          "devices don't reach them",
        "free host frames and map them again",
      );
    }
  }

  #invalidated(name: string, what: Invalidation): void {
    const state = this.#units.get(name);
    if (state === undefined) return;
    if (what.kind === "interrupt-entry") {
      this.#interrupts.invalidated(state.unit, what.index, what.count);
      return;
    }
    // units with host permission tables get no physical devices (capability-mismatch.ts)
    if (what.kind === "host-permission" || !this.#invalidations.take(state, what)) return;
    state.undrained = true;
    this.#go();
  }

  #modeChanged(name: string, mode: ModeChange): void {
    const state = this.#units.get(name);
    if (state === undefined) return;
    state.tables.setMode(mode);
    const { cause } = mode;
    const isOfDma = cause === "translation" || cause === "root-table";
    if (!isOfDma) this.#interrupts.modeChanged(state.unit);
    if (!isOfDma && cause !== "reset" && cause !== "restore") return;
    if (cause === "reset") {
      // the queue is gone, and what was in it
      for (const device of this.#devices.values()) {
        if (device.state === state) this.#pageRequests.end(device);
      }
    }
    this.#invalidations.everything(state);
    state.undrained = true;
    this.#go();
  }

  /** Does what may be done inside a guest's access; the rest holds back its completion. */
  #go(): void {
    if (!this.#running) this.run(this.#options.inlineBudget ?? DEFAULT_INLINE);
    else this.#hold();
    if (this.pending) this.#options.workPending?.(this.name);
  }

  #work(budget: number): number {
    let steps = this.#spaces.takeDown(budget);
    for (const state of this.#units.values()) {
      while (steps < budget && state.scans.length > 0) steps += this.#switch.scan(state);
    }
    for (const shared of [...this.#spaces.shared]) {
      const { shadow } = shared;
      if (shadow?.behind !== true || steps >= budget) continue;
      steps += shadow.run(budget - steps);
      if (!shadow.failed) continue;
      this.#switch.failed(shared);
      // its frames come back before another shadow is judged by what is left
      steps += this.#spaces.takeDown(budget - steps);
      if (this.#spaces.leaving > 0) break;
    }
    if (steps < budget && this.#spaces.leaving === 0) steps += this.#main.takeDown(budget - steps);
    this.counters.steps += steps;
    return steps;
  }

  #isBusy(state: UnitState): boolean {
    if (state.scans.length > 0 || this.#switch.isWaiting(state)) return true;
    for (const { shadow, unit } of this.#spaces.shared) {
      if (unit === state.unit && shadow?.behind === true) return true;
    }
    return false;
  }

  #hold(): void {
    for (const state of this.#units.values()) {
      if (state.ticket < 0 && this.#isBusy(state)) state.ticket = state.unit.dma.enter();
    }
  }

  /** Switches devices whose spaces are complete, and lets completions go that have nothing to wait for. */
  #settle(): void {
    this.#switch.settle();
    this.#hold();
    for (const state of this.#units.values()) {
      if (this.#isBusy(state)) continue;
      if (state.undrained) this.#drain(state);
      if (state.draining > 0) {
        if (state.ticket < 0) state.ticket = state.unit.dma.enter();
        continue;
      }
      const { ticket } = state;
      if (ticket < 0) continue;
      state.ticket = -1;
      state.unit.dma.leave(ticket); // the unit's queue may go on, and call back
    }
  }

  #drain(state: UnitState): void {
    state.undrained = false;
    const isDrained = this.#physical.drain(() => {
      state.draining -= 1;
      this.#settle();
    });
    if (!isDrained) state.draining += 1;
  }

  #refusal(what: string, todo: string): ViommuError {
    return new ViommuError("ERR_VIOMMU_ASSIGN", `guest "${this.name}": ${what}; ${todo}`);
  }
}

/** Makes the driver for a guest: its GPA→HPA space is complete when this returns. */
export function createGuestIommu(options: GuestIommuOptions): GuestIommu {
  return new GuestIommu(options);
}

const nobody = (): void => undefined;

const hex = (value: number): string => `${value.toString(16)}h`;
