import { ViommuError } from "@viommu/plugin";

/**
 * The accesses of a device model that go on after their translation. A ticket is the generation in
 * which an access began; closing the generation separates what began before an invalidation from
 * what begins after it.
 */
export class AccessDrain {
  #generation = 0;
  /** Accesses under way by generation; the oldest comes first. */
  readonly #running = new Map<number, number>();

  /** An access begins; returns its ticket. */
  enter(): number {
    this.#running.set(this.#generation, (this.#running.get(this.#generation) ?? 0) + 1);
    return this.#generation;
  }

  /** An access ends. Throws ERR_VIOMMU_TICKET for a ticket that is not in use. */
  leave(ticket: number): void {
    const count = this.#running.get(ticket);
    if (count === undefined) {
      throw new ViommuError(
        "ERR_VIOMMU_TICKET",
        `no access with ticket ${ticket} is in flight; call leave() once for each enter()`,
      );
    }
    if (count > 1) this.#running.set(ticket, count - 1);
    else this.#running.delete(ticket);
  }

  /** Closes the generation; returns the last one that has to end. */
  close(): number {
    if (this.#running.has(this.#generation)) this.#generation += 1;
    return this.#generation - 1;
  }

  /** Whether all accesses up to this generation have ended. */
  isOver(generation: number): boolean {
    for (const oldest of this.#running.keys()) return oldest > generation;
    return true;
  }
}
