import type { InFlight } from "@viommu/plugin";

/** Who waits for accesses in flight to end (VT-d 6.5.4). */
export class InFlightFences {
  private readonly inFlight: InFlight;
  private waiting: { readonly fence: number; readonly done: (this: void) => void }[] = [];

  constructor(inFlight: InFlight) {
    this.inFlight = inFlight;
    inFlight.onDrained = () => {
      this.tell();
    };
  }

  /** As {@link PhysicalIommu.drain}. */
  drain(done: (this: void) => void): boolean {
    const fence = this.inFlight.mark();
    if (this.inFlight.drained(fence)) return true;
    this.waiting.push({ fence, done });
    return false;
  }

  private tell(): void {
    const over = this.waiting.filter(({ fence }) => this.inFlight.drained(fence));
    this.waiting = this.waiting.filter(({ fence }) => !this.inFlight.drained(fence));
    for (const { done } of over) done();
  }
}
