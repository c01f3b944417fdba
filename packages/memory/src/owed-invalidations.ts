import { ViommuError } from "@viommu/plugin";

/**
 * Accesses of a device that are under way, and the invalidations that came meanwhile: each is owed a
 * completion when the accesses begun before it have ended (PCI Express ATS, VT-d 4.3).
 */
export class OwedInvalidations {
  readonly #complete: (sourceId: number) => void;
  #nextTicket = 0;
  /** Accesses under way, the oldest first: ticket, and ticket of the remapper. */
  readonly #running = new Map<number, number>();
  /** Who is to complete, and the first ticket that came after the invalidation. */
  readonly #owed: { readonly sourceId: number; readonly fence: number }[] = [];

  /** `complete` is called for each invalidation. */
  constructor(complete: (sourceId: number) => void) {
    this.#complete = complete;
  }

  /** Number of invalidations without a completion. */
  get count(): number {
    return this.#owed.length;
  }

  /** An access begins, with a ticket of the remapper; returns its own. */
  enter(inner: number): number {
    const ticket = this.#nextTicket++;
    this.#running.set(ticket, inner);
    return ticket;
  }

  /** An access ends; returns the ticket of the remapper. `settle` is to follow. */
  leave(ticket: number): number {
    const inner = this.#running.get(ticket);
    if (inner === undefined) {
      throw new ViommuError(
        "ERR_VIOMMU_TICKET",
        `no access with ticket ${ticket} is in flight; call leave() once for each enter()`,
      );
    }
    this.#running.delete(ticket);
    return inner;
  }

  /** An invalidation came; true when it has to wait. */
  owe(sourceId: number): boolean {
    if (this.#running.size === 0) return false;
    this.#owed.push({ sourceId, fence: this.#nextTicket });
    return true;
  }

  /** Completes the invalidations whose accesses have all ended. */
  settle(): void {
    while (this.#owed.length > 0 && this.#oldest() >= this.#owed[0]!.fence) {
      this.#complete(this.#owed.shift()!.sourceId);
    }
  }

  /** Forgets the invalidations; accesses go on. */
  reset(): void {
    this.#owed.length = 0;
  }

  /** For a snapshot: the source-ids of the invalidations without a completion. */
  save(): number[] {
    return this.#owed.map(({ sourceId }) => sourceId);
  }

  /** Takes back what `save` gave; the accesses are no more. */
  restore(sourceIds: readonly number[]): void {
    this.reset();
    for (const sourceId of sourceIds) this.#owed.push({ sourceId, fence: 0 });
  }

  #oldest(): number {
    for (const ticket of this.#running.keys()) return ticket;
    return Infinity;
  }
}
