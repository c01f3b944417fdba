import type { PermissionState } from "./permission-counts.ts";

/** A {@link FreeRanges}: first number of each free run and the number after it, in turn. */
export type RangesState = readonly number[];

/** An invalidation queue. */
export interface QueueState {
  readonly tail: number;
  readonly silentDevices: readonly number[];
  readonly counters: Readonly<Record<string, number>>;
}

/** A page request queue; requests in `held` wait for the last one of their group. */
export interface PageRequestState {
  readonly head: number;
  readonly held: readonly {
    readonly key: string;
    readonly group: number;
    readonly pages: readonly { readonly address: number; readonly access: number }[];
  }[];
  readonly counters: Readonly<Record<string, number>>;
}

/** PASIDs given out, those whose process has ended, and pages that processes may reach. */
export interface PasidState {
  readonly allocated: readonly number[];
  readonly ended: readonly number[];
  readonly permitted: readonly (readonly [pasid: number, counts: PermissionState])[];
}

/** The host permission tables of a unit's devices; the tables are in guest memory. */
export interface HostPermissionState {
  readonly ids: RangesState;
  readonly devices: readonly (readonly [sourceId: number, counts: PermissionState])[];
}

/** The driver of one unit. */
export interface UnitState {
  readonly running: boolean;
  readonly domainIds: RangesState;
  readonly permissions: HostPermissionState;
  /** Free entries of the interrupt remapping table; null without one. */
  readonly interrupts: RangesState | null;
  readonly queue: QueueState | null;
  readonly pageRequests: PageRequestState | null;
  readonly faults: Readonly<Record<string, number>>;
}

/**
 * What waits for a flush: first page, number of pages, the tables that dropped out, and first page,
 * number of pages and access of what is not permitted from then on.
 */
export type UnflushedState = readonly [
  first: number,
  count: number,
  retired: readonly number[],
  permitted: readonly (readonly [page: number, count: number, access: number])[],
];

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
  /** Where tables and queues lie, and which requests of which device are in which domain or process. */
  readonly layout: string;
  readonly running: boolean;
  readonly pages: { readonly used: number; readonly free: RangesState };
  readonly units: readonly UnitState[];
  /** In the order in which devices were attached. */
  readonly domains: readonly DomainState[];
  readonly pasids: PasidState;
}
