import type { AddressSpace } from "./address-space.ts";
import type { DeviceSetup, FirstStage } from "./device-table.ts";
import { SHARED_ID } from "./domain-ids.ts";
import type { Domain } from "./domain.ts";
import { hex } from "./errors.ts";
import { deviceTlbRequest, pasidIotlbRequest } from "./invalidation.ts";
import type { PageBlock } from "./invalidation.ts";
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
    else unit.bind(device, pasid, { domainId: SHARED_ID, firstStage: table, secondStage: null });
    const devices = this.#devices.get(unit) ?? new Set();
    this.#devices.set(unit, devices.add(device));
  }

  remove(unit: UnitDriver, device: DeviceSetup): void {
    const devices = this.#devices.get(unit)!;
    devices.delete(device);
    if (devices.size === 0) this.#devices.delete(unit);
    if (this.domain === null) unit.unbind(device, this.pasid);
    else this.domain.remove(unit, device, this.pasid);
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

  /** Called by the driver: it has ended in the machine that this one goes on from. */
  restoreEnded(ended: boolean): void {
    this.#ended = ended;
  }

  /** No entry points to the page table any more, and requests that still come are blocked silently. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const [unit, devices] of this.#devices) {
      for (const device of devices) unit.unbind(device, this.pasid, true);
    }
  }
}
