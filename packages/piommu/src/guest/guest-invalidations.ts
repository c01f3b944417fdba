import { ALL_PASIDS, NO_PASID } from "@viommu/plugin";
import type { Invalidation, PhysicalIommu } from "@viommu/plugin";
import type { GuestIommuCounters } from "./counters.ts";
import { domainOf, EVERYTHING, keepsTranslations } from "./device-switch.ts";
import type { DeviceSwitch } from "./device-switch.ts";
import type { GuestSpaces, SharedSpace } from "./guest-spaces.ts";
import type { PassedDevice, UnitState } from "./passed-device.ts";

type Of<K extends Invalidation["kind"]> = Extract<Invalidation, { kind: K }>;

/** What tells of tables that are shadowed or nested. */
type OfDma = Of<"context" | "iotlb" | "pasid-cache" | "pasid-iotlb" | "device-tlb">;

const CHUNK_PAGES = 2 ** 18;
const INPUT_PAGES = 2 ** 52;

/**
 * Finds what an invalidation of the guest concerns: context entries and PASID entries are read again,
 * shadows get ranges to synchronise, and for nested spaces it is forwarded. Domain ids and PASIDs of
 * the guest select spaces; the host's own ids are the port's.
 */
export class GuestInvalidations {
  readonly #physical: PhysicalIommu;
  readonly #devices: ReadonlyMap<number, PassedDevice>;
  readonly #spaces: GuestSpaces;
  readonly #switch: DeviceSwitch;
  readonly #counters: GuestIommuCounters;

  constructor(
    physical: PhysicalIommu,
    devices: ReadonlyMap<number, PassedDevice>,
    spaces: GuestSpaces,
    deviceSwitch: DeviceSwitch,
    counters: GuestIommuCounters,
  ) {
    this.#physical = physical;
    this.#devices = devices;
    this.#spaces = spaces;
    this.#switch = deviceSwitch;
    this.#counters = counters;
  }

  /** All of a unit's answers may differ: translation was switched, another root table. */
  everything(state: UnitState): void {
    for (const device of this.#of(state)) this.#switch.evaluate(device);
    for (const shared of this.#spacesOf(state)) this.#drop(shared, 0, EVERYTHING, false);
  }

  /** Takes one invalidation of a DMA cache; false if it concerns no physical device. */
  take(state: UnitState, what: OfDma): boolean {
    if (this.#of(state).length === 0) return false;
    this.#counters.invalidations += 1;
    switch (what.kind) {
      case "context":
        this.#context(state, what);
        break;
      case "iotlb":
        this.#iotlb(state, what);
        break;
      case "pasid-cache":
        this.#pasidCache(state, what);
        break;
      case "pasid-iotlb":
        this.#pasidIotlb(state, what);
        break;
      case "device-tlb":
        this.#deviceTlb(state, what);
    }
    return true;
  }

  #context(state: UnitState, what: Of<"context">): void {
    for (const device of this.#of(state)) {
      if (concerns(what, device)) this.#switch.evaluate(device);
    }
  }

  #iotlb(state: UnitState, what: Of<"iotlb">): void {
    const isGlobal = what.granularity === "global";
    for (const shared of this.#spacesOf(state)) {
      if (!isGlobal && shared.domainId !== what.domainId) continue;
      if (what.granularity !== "page") this.#drop(shared, 0, EVERYTHING, false);
      // VT-d 6.5.2.3: by page for second stages, the whole domain for first stages
      else if (shared.shadow === null) this.#drop(shared, 0, EVERYTHING, what.leafOnly);
      else this.#drop(shared, pageOf(what), what.order, what.leafOnly);
    }
    if (what.granularity === "page") return;
    const domainId = isGlobal ? null : what.domainId;
    for (const device of this.#of(state)) this.#switch.retry(device, domainId);
  }

  #pasidCache(state: UnitState, what: Of<"pasid-cache">): void {
    for (const device of this.#of(state)) {
      if (what.granularity !== "pasid") {
        this.#switch.evaluate(device);
        continue;
      }
      // the entry of requests without PASID may be this one
      this.#switch.evaluatePasid(device, NO_PASID);
      this.#switch.evaluatePasid(device, what.pasid);
    }
  }

  #pasidIotlb(state: UnitState, what: Of<"pasid-iotlb">): void {
    const found = new Set<SharedSpace>();
    for (const device of this.#of(state)) {
      for (const { current, next, pasid, stage } of device.bindings.values()) {
        const isMeant = pasid === what.pasid || pasid === NO_PASID;
        if (!isMeant || domainOf(stage) !== what.domainId) continue;
        if (current !== null) found.add(current);
        if (next !== null) found.add(next);
      }
    }
    for (const shared of found) {
      if (shared.shadow !== null) continue;
      if (what.granularity === "page") this.#drop(shared, pageOf(what), what.order, what.leafOnly);
      else this.#drop(shared, 0, EVERYTHING, false);
    }
  }

  /**
   * The physical device has translated by the guest's first stage itself, and is told; what it has of
   * other spaces is the host's matter.
   */
  #deviceTlb(state: UnitState, what: Of<"device-tlb">): void {
    for (const device of this.#of(state)) {
      if (device.virtualSourceId !== what.sourceId) continue;
      for (const { current, pasid } of device.bindings.values()) {
        if (what.pasid !== ALL_PASIDS && what.pasid !== pasid) continue;
        if (current?.space.kind !== "nested") continue;
        this.#physical.invalidateDeviceTlb?.(device.sourceId, pasid, pageOf(what), what.order);
      }
    }
  }

  #drop(shared: SharedSpace, page: number, order: number, leafOnly: boolean): void {
    const { shadow, space } = shared;
    if (space.kind === "nested") {
      space.invalidate(page, order, leafOnly, this.#isGuestsTlb(shared));
    }
    if (shadow === null) return;
    this.#counters.synchronisations += 1;
    if (order >= EVERYTHING) shadow.synchroniseAll();
    else shadow.synchronise(page, order);
  }

  /** Whether the guest tells all devices of a space what to drop from their own caches. */
  #isGuestsTlb(shared: SharedSpace): boolean {
    if (this.#physical.invalidateDeviceTlb === undefined) return false;
    for (const { bindings } of this.#devices.values()) {
      for (const { current, stage } of bindings.values()) {
        if (current === shared && !keepsTranslations(stage)) return false;
      }
    }
    return true;
  }

  #of(state: UnitState): PassedDevice[] {
    return [...this.#devices.values()].filter((device) => device.state === state);
  }

  #spacesOf(state: UnitState): SharedSpace[] {
    return [...this.#spaces.shared].filter(({ unit }) => unit === state.unit);
  }
}

/** Whether a context-cache invalidation drops what is known of a device (VT-d 6.5.2.1). */
function concerns(
  what: Of<"context">,
  { bindings, state, virtualSourceId }: PassedDevice,
): boolean {
  switch (what.granularity) {
    case "global":
      return true;
    case "device":
      return ((virtualSourceId ^ what.sourceId) & ~what.functionMask) === 0;
    case "domain": {
      // scalable-mode context entries have no domain; entries that are not present count as cached
      const domainId = domainOf(bindings.get(NO_PASID)!.stage);
      return state.tables.scalable || domainId === -1 || domainId === what.domainId;
    }
  }
}

/** Page number of an address; the canonical upper half comes last. */
function pageOf({ hi, lo }: { readonly hi: number; readonly lo: number }): number {
  const page = hi * CHUNK_PAGES + (lo >>> 12);
  return page < 0 ? page + INPUT_PAGES : page;
}
