import type { DmaRequest } from "./ports/dma.ts";
import type { InterruptRequest } from "./ports/interrupt.ts";
import type { FaultRecord, Invalidation, ModeChange, PageRequest } from "./events.ts";

/**
 * Everything that can be observed, on one screen. Observers sit on the edges of a unit (miss, fault,
 * invalidation, register, delivery), never on a translation hit. `unit` is the name of the unit that
 * reports. Objects are valid during the call only.
 */
export interface Hooks {
  /** The machine was reset. */
  reset: (this: void) => void;
  /** A guest wrote a register; called before the write takes effect. */
  registerWrite: (
    this: void,
    unit: string,
    offset: number,
    size: number,
    low: number,
    high: number,
  ) => void;
  /** A translation was not in the IOTLB; called with the answer. */
  translateMiss: (this: void, unit: string, request: DmaRequest, result: number) => void;
  /** A request was blocked, whether or not the fault log had room for it. */
  fault: (this: void, unit: string, record: FaultRecord) => void;
  /** Cached translations or interrupt entries were invalidated. */
  invalidate: (this: void, unit: string, what: Invalidation) => void;
  /** Translation or remapping was switched, or a table pointer latched: all answers may differ now. */
  modeChange: (this: void, unit: string, mode: ModeChange) => void;
  /** An interrupt request was answered with a message to deliver. */
  interruptDelivery: (this: void, unit: string, request: InterruptRequest) => void;
  /** A device asked for a page. */
  pageRequest: (this: void, unit: string, request: PageRequest) => void;
  /** A guest access left work over: call {@link PendingWork.run} soon. */
  workPending: (this: void, unit: string) => void;
}

/** Each hook is one function or null. Emitters read the field and call it: nothing is looked up. */
export type HookTable = { [K in keyof Hooks]: Hooks[K] | null };

/** A table with nobody listening, for a unit used on its own. */
export function createHookTable(): HookTable {
  return {
    reset: null,
    registerWrite: null,
    translateMiss: null,
    fault: null,
    invalidate: null,
    modeChange: null,
    interruptDelivery: null,
    pageRequest: null,
    workPending: null,
  };
}

/** One function that calls `first`, then `second`; with either missing, the other one itself. */
export function both<A extends unknown[]>(
  first: ((this: void, ...args: A) => void) | null,
  second: (this: void, ...args: A) => void,
): (this: void, ...args: A) => void {
  if (first === null) return second;
  return (...args) => {
    first(...args);
    second(...args);
  };
}
