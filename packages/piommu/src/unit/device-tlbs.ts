import type { Atc, TranslationAgent } from "@viommu/memory";
import type { PageRequest } from "@viommu/plugin";
import type { PhysicalFunction } from "./device-tables.ts";
import { pageAddress } from "./page-address.ts";

/** From this order on, everything is invalidated. */
export const EVERYTHING = 52;

/**
 * The translation caches of the devices below a unit (PCI Express ATS; VT-d 4.1, 6.5.2.5), as its
 * driver sees them: switched on, and told what to drop after the unit's own caches have.
 *
 * A device answers an invalidation late while accesses are under way that use what it dropped. No
 * driver waits for this here: these accesses are in flight for the unit, too, and its `drain` tells.
 */
export class DeviceTlbs implements TranslationAgent {
  readonly #known = new Map<number, Atc>();
  readonly #asked: (request: PageRequest) => void;

  /** `asked` is called for each page request. */
  constructor(asked: (request: PageRequest) => void) {
    this.#asked = asked;
  }

  /** A device, or one of its aliases, has this cache. */
  connect(sourceId: number, tlb: Atc, enabled: boolean, pri: boolean): void {
    this.#known.set(sourceId, tlb);
    tlb.enabled = enabled;
    tlb.pageRequestsEnabled = pri;
  }

  /** A device has a new owner: page requests are on again, if they were ended by a failure. */
  welcome({ pri, sourceIds }: PhysicalFunction): void {
    for (const sourceId of sourceIds) {
      const tlb = this.#known.get(sourceId);
      if (tlb !== undefined) tlb.pageRequestsEnabled = pri;
    }
  }

  /** ATS Enable of a device; switched off, it forgets everything. */
  enable({ sourceIds }: PhysicalFunction, on: boolean): void {
    for (const sourceId of sourceIds) {
      const tlb = this.#known.get(sourceId);
      if (tlb !== undefined && tlb.enabled !== on) tlb.enabled = on;
    }
  }

  /** A device drops 2^order pages from `page` on, of its requests with a PASID, or without. */
  drop({ sourceIds }: PhysicalFunction, pasid: number, page = 0, order: number = EVERYTHING): void {
    const { hi, lo } = pageAddress(page);
    for (const sourceId of sourceIds) {
      this.#known.get(sourceId)?.invalidate(sourceId, pasid, hi, lo, order);
    }
  }

  deviceTlbCompleted(): void {
    // the accesses that it waited for are over: `drain` has told
  }

  pageRequest(request: PageRequest): void {
    this.#asked(request);
  }

  /** A page group response. */
  respond(sourceId: number, pasid: number, group: number, code: number): void {
    this.#known.get(sourceId)?.respond(sourceId, pasid, group, code);
  }
}
