import { interruptIndex, isRemappable } from "@viommu/interrupt-remapping";
import { InterruptRequest, ViommuError } from "@viommu/plugin";
import type { InterruptTarget, PhysicalIommu } from "@viommu/plugin";
import type { GuestIommuCounters } from "./counters.ts";
import type { GuestUnit } from "./guest-unit.ts";

/** A message that a guest has programmed into a passed-through device. */
export interface GuestMessage {
  /** Bits 31:0 and 63:32 of the address, and the data. */
  readonly address: number;
  readonly upper: number;
  readonly data: number;
}

/** Where the posted-interrupt descriptor of a virtual processor lies. */
export interface PostedTarget {
  /** Host address divided by 64. */
  readonly descriptor: number;
  /** Notify at once, even while the descriptor suppresses notifications. */
  readonly urgent: boolean;
}

/**
 * Finds the virtual processor with this 32-bit APIC id (or logical destination); null when there is
 * no one descriptor for it. The notification vector is in the descriptor, which is the host's.
 */
export type PostedLookup = (
  this: void,
  destination: number,
  logical: boolean,
) => PostedTarget | null;

interface BoundInterrupt {
  readonly handle: number;
  readonly sourceId: number;
  readonly virtualSourceId: number;
  readonly unit: GuestUnit;
  message: GuestMessage;
}

/** Number of entries in an invalidation of all of them. */
const ALL_ENTRIES = 65536;
const FIXED = 0;
const LOWEST_PRIORITY = 1;

/**
 * Interrupts of passed-through devices: for each message of a guest an entry of the host, which says
 * what the guest's entry says. A guest writes its entries untrapped, so they are read again when it
 * invalidates them.
 */
export class GuestInterrupts {
  readonly #physical: PhysicalIommu;
  readonly #posted: PostedLookup | null;
  readonly #counters: GuestIommuCounters;
  readonly #bound = new Map<number, BoundInterrupt>();

  constructor(physical: PhysicalIommu, posted: PostedLookup | null, counters: GuestIommuCounters) {
    this.#physical = physical;
    this.#posted = physical.info.posting ? posted : null;
    this.#counters = counters;
  }

  /** Number of messages bound. */
  get count(): number {
    return this.#bound.size;
  }

  /** Takes an entry of the host for a message; returns its handle. */
  bind(sourceId: number, virtualSourceId: number, unit: GuestUnit, message: GuestMessage): number {
    const handle = this.#physical.interrupts.allocate(sourceId);
    const bound = { handle, sourceId, virtualSourceId, unit, message };
    this.#bound.set(handle, bound);
    this.#program(bound);
    return handle;
  }

  /** The guest has written another message. */
  change(handle: number, message: GuestMessage): void {
    const bound = this.#get(handle);
    bound.message = message;
    this.#program(bound);
  }

  /** Gives the entry back. */
  unbind(handle: number): void {
    this.#get(handle);
    this.#bound.delete(handle);
    this.#physical.interrupts.free(handle);
  }

  /** Gives all entries of a device back. */
  unbindDevice(sourceId: number): void {
    for (const bound of [...this.#bound.values()]) {
      if (bound.sourceId === sourceId) this.unbind(bound.handle);
    }
  }

  /** The guest has invalidated `count` entries of a unit from `index` on. */
  invalidated(unit: GuestUnit, index: number, count: number): void {
    for (const bound of this.#bound.values()) {
      if (bound.unit !== unit || !names(bound, index, count)) continue;
      this.#counters.interruptRebinds += 1;
      this.#program(bound);
    }
  }

  /** Remapping was switched, or another table is in effect. */
  modeChanged(unit: GuestUnit): void {
    for (const bound of this.#bound.values()) {
      if (bound.unit !== unit) continue;
      this.#counters.interruptRebinds += 1;
      this.#program(bound);
    }
  }

  /** The host blocked an interrupt. True: the guest's entry is why, and its fault log has it. */
  fault(handle: number): boolean {
    const bound = this.#bound.get(handle);
    if (bound === undefined) return false;
    const request = requestOf(bound);
    if (bound.unit.interrupts.probe(request) <= 0) return false;
    bound.unit.interrupts.remap(request);
    return true;
  }

  #get(handle: number): BoundInterrupt {
    const bound = this.#bound.get(handle);
    if (bound !== undefined) return bound;
    throw new ViommuError(
      "ERR_VIOMMU_ASSIGN",
      `no interrupt of this guest has handle ${handle}; use what bindInterrupt returned`,
    );
  }

  #program(bound: BoundInterrupt): void {
    const request = requestOf(bound);
    const isDelivered = bound.unit.interrupts.probe(request) === 0;
    this.#physical.interrupts.program(bound.handle, isDelivered ? this.#target(request) : null);
  }

  #target(request: InterruptRequest): InterruptTarget {
    const { messageAddress, messageData, messageUpper } = request;
    const destination = ((messageUpper & 0xffff_ff00) | ((messageAddress >>> 12) & 0xff)) >>> 0;
    const logical = (messageAddress & (1 << 2)) !== 0;
    const vector = messageData & 0xff;
    const deliveryMode = (messageData >>> 8) & 7;
    const levelTriggered = (messageData & (1 << 15)) !== 0;
    if (this.#posted !== null && isPostable(deliveryMode, levelTriggered)) {
      const posted = this.#posted(destination, logical);
      if (posted !== null) return { kind: "posted", vector, ...posted };
    }
    const redirectionHint = (messageAddress & (1 << 3)) !== 0;
    return {
      kind: "remapped",
      vector,
      destination,
      logical,
      redirectionHint,
      deliveryMode,
      levelTriggered,
    };
  }
}

/** Posting knows vectors only, and makes every interrupt edge-triggered (VT-d 5.2.3). */
function isPostable(deliveryMode: number, levelTriggered: boolean): boolean {
  return !levelTriggered && (deliveryMode === FIXED || deliveryMode === LOWEST_PRIORITY);
}

/** Whether the message goes through one of the entries. */
function names({ message }: BoundInterrupt, index: number, count: number): boolean {
  if (!isRemappable(message.address)) return false;
  if (count >= ALL_ENTRIES) return true;
  const entry = interruptIndex(message.address, message.data);
  return entry >= index && entry < index + count;
}

function requestOf({ message, virtualSourceId }: BoundInterrupt): InterruptRequest {
  const request = new InterruptRequest();
  request.sourceId = virtualSourceId;
  request.address = message.address;
  request.upper = message.upper;
  request.data = message.data;
  return request;
}
