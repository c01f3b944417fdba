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

/** What ids stand for. */
interface Kind {
  readonly name: string;
  /** Ids from this one on are given out. */
  readonly first: number;
  readonly remedy: string;
}

/** 0 means "not present" to a unit with caching mode (VT-d 6.1), and is never given to a domain. */
const DOMAINS: Kind = {
  name: "domain-ids",
  first: 2,
  remedy: "share domains between devices, or release some",
};
/** HPTDIDs: a name space of their own, in which no number has a meaning. */
export const HPT_DOMAINS: Kind = {
  name: "domain-ids of host permission tables",
  first: 0,
  remedy: "give hostPermissions to less devices",
};

/** Domain-ids of one unit, of one kind: as many as ND has bits for (VT-d 11.4.2). */
export class DomainIds {
  readonly #free: FreeRanges;
  readonly #unit: string;
  readonly #kind: Kind;
  readonly #count: number;

  constructor(capabilities: Capabilities, unit: string, kind = DOMAINS) {
    this.#count = 2 ** domainIdWidth(capabilities);
    this.#free = new FreeRanges(kind.first, this.#count);
    this.#unit = unit;
    this.#kind = kind;
  }

  /** The lowest free id. Throws ERR_VIOMMU_DRIVER_DOMAIN. */
  allocate(): number {
    const id = this.#free.takeLowest(1);
    if (id >= 0) return id;
    const { name, remedy } = this.#kind;
    throw badDomain(`${this.#unit}: all ${this.#count} ${name} are in use`, remedy);
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
