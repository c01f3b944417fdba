import { ViommuError } from "./errors.ts";

/**
 * Accesses that go on after their translation: an invalidation is reported as complete only when
 * those begun before it have ended (VT-d 6.5.4, draining). For authors of a `DmaRemapper`: it is
 * what `enter` and `leave` of the port ask for.
 *
 * A ticket is the number of the generation in which the access began. A fence is the number of the
 * last generation that must have ended.
 */
export class InFlight {
  /** Called when the accesses of the oldest generation have all ended: some fence may be drained. */
  onDrained: (() => void) | null = null;
  private generation = 0;
  /** Accesses under way by generation; the oldest generation comes first. */
  private readonly running = new Map<number, number>();

  /** An access begins; returns its ticket. */
  enter(): number {
    this.running.set(this.generation, (this.running.get(this.generation) ?? 0) + 1);
    return this.generation;
  }

  /** An access ends. Throws ERR_VIOMMU_TICKET for a ticket that is not in use. */
  leave(ticket: number): void {
    const count = this.running.get(ticket);
    if (count === undefined) {
      throw new ViommuError(
        "ERR_VIOMMU_TICKET",
        `no access with ticket ${ticket} is in flight; call leave() once for each enter()`,
      );
    }
    if (count > 1) {
      this.running.set(ticket, count - 1);
      return;
    }
    const oldest = this.oldest() === ticket;
    this.running.delete(ticket);
    if (oldest) this.onDrained?.();
  }

  /** The fence behind all accesses begun so far. */
  mark(): number {
    // a generation without accesses need not be closed
    if (!this.running.has(this.generation)) return this.generation - 1;
    this.generation += 1;
    return this.generation - 1;
  }

  /** Whether all accesses before the fence have ended. */
  drained(fence: number): boolean {
    return this.oldest() > fence;
  }

  private oldest(): number {
    for (const generation of this.running.keys()) return generation;
    return Infinity;
  }
}
