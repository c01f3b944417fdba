import type { UnflushedState } from "./driver-state.ts";
import type { PageRights } from "./permission-counts.ts";

/** Something unmapped whose translation a unit may still have cached. */
export interface Unflushed {
  /** I/O virtual page numbers. */
  readonly first: number;
  readonly count: number;
  /** Tables that dropped out with it. */
  readonly retired: readonly number[];
  /** Host pages behind it that devices were permitted to reach. */
  readonly permitted: readonly PageRights[];
}

/**
 * What waits for the next flush of a domain: lazy unmapping collects it, and one invalidation of the
 * whole domain serves all of it. Until then devices may still reach the old pages.
 */
export class FlushQueue {
  readonly #threshold: number;
  #waiting: Unflushed[] = [];

  constructor(threshold: number) {
    this.#threshold = threshold;
  }

  /** Adds an entry; true when it is time to flush. */
  add(entry: Unflushed): boolean {
    this.#waiting.push(entry);
    return this.#waiting.length >= this.#threshold;
  }

  /** Everything that waits, and nothing does any more. */
  take(): readonly Unflushed[] {
    const taken = this.#waiting;
    this.#waiting = [];
    return taken;
  }

  save(): UnflushedState[] {
    return this.#waiting.map(({ first, count, retired, permitted }) => [
      first,
      count,
      retired,
      permitted.map(({ page, count: pages, access }) => [page, pages, access]),
    ]);
  }

  restore(state: readonly UnflushedState[]): void {
    this.#waiting = state.map(([first, count, retired, permitted]) => ({
      first,
      count,
      retired,
      permitted: permitted.map(([page, pages, access]) => ({ page, count: pages, access })),
    }));
  }
}
