import { NO_PASID } from "@viommu/plugin";
import type { DmaRequest } from "@viommu/plugin";
import type { AddressSpace } from "./address-space.ts";

/** What a lookup found out about a request. */
export class Found {
  /** False for a probe: nothing is cached. */
  effects = true;
  /** The space that answers the request. */
  space: AddressSpace;
  /** FPD of an entry on the way: qualified faults are not recorded (VT-d 7.1.1). At first false. */
  suppressed = false;

  /** @param space any */
  constructor(space: AddressSpace) {
    this.space = space;
  }
}

/** Finds the address space for a request while remapping is on: one way for each table mode. */
export interface RequestLookup {
  /** Returns 0 with the result in `found`, or the fault reason; `found.suppressed` counts in both. */
  lookup(request: DmaRequest, found: Found): number;
}

/** A table mode in which every request is blocked, for one reason. */
export class BlockedLookup implements RequestLookup {
  private readonly reason: number;
  private readonly pasidReason: number;

  /** @param pasidReason the reason for requests with PASID, if it is another one */
  constructor(reason: number, pasidReason: number = reason) {
    this.reason = reason;
    this.pasidReason = pasidReason;
  }

  lookup(request: DmaRequest): number {
    return request.pasid === NO_PASID ? this.reason : this.pasidReason;
  }
}
