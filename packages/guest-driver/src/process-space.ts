import type { AddressSpace } from "./address-space.ts";
import { grantAll } from "./device-permissions.ts";
import type { DevicePermissions } from "./device-permissions.ts";
import type { DeviceSetup, FirstStage } from "./device-table.ts";
import { SHARED_ID } from "./domain-ids.ts";
import type { Domain } from "./domain.ts";
import { hex } from "./errors.ts";
import { deviceTlbRequest, pasidIotlbRequest } from "./invalidation.ts";
import type { PageBlock } from "./invalidation.ts";
import { PermissionCounts } from "./permission-counts.ts";
import type { PageRights, PermissionState } from "./permission-counts.ts";
import type { UnitDriver } from "./unit-driver.ts";

/**
 * The address space of a process, which devices see under its PASID (SVA). Its page table belongs to
 * the kernel: the driver only points PASID entries to it, and passes on what is to be forgotten.
 */
export class ProcessSpace implements AddressSpace {
  readonly pasid: number;
  readonly table: FirstStage;
  /** Translates the addresses of the process, its tables' too; null: they are guest-physical. */
  readonly domain: Domain | null;
  readonly #devices = new Map<UnitDriver, Set<DeviceSetup>>();
  readonly #permitted = new PermissionCounts();
  #ended = false;

  constructor(pasid: number, table: FirstStage, domain: Domain | null) {
    this.pasid = pasid;
    this.table = table;
    this.domain = domain;
  }

  /** No device sees it. */
  get isEmpty(): boolean {
    return this.#devices.size === 0;
  }

  get layout(): string {
    const { root, levels, supervisor } = this.table;
    const under = this.domain === null ? "" : ` on ${this.domain.layout}`;
    return `process ${hex(root)} ${levels} ${supervisor}${under}`;
  }

  /** Its page table is gone. */
  get ended(): boolean {
    return this.#ended;
  }

  add(unit: UnitDriver, device: DeviceSetup): void {
    const { pasid, table, domain } = this;
    if (domain !== null) domain.addNested(unit, device, pasid, table);
    else {
      const binding = { domainId: SHARED_ID, firstStage: table, secondStage: null };
      unit.bind(device, pasid, binding, this.#permitted.rights());
    }
    const devices = this.#devices.get(unit) ?? new Set();
    this.#devices.set(unit, devices.add(device));
  }

  remove(unit: UnitDriver, device: DeviceSetup): void {
    const { pasid, domain } = this;
    const devices = this.#devices.get(unit)!;
    devices.delete(device);
    if (devices.size === 0) this.#devices.delete(unit);
    if (domain === null) unit.unbind(device, pasid, { targets: this.#permitted.rights() });
    else domain.remove(unit, device, pasid);
  }

  /** Lets its devices with host permissions reach pages. */
  permit(rights: PageRights): void {
    if (this.#ended) return;
    const gained = this.#permitted.add(rights).map((change) => ({
      ...change,
      access: change.access & ~change.before,
    }));
    try {
      grantAll(this.#permissions(), gained);
    } catch (error) {
      this.#permitted.remove(rights);
      throw error; // no memory for tables
    }
  }

  /** Takes that back. False, and nothing done, for pages that are not permitted. */
  forbid(rights: PageRights): boolean {
    if (this.#ended) return true;
    if (!this.#permitted.has(rights)) return false;
    const lost = this.#permitted.remove(rights).map((change) => ({
      ...change,
      access: change.before & ~change.access,
    }));
    for (const permissions of this.#permissions()) permissions.revoke(lost);
    return true;
  }

  /** Units and devices forget these pages; on return they have. */
  invalidate(block: PageBlock): void {
    if (this.#ended) return;
    const { pasid, domain } = this;
    for (const [unit, devices] of this.#devices) {
      const domainId = domain === null ? SHARED_ID : domain.idUnder(unit);
      const withTlb = [...devices].filter(({ deviceTlb }) => deviceTlb);
      unit.invalidate([
        pasidIotlbRequest({ domainId, pasid }, block, false),
        ...withTlb.map((device) => deviceTlbRequest(device, pasid, block)),
      ]);
    }
  }

  /** Called by the driver. */
  savePermitted(): PermissionState {
    return this.#permitted.save();
  }

  /** Called by the driver: as it is in the machine that this one goes on from. */
  restore(ended: boolean, permitted: PermissionState): void {
    this.#ended = ended;
    this.#permitted.restore(permitted);
  }

  /** No entry points to the page table any more, and requests that still come are blocked silently. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    const targets = this.#permitted.rights();
    this.#permitted.restore([]);
    for (const [unit, devices] of this.#devices) {
      for (const device of devices) unit.unbind(device, this.pasid, { silent: true, targets });
    }
  }

  #permissions(): DevicePermissions[] {
    return [...this.#devices].flatMap(([unit, devices]) =>
      [...devices].flatMap(({ sourceId }) => unit.permissions.of(sourceId) ?? []),
    );
  }
}
