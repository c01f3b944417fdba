import { NO_PASID, ViommuError } from "@viommu/plugin";
import type { DeviceSpace, PagingSpace, PhysicalIommu } from "@viommu/plugin";
import type { GuestIommuCounters } from "./counters.ts";
import { secondStageKey, STAGE_OFF } from "./guest-stage.ts";
import type { GuestStage } from "./guest-stage.ts";
import type { GuestSpaces, SharedSpace } from "./guest-spaces.ts";
import type { Binding, PassedDevice, UnitState } from "./passed-device.ts";

/** Order of an invalidation of everything. */
export const EVERYTHING = 52;

/** What the switch works with. */
export interface DeviceSwitchParts {
  readonly physical: PhysicalIommu;
  /** GPA→HPA. */
  readonly main: PagingSpace;
  readonly spaces: GuestSpaces;
  readonly devices: ReadonlyMap<number, PassedDevice>;
  readonly counters: GuestIommuCounters;
  readonly pasidQuota: number;
}

/**
 * Attaches devices to the space that the guest's tables ask for. A device stays with its old space
 * until the new one is complete; then one call of the port switches it.
 */
export class DeviceSwitch {
  readonly #parts: DeviceSwitchParts;
  readonly #waiting = new Set<Binding>();

  constructor(parts: DeviceSwitchParts) {
    this.#parts = parts;
  }

  /** A device that the guest gets; throws what the host says when it can't be attached. */
  admit(device: PassedDevice): void {
    const binding = this.#binding(device, NO_PASID);
    this.#direct(binding, device.state.tables.resolve(device.virtualSourceId, NO_PASID));
    const { error, stage } = binding;
    if (error !== null && stage.kind === "off") {
      this.quarantine(device);
      throw error;
    }
    this.#startScan(device);
  }

  /** Reads the tables anew: what do they say of this device, with whatever PASID? */
  evaluate(device: PassedDevice): void {
    this.evaluatePasid(device, NO_PASID);
    this.#startScan(device);
  }

  /** Reads the tables anew for one PASID, or for requests without. */
  evaluatePasid(device: PassedDevice, pasid: number): void {
    const stage = device.state.tables.resolve(device.virtualSourceId, pasid);
    const known = device.bindings.get(pasid);
    if (known === undefined && stage.kind === "blocked") return;
    this.#direct(known ?? this.#binding(device, pasid), stage);
  }

  /** Tries again for what could not be had. */
  retry(device: PassedDevice, domainId: number | null): void {
    for (const binding of [...device.bindings.values()]) {
      if (!binding.starved) continue;
      if (domainId === null || domainOf(binding.stage) === domainId) {
        this.evaluatePasid(device, binding.pasid);
      }
    }
  }

  /** Takes a device out of service. */
  quarantine(device: PassedDevice): void {
    const { scans } = device.state;
    for (const scan of scans.filter((other) => other.device === device)) {
      scans.splice(scans.indexOf(scan), 1);
    }
    for (const binding of [...device.bindings.values()]) {
      this.#drop(binding);
      this.#attach(binding, this.#parts.physical.blocking, null);
    }
    device.bindings.clear();
  }

  /** A shadow ran out of frames: the devices that need it are blocked. */
  failed(shared: SharedSpace): void {
    const { devices, spaces } = this.#parts;
    spaces.retire(shared);
    const needs = (space: SharedSpace | null): boolean =>
      space !== null && (space === shared || space.under === shared);
    for (const device of devices.values()) {
      for (const binding of [...device.bindings.values()]) {
        if (needs(binding.current) || needs(binding.next)) this.#starve(binding, null);
      }
    }
  }

  /** Devices of this unit wait for a space to be complete. */
  isWaiting(state: UnitState): boolean {
    for (const binding of this.#waiting) if (binding.device.state === state) return true;
    return false;
  }

  /** Switches the devices whose space is complete. */
  settle(): void {
    for (const binding of [...this.#waiting]) {
      const { next } = binding;
      if (next === null || isBehind(next)) continue;
      this.#waiting.delete(binding);
      binding.next = null;
      this.#attach(binding, next.space, next);
    }
  }

  /** Looks through one PASID table for PASIDs; returns the steps taken. */
  scan(state: UnitState): number {
    const scan = state.scans[0]!;
    const { device, seen } = scan;
    if (scan.next < scan.tables) {
      for (const pasid of state.tables.pasidsIn(device.virtualSourceId, scan.next)) {
        seen.add(pasid);
        this.evaluatePasid(device, pasid);
      }
      scan.next += 1;
      if (device.bindings.size > this.#parts.pasidQuota) this.#tooMany(device);
      return 1;
    }
    for (const binding of [...device.bindings.values()]) {
      if (binding.pasid !== NO_PASID && !seen.has(binding.pasid)) {
        this.evaluatePasid(device, binding.pasid);
      }
    }
    state.scans.splice(state.scans.indexOf(scan), 1);
    return 1;
  }

  #startScan(device: PassedDevice): void {
    const { scans, tables } = device.state;
    const count = tables.pasidTables(device.virtualSourceId);
    if (count === 0 && device.bindings.size <= 1) return;
    const old = scans.findIndex((other) => other.device === device);
    if (old >= 0) scans.splice(old, 1);
    scans.push({ device, tables: count, seen: new Set(), next: 0 });
  }

  /** More PASIDs than the guest may have: none of the device's requests get through. */
  #tooMany(device: PassedDevice): void {
    const { scans } = device.state;
    scans.splice(
      scans.findIndex((other) => other.device === device),
      1,
    );
    for (const binding of [...device.bindings.values()]) this.#starve(binding, null);
  }

  #binding(device: PassedDevice, pasid: number): Binding {
    const { blocking } = this.#parts.physical;
    const binding: Binding = {
      device,
      pasid,
      stage: STAGE_OFF,
      key: "blocked",
      space: blocking,
      current: null,
      next: null,
      starved: false,
      error: null,
    };
    device.bindings.set(pasid, binding);
    return binding;
  }

