import type { DomainFormat } from "./domain-format.ts";
import { enclosingBlock, EVERYTHING, iotlbRequest } from "./invalidation.ts";
import type { InvalidationRequest, PageBlock } from "./invalidation.ts";
import type { UnitDriver } from "./unit-driver.ts";

/** The devices of a domain under one unit. */
interface Membership {
  readonly domainId: number;
  /** Source-ids, and whether the device has a device-TLB. */
  readonly devices: Map<number, boolean>;
}

/**
 * Who uses a domain: devices, under one unit or several. Each unit knows the domain by a domain-id of
 * its own, and every invalidation goes to all of them.
 */
export class DomainMembers {
  readonly #units = new Map<UnitDriver, Membership>();

  /** No device is left. */
  get isEmpty(): boolean {
    return this.#units.size === 0;
  }

  /** Units, domain-ids and devices, in words. */
  get text(): string {
    const text = ({ name }: UnitDriver, { domainId, devices }: Membership): string =>
      `${name} ${domainId}: ${[...devices].join(" ")}`;
    return [...this.#units].map(([unit, membership]) => text(unit, membership)).join("; ");
  }

  /** Puts a device into the domain: its entry points to this table from now on. */
  add(
    unit: UnitDriver,
    sourceId: number,
    table: { root: number; format: DomainFormat },
    deviceTlb: boolean,
  ): void {
    let membership = this.#units.get(unit);
    if (membership === undefined) {
      membership = { domainId: unit.domainIds.allocate(), devices: new Map() };
      this.#units.set(unit, membership);
    }
    unit.bind(sourceId, {
      domainId: membership.domainId,
      addressWidth: table.format.levels - 2,
      table: table.root,
      deviceTlb,
    });
    membership.devices.set(sourceId, deviceTlb);
  }

  /** Takes a device out; when it was the last one under its unit, the unit's domain-id is free. */
  remove(unit: UnitDriver, sourceId: number): void {
    const membership = this.#units.get(unit)!;
    const hadDeviceTlb = membership.devices.get(sourceId) === true;
    membership.devices.delete(sourceId);
    unit.unbind(sourceId);
    if (hadDeviceTlb) unit.invalidate([{ cache: "device-tlb", sourceId, ...EVERYTHING }]);
    if (membership.devices.size > 0) return;
    this.#units.delete(unit);
    unit.domainIds.release(membership.domainId);
  }

  /** Entries for these pages were made: only a unit with caching mode may know them as absent. */
  pagesMapped(first: number, count: number): void {
    for (const [unit, { domainId }] of this.#units) {
      const { capabilities } = unit;
      if (capabilities.CM === 0) unit.flushWriteBuffer();
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
      const request = iotlbRequest(unit.capabilities, membership.domainId, block, leafOnly);
      unit.invalidate([request, ...deviceTlbRequests(membership, block)]);
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
}

/** After the IOTLB: a device asks the unit again (VT-d 6.5.2.5). */
function deviceTlbRequests(membership: Membership, block: PageBlock): InvalidationRequest[] {
  const requests: InvalidationRequest[] = [];
  for (const [sourceId, deviceTlb] of membership.devices) {
    if (deviceTlb) requests.push({ cache: "device-tlb", sourceId, ...block });
  }
  return requests;
}
