/** A device with an address translation cache, as what reaches it from the unit needs it. */
export interface AtcEndpoint {
  /** As {@link AtcRouter.invalidate}, for this device. */
  invalidate(
    sourceId: number,
    pasid: number,
    hi: number,
    lo: number,
    order: number,
  ): "done" | "timeout" | "pending";
  /** As {@link AtcRouter.respond}, for this device. */
  respond(sourceId: number, pasid: number, group: number, code: number): unknown;
}

/** Makes the way from a unit to the caches of its devices. */
export function createAtcRouter(): AtcRouter {
  return new AtcRouter();
}

/**
 * Finds the device that an invalidation or a page group response is for. A unit of `@viommu/vtd` takes
 * it as `deviceTlb` and as `pageResponses`.
 */
export class AtcRouter {
  readonly #endpoints = new Map<number, AtcEndpoint>();

  /** Puts a device at a source-id, in the place of the one that was there. */
  attach(sourceId: number, endpoint: AtcEndpoint): void {
    this.#endpoints.set(sourceId, endpoint);
  }

  /** The device is gone, or has another source-id now. */
  detach(sourceId: number): void {
    this.#endpoints.delete(sourceId);
  }

  /** An invalidation; where no device answers, it times out. */
  invalidate(
    sourceId: number,
    pasid: number,
    hi: number,
    lo: number,
    order: number,
  ): "done" | "timeout" | "pending" {
    const endpoint = this.#endpoints.get(sourceId);
    return endpoint === undefined ? "timeout" : endpoint.invalidate(sourceId, pasid, hi, lo, order);
  }

  /** A page group response; for no device, it goes nowhere. */
  respond(sourceId: number, pasid: number, group: number, code: number): void {
    this.#endpoints.get(sourceId)?.respond(sourceId, pasid, group, code);
  }
}
