import type { GuestMemory, NestedSpace, PagingSpace, PhysicalIommu } from "@viommu/plugin";
import type { GuestIommuCounters } from "./counters.ts";
import type { DirtyPages } from "./dirty-pages.ts";
import type { FrameAccount } from "./frame-account.ts";
import { secondStageKey } from "./guest-stage.ts";
import type { GuestStage, SecondStage } from "./guest-stage.ts";
import type { GuestUnit } from "./guest-unit.ts";
import type { P2m } from "./p2m.ts";
import { Projection } from "./projection.ts";
import { SecondStageReader } from "./second-stage-reader.ts";
import { Shadow } from "./shadow.ts";

/** A space of a guest that several devices may use; gone when the last one leaves. */
export interface SharedSpace {
  readonly key: string;
  readonly unit: GuestUnit;
  readonly space: PagingSpace | NestedSpace;
  /** Domain id of the guest. */
  readonly domainId: number;
  readonly shadow: Shadow | null;
  /** What a nested space stands on, when that is a shadow. */
  readonly under: SharedSpace | null;
  users: number;
}

/** What the spaces of a guest are made of. */
export interface GuestSpacesParts {
  readonly physical: PhysicalIommu;
  readonly memory: GuestMemory;
  readonly p2m: P2m;
  /** GPA→HPA. */
  readonly main: PagingSpace;
  readonly account: FrameAccount;
  readonly dirty: DirtyPages;
  readonly counters: GuestIommuCounters;
  readonly tableLimit: number;
}

/** The shadows and nested spaces of one guest, shared by the devices with the same tables. */
export class GuestSpaces {
  readonly #parts: GuestSpacesParts;
  readonly #shared = new Map<string, SharedSpace>();
  /** No device uses them; their frames are given back step by step. */
  readonly #leaving: Shadow[] = [];
  #tracking = false;

  constructor(parts: GuestSpacesParts) {
    this.#parts = parts;
  }

  /** All spaces in use. */
  get shared(): Iterable<SharedSpace> {
    return this.#shared.values();
  }

  /** Shadows that are still to be taken down. */
  get leaving(): number {
    return this.#leaving.length;
  }

  /** The space for a stage with tables of its own; one more user. Throws ERR_VIOMMU_PIOMMU. */
  acquire(
    unit: GuestUnit,
    stage: GuestStage & { kind: "second-stage" | "first-stage" },
  ): SharedSpace {
    return stage.kind === "second-stage"
      ? this.#acquireShadow(unit, stage.second, false)
      : this.#acquireNested(unit, stage);
  }

  /** One user less. */
  release(shared: SharedSpace): void {
    shared.users -= 1;
    if (shared.users === 0) this.#forget(shared);
  }

  /** Nobody gets this space any more; who uses it has to leave it. */
  retire(shared: SharedSpace): void {
    if (this.#shared.get(shared.key) === shared) this.#shared.delete(shared.key);
  }

  /** Starts or stops dirty tracking in all shadows. */
  setTracking(on: boolean): void {
    this.#tracking = on;
    for (const { shadow } of this.#shared.values()) if (shadow !== null) track(shadow, on);
  }

  /** Takes shadows down that nobody uses, in at most `budget` steps; returns how many. */
  takeDown(budget: number): number {
    let steps = 0;
    while (steps < budget) {
      const [shadow] = this.#leaving;
      if (shadow === undefined) break;
      steps += Math.max(1, shadow.takeDown(budget - steps));
      if (shadow.leafCount > 0) continue;
      shadow.destroy();
      this.#leaving.shift();
      this.#parts.counters.shadowsDestroyed += 1;
    }
    return steps;
  }

  #acquireShadow(unit: GuestUnit, stage: SecondStage, nestingParent: boolean): SharedSpace {
    const key = `${unit.name}:${nestingParent ? "parent" : "shadow"}:${secondStageKey(stage)}`;
    const known = this.#shared.get(key);
    if (known !== undefined) {
      known.users += 1;
      return known;
    }
    const { account, counters, dirty, memory, p2m, physical, tableLimit } = this.#parts;
    const { capabilities, hostAddressWidth } = unit.profile;
    const space = physical.createPagingSpace({ frameQuota: account.quota, nestingParent });
    const shadow = new Shadow({
      stage,
      space,
      reader: new SecondStageReader(memory, stage, capabilities, hostAddressWidth),
      projection: new Projection(space, p2m, physical.info),
      account,
      dirty,
      tableLimit,
    });
    counters.shadowsMade += 1;
    if (this.#tracking) track(shadow, true);
    const { domainId } = stage;
    return this.#keep({ key, unit, space, domainId, shadow, under: null, users: 1 });
  }

  #acquireNested(unit: GuestUnit, stage: GuestStage & { kind: "first-stage" }): SharedSpace {
    const { domainId, extendedAccessed, levels, rootFrame, second, supervisor, writeProtect } =
      stage;
    const below = second === null ? "" : secondStageKey(second);
    const flags = `${+supervisor}${+writeProtect}${+extendedAccessed}`;
    const key = `${unit.name}:nested:${domainId},${rootFrame},${levels},${flags}:${below}`;
    const known = this.#shared.get(key);
    if (known !== undefined) {
      known.users += 1;
      return known;
    }
    const under = second === null ? null : this.#acquireShadow(unit, second, true);
    const parent = under === null ? this.#parts.main : (under.space as PagingSpace);
    try {
      const space = this.#parts.physical.createNestedSpace(parent, stage);
      return this.#keep({ key, unit, space, domainId, shadow: null, under, users: 1 });
    } catch (error) {
      if (under !== null) this.release(under);
      throw error;
    }
  }

  #keep(shared: SharedSpace): SharedSpace {
    this.#shared.set(shared.key, shared);
    return shared;
  }

  #forget(shared: SharedSpace): void {
    this.retire(shared);
    const { shadow, space, under } = shared;
    if (space.kind === "nested") space.destroy();
    if (under !== null) this.release(under);
    if (shadow === null) return;
    if (this.#tracking) {
      // no device uses it: what its D bits tell is complete
      shadow.collectDirty();
      shadow.tracking = false;
    }
    shadow.fail();
    this.#leaving.push(shadow);
  }
}

function track(shadow: Shadow, on: boolean): void {
  shadow.space.setDirtyTracking(on);
  shadow.tracking = on;
}
