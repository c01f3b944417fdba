/** A {@link FreeRanges}: first number of each free run and the number after it, in turn. */
export type RangesState = readonly number[];

/** An invalidation queue. */
export interface QueueState {
  readonly tail: number;
  readonly silentDevices: readonly number[];
  readonly counters: Readonly<Record<string, number>>;
}

/** The driver of one unit. */
export interface UnitState {
  readonly running: boolean;
  readonly domainIds: RangesState;
  /** Free entries of the interrupt remapping table; null without one. */
  readonly interrupts: RangesState | null;
  readonly queue: QueueState | null;
  readonly faults: Readonly<Record<string, number>>;
}

/** What waits for a flush: first page, number of pages, and the tables that dropped out. */
export type UnflushedState = readonly [first: number, count: number, retired: readonly number[]];

/** A domain. Its tables are in guest memory. */
export interface DomainState {
  readonly free: RangesState;
  /** First page and number of pages of each mapping. */
  readonly allocated: readonly (readonly [first: number, count: number])[];
  readonly unflushed: readonly UnflushedState[];
  readonly identities: readonly string[];
  readonly counters: Readonly<Record<string, number>>;
}

/**
 * Everything that a driver knows and guest memory does not: plain numbers and texts, which JSON
 * carries. The objects themselves (units, domains, interrupt blocks) are not in it: it goes back into
 * a driver that was started in the same way, and `layout` tells whether it was.
 */
export interface DriverState {
  /** Where tables and queues lie, and which device is in which domain. */
  readonly layout: string;
  readonly running: boolean;
  readonly pages: { readonly used: number; readonly free: RangesState };
  readonly units: readonly UnitState[];
  /** In the order in which devices were attached. */
  readonly domains: readonly DomainState[];
}
