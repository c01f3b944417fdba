import { domainIdWidth } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import type { RangesState } from "./driver-state.ts";
import { badDomain } from "./errors.ts";
import { FreeRanges } from "./free-ranges.ts";

/**
 * Domain-id of all devices that pass through, and of all processes: theirs are told apart by PASID
 * (VT-d 6.2.3.1). As Linux has it.
 */
export const SHARED_ID = 1;
/** 0 means "not present" to a unit with caching mode (VT-d 6.1), and is never given to a domain. */
const FIRST_ID = 2;

/** The domain-ids of one unit: as many as ND has bits for (VT-d 11.4.2). */
export class DomainIds {
  readonly #free: FreeRanges;
  readonly #unit: string;
  readonly #count: number;

  constructor(capabilities: Capabilities, unit: string) {
    this.#count = 2 ** domainIdWidth(capabilities);
    this.#free = new FreeRanges(FIRST_ID, this.#count);
    this.#unit = unit;
  }

  /** The lowest free id. Throws ERR_VIOMMU_DRIVER_DOMAIN. */
  allocate(): number {
    const id = this.#free.takeLowest(1);
    if (id >= 0) return id;
    throw badDomain(
      `${this.#unit}: all ${this.#count} domain-ids are in use`,
      "share domains between devices, or release some",
    );
  }

  /** Takes an id that a predecessor's tables use; it is never given out. */
  reserve(id: number): void {
    this.#free.take(id, 1);
  }

  /** The unit has forgotten everything about this domain. */
  release(id: number): void {
    this.#free.give(id, 1);
  }

  save(): RangesState {
    return this.#free.save();
  }

  restore(state: RangesState): void {
    this.#free.restore(state);
  }
}
