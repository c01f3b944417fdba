/** How long the driver waits for a unit, and what the host does meanwhile. */
export interface Polling {
  /** Looks at a register or status word before giving up. */
  readonly limit: number;
  /** Called between two looks: a host runs pending work of its units here. */
  readonly poll: () => void;
}

/** Looks until `done` says so; false when it has not within the limit. */
export function pollUntil(polling: Polling, done: () => boolean): boolean {
  for (let look = 1; look < polling.limit; look += 1) {
    if (done()) return true;
    polling.poll();
  }
  return done();
}