  #direct(binding: Binding, stage: GuestStage): void {
    const { main, physical, spaces } = this.#parts;
    const key = keyOf(stage);
    const kept = keepsTranslations(binding.stage) && !keepsTranslations(stage);
    binding.stage = stage;
    if (key === binding.key && !binding.starved) {
      const { device, pasid } = binding;
      if (kept) physical.invalidateDeviceTlb?.(device.sourceId, pasid, 0, EVERYTHING);
      return;
    }
    this.#drop(binding);
    binding.key = key;
    binding.starved = false;
    binding.error = null;
    if (stage.kind === "blocked") this.#attach(binding, physical.blocking, null);
    else if (stage.kind === "off" || stage.kind === "pass-through") {
      this.#attach(binding, main, null);
    } else {
      try {
        binding.next = spaces.acquire(binding.device.state.unit, stage);
        this.#waiting.add(binding);
      } catch (error) {
        this.#starve(binding, refusalIn(error));
      }
    }
  }

  /** The atomic switch; what the device used before loses a user. */
  #attach(binding: Binding, space: DeviceSpace, shared: SharedSpace | null): void {
    const { counters, physical, spaces } = this.#parts;
    const { device, pasid } = binding;
    if (space !== binding.space) {
      try {
        physical.attach(device.sourceId, pasid, space);
      } catch (error) {
        if (shared !== null) spaces.release(shared);
        this.#starve(binding, refusalIn(error));
        return;
      }
      counters.switches += 1;
      device.state.undrained = true;
    }
    const old = binding.current;
    binding.space = space;
    binding.current = shared;
    if (old !== null) spaces.release(old);
    const isGone = space === physical.blocking && pasid !== NO_PASID && !binding.starved;
    if (isGone) device.bindings.delete(pasid);
  }

  /** What the guest asks for can't be had: blocked until it asks again. */
  #starve(binding: Binding, error: ViommuError | null): void {
    this.#parts.counters.quotaHits += 1;
    this.#drop(binding);
    binding.starved = true;
    binding.key = "";
    binding.error = error;
    this.#attach(binding, this.#parts.physical.blocking, null);
  }

  /** It no longer waits for a space. */
  #drop(binding: Binding): void {
    const { next } = binding;
    this.#waiting.delete(binding);
    binding.next = null;
    if (next !== null) this.#parts.spaces.release(next);
  }
}

/** What the host says that it can't do; anything else is a defect and goes on. */
function refusalIn(error: unknown): ViommuError {
  if (error instanceof ViommuError) return error;
  throw error;
}

function isBehind({ shadow, under }: SharedSpace): boolean {
  return (shadow ?? under?.shadow)?.behind === true;
}

/** Differs between stages that need different spaces. */
function keyOf(stage: GuestStage): string {
  switch (stage.kind) {
    case "off":
    case "pass-through":
      return "main";
    case "blocked":
      return "blocked";
    case "second-stage":
      return `second ${secondStageKey(stage.second)}`;
    case "first-stage": {
      const { domainId, extendedAccessed, levels, rootFrame, second, supervisor } = stage;
      const flags = `${+supervisor}${+stage.writeProtect}${+extendedAccessed}`;
      const below = second === null ? "" : secondStageKey(second);
      return `first ${domainId},${rootFrame},${levels},${flags} ${below}`;
    }
  }
}

/** Whether the guest lets the device keep translations by its first stage. */
export function keepsTranslations(stage: GuestStage): boolean {
  return stage.kind === "first-stage" && stage.deviceTlb;
}

/** Guest domain of a stage; -1 where it has none. */
export function domainOf(stage: GuestStage): number {
  return stage.kind === "off" || stage.kind === "blocked" ? -1 : stage.domainId;
}
