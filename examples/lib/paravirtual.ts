import { Access, DmaResult, dmaRemappers, hiFromNumber, loFromNumber } from "@viommu/plugin";
import type { DmaRemapper, DmaRequest, Plugin } from "@viommu/plugin";

/** Page number of an address that is split at bit 30. */
export const pageOf = (hi: number, lo: number): number => hi * 2 ** 18 + (lo >>> 12);

/**
 * A remapper with map and unmap requests, in the manner of virtio-iommu. An endpoint is a requester;
 * ranges are in pages of 4 KiB. Its fault reasons are its own: 1 no mapping, 2 no right.
 */
export class ParavirtualRemapper implements DmaRemapper {
  readonly segment = 0;
  faults = 0;
  /** For each endpoint, its pages: what number they are in memory, and who may do what. */
  readonly #endpoints = new Map<number, Map<number, { page: number; access: number }>>();
  readonly #inFlight = new Set<number>();
  #tickets = 0;

  map(endpoint: number, first: number, target: number, count: number, access: number): void {
    const pages =
      this.#endpoints.get(endpoint) ?? new Map<number, { page: number; access: number }>();
    for (let i = 0; i < count; i += 1) pages.set(first + i, { page: target + i, access });
    this.#endpoints.set(endpoint, pages);
  }
  unmap(endpoint: number, first: number, count: number): void {
    for (let i = 0; i < count; i += 1) this.#endpoints.get(endpoint)?.delete(first + i);
  }
  /** Returns a question: are all accesses over that began before this call? */
  fence(): () => boolean {
    const older = [...this.#inFlight];
    return () => !older.some((ticket) => this.#inFlight.has(ticket));
  }
  translate(request: DmaRequest): number {
    const result = this.probe(request);
    if (result > 0) this.faults += 1;
    return result;
  }
  probe(request: DmaRequest): number {
    request.suppressed = false;
    if (request.pasid >= 0 || request.addressType !== 0) return DmaResult.ABORTED;
    const found = this.#endpoints.get(request.sourceId)?.get(pageOf(request.hi, request.lo));
    if (found === undefined) return 1;
    if ((request.access & Access.ATOMIC & ~found.access) !== 0) return 2;
    request.outHi = hiFromNumber(found.page * 4096);
    request.outLo = loFromNumber(found.page * 4096) + (request.lo & 4095);
    request.pageShift = 12;
    request.granted = found.access;
    return DmaResult.TRANSLATED;
  }
  enter(): number {
    this.#inFlight.add((this.#tickets += 1));
    return this.#tickets;
  }
  leave(ticket: number): void {
    this.#inFlight.delete(ticket);
  }
}

/** The same as a part of a machine. */
export function paravirtual(remapper: ParavirtualRemapper): Plugin {
  return {
    name: "paravirtual",
    provides: [dmaRemappers],
    setup: (host) => {
      host.provide(dmaRemappers, remapper);
    },
  };
}
