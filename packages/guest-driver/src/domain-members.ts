import type { DeviceBinding, DeviceSetup, FirstStage } from "./device-table.ts";
import { grantAll } from "./device-permissions.ts";
import type { DevicePermissions } from "./device-permissions.ts";
import type { DomainFormat } from "./domain-format.ts";
import {
  deviceTlbRequest,
  enclosingBlock,
  EVERYTHING,
  iotlbRequest,
  pasidIotlbRequest,
} from "./invalidation.ts";
import type { InvalidationRequest, PageBlock } from "./invalidation.ts";
import type { PageRights } from "./permission-counts.ts";
import { RID_PASID } from "./scalable-root-table.ts";
import type { UnitDriver } from "./unit-driver.ts";

/** Requests of a device that see a domain: those without PASID (null), or those with one. */
interface Member {
  readonly device: DeviceSetup;
  readonly pasid: number | null;
  /** A process lies between: its input addresses are not the domain's. */
  readonly nested: boolean;
}

/** The members of a domain under one unit. */
interface Membership {
  readonly domainId: number;
  readonly members: Map<string, Member>;
}

/**
 * Who uses a domain: devices and their PASIDs, under one unit or several. Each unit knows the domain
 * by a domain-id of its own, and every invalidation goes to all of them.
 */
export class DomainMembers {
  readonly #root: number;
  readonly #format: DomainFormat;
  readonly #units = new Map<UnitDriver, Membership>();

  /** For a domain with its topmost table at `root`. */
  constructor(root: number, format: DomainFormat) {
    this.#root = root;
    this.#format = format;
  }

  /** No device is left. */
  get isEmpty(): boolean {
    return this.#units.size === 0;
  }

  /** Units, domain-ids and devices, in words. */
  get text(): string {
    const text = ({ name }: UnitDriver, { domainId, members }: Membership): string =>
      `${name} ${domainId}: ${[...members].map(([key, { nested }]) => key + (nested ? " nested" : "")).join(" ")}`;
    return [...this.#units].map(([unit, membership]) => text(unit, membership)).join("; ");
  }

  /** The domain-id under a unit that has members. */
  idUnder(unit: UnitDriver): number {
    return this.#units.get(unit)!.domainId;
  }

  /** A change of its pages is a change of host permissions too. */
  get needPermission(): boolean {
    for (const { members } of this.#units.values()) {
      for (const { device } of members.values()) if (device.hostPermissions) return true;
    }
    return false;
  }

  /**
   * Points an entry of a device to the domain. With `process`, a first-stage table that lies on top
   * of it, whose addresses the domain translates. `targets`: the pages that are mapped, for a device
   * with host permissions.
   */
  add(
    unit: UnitDriver,
    device: DeviceSetup,
    pasid: number | null,
    process: FirstStage | null,
    targets: readonly PageRights[],
  ): void {
    const membership = this.#units.get(unit) ?? {
      domainId: unit.domainIds.allocate(),
      members: new Map<string, Member>(),
    };
    try {
      unit.bind(device, pasid, this.#bindingOf(membership.domainId, process), targets);
    } catch (error) {
      if (membership.members.size === 0) unit.domainIds.release(membership.domainId);
      throw error; // no memory for tables
    }
    this.#units.set(unit, membership);
    membership.members.set(keyOf(device, pasid), { device, pasid, nested: process !== null });
  }

  /** Clears that entry; when it was the last one under its unit, the unit's domain-id is free. */
  remove(
    unit: UnitDriver,
    device: DeviceSetup,
    pasid: number | null,
    targets: readonly PageRights[],
  ): void {
    const { domainId, members } = this.#units.get(unit)!;
    members.delete(keyOf(device, pasid));
    unit.unbind(device, pasid, { targets });
    if (members.size > 0) return;
    this.#units.delete(unit);
    unit.domainIds.release(domainId);
  }

  /** Lets devices with host permissions reach pages, before entries for these are made. */
  permit(targets: readonly PageRights[]): void {
    grantAll(this.#permissions(), targets);
  }

  /** Takes that back, when units and devices have forgotten the entries (VT-d 6.5.3.4). */
  forbid(targets: readonly PageRights[]): void {
    for (const permissions of this.#permissions()) permissions.revoke(targets);
  }

  /** Entries for these pages were made: only a unit with caching mode may know them as absent. */
  pagesMapped(first: number, count: number): void {
    // absent first-stage entries are never cached (VT-d 6.1)
    const isFirstStage = this.#format.stage === "first";
    for (const [unit, { domainId }] of this.#units) {
      const { capabilities } = unit;
      if (capabilities.CM === 0 || isFirstStage) unit.flushWriteBuffer();
      else {
        const block = enclosingBlock(first, count);
        unit.invalidate([iotlbRequest(capabilities, domainId, block, false)]);
      }
    }
  }

  /** All units and devices forget these pages; on return they have. */
  invalidatePages(first: number, count: number, leafOnly: boolean): void {
    const block = enclosingBlock(first, count);
    for (const [unit, membership] of this.#units) {
      const { domainId } = membership;
      const iotlb =
        this.#format.stage === "first"
          ? pasidIotlbRequests(membership, block, leafOnly)
          : [iotlbRequest(unit.capabilities, domainId, block, leafOnly)];
      unit.invalidate([...iotlb, ...deviceTlbRequests(membership, block)]);
    }
  }

  /** All units and devices forget the whole domain; on return they have. */
  invalidateAll(): void {
    for (const [unit, membership] of this.#units) {
      const { domainId } = membership;
      unit.invalidate([
        { cache: "iotlb", granularity: "domain", domainId },
        ...deviceTlbRequests(membership, EVERYTHING),
      ]);
    }
  }

  /** For each member those of its device, so that each is a reason of its own. */
  #permissions(): DevicePermissions[] {
    return [...this.#units].flatMap(([unit, { members }]) =>
      [...members.values()].flatMap(({ device }) => unit.permissions.of(device.sourceId) ?? []),
    );
  }

  #bindingOf(domainId: number, process: FirstStage | null): DeviceBinding {
    const { stage, levels } = this.#format;
    const root = this.#root;
    if (stage === "second") return { domainId, firstStage: process, secondStage: { root, levels } };
    const firstStage = { root, levels: levels === 5 ? 5 : 4, supervisor: false } as const;
    return { domainId, firstStage, secondStage: null };
  }
}

/** First-stage translations are kept by PASID: one request for each PASID in use. */
function pasidIotlbRequests(
  { domainId, members }: Membership,
  block: PageBlock,
  leafOnly: boolean,
): InvalidationRequest[] {
  const pasids = new Set([...members.values()].map(({ pasid }) => pasid ?? RID_PASID));
  return [...pasids].map((pasid) => pasidIotlbRequest({ domainId, pasid }, block, leafOnly));
}

/** After the IOTLB: a device asks the unit again (VT-d 6.5.2.5). */
function deviceTlbRequests({ members }: Membership, block: PageBlock): InvalidationRequest[] {
  const requests: InvalidationRequest[] = [];
  for (const { device, pasid, nested } of members.values()) {
    if (!device.deviceTlb) continue;
    // which addresses of the process lead to these pages is not known
    requests.push(deviceTlbRequest(device, pasid, nested ? EVERYTHING : block));
  }
  return requests;
}

const keyOf = ({ sourceId }: DeviceSetup, pasid: number | null): string =>
  `${sourceId}:${pasid ?? ""}`;
