import { PQA, PQH, PQT, PRS, ResponseCode } from "@viommu/vtd-spec";
import type { PageRequestState } from "./driver-state.ts";
import type { InvalidationQueue } from "./invalidation-queue.ts";
import type { InvalidationOf, InvalidationRequest } from "./invalidation.ts";
import type { PageAllocator } from "./page-allocator.ts";
import { decodeRequest, PageRequestGroups } from "./page-request-groups.ts";
import type { CompleteGroup } from "./page-request-groups.ts";
import type { RegisterWindow } from "./register-window.ts";
import type { TableMemory } from "./table-memory.ts";

/** What a guest makes of a group of page requests (VT-d 7.6.1). */
export type PageResponse =
  /** All pages are there. */
  | "success"
  /** Some page is not to be had: the device gives the access up. */
  | "invalid"
  /** Something is broken: the device asks for no more pages at all. */
  | "failure";

/** What a look at the page request queues has brought. */
export interface PageRequestReport {
  /** Groups that were answered. */
  readonly groups: number;
  /** Requests were lost: their devices were told so, and ask again. */
  readonly overflow: boolean;
}

/** What a page request queue works with. */
export interface PageRequestParts {
  readonly registers: RegisterWindow;
  readonly memory: TableMemory;
  readonly pages: PageAllocator;
  readonly queue: InvalidationQueue;
  /** log2 of its pages, 0 to 7. */
  readonly order: number;
  readonly answer: (group: CompleteGroup) => PageResponse;
}

const ENTRY_BYTES = 32;
/** 2^(PQS + 7) entries (VT-d 11.4.11.3). */
const SLOTS_OF_A_PAGE = 128;
/** A drain is repeated when the queue has overflowed meanwhile. */
const MOST_DRAINS = 16;

const CODES = {
  success: ResponseCode.SUCCESS,
  invalid: ResponseCode.INVALID_REQUEST,
  failure: ResponseCode.RESPONSE_FAILURE,
} as const;

/** The page request queue of one unit, from the side of software (VT-d 7.4 to 7.8). */
export class PageRequestQueue {
  readonly counters = { requests: 0, groups: 0, overflows: 0 };
  readonly #parts: PageRequestParts;
  readonly #ring: number;
  readonly #slots: number;
  readonly #groups = new PageRequestGroups();
  readonly #words = new Int32Array(ENTRY_BYTES / 4);
  /** Answers that the unit has not got yet. */
  #responses: InvalidationOf<"page-response">[] = [];
  #head = 0;

  constructor(parts: PageRequestParts) {
    this.#parts = parts;
    this.#ring = parts.pages.allocate(2 ** parts.order);
    this.#slots = SLOTS_OF_A_PAGE * 2 ** parts.order;
  }

  /** Gives the queue to the unit, empty (VT-d 11.4.11). */
  enable(): void {
    const { registers, order } = this.#parts;
    this.#groups.discard();
    this.#head = 0;
    registers.write(PQH, { PQH: 0 });
    registers.write(PQT, { PQT: 0 });
    registers.write(PQA, { PQA: this.#ring, PQS: order });
    // of a predecessor
    const { PPR, PRO } = registers.read(PRS);
    if ((PPR | PRO) !== 0n) registers.write(PRS, { PPR, PRO });
  }

  /**
   * Answers what is in the queue, one round of it: what comes meanwhile raises a new event. An answer
   * function may call this driver, also to unbind what the requests are for.
   */
  service(): PageRequestReport {
    const { registers } = this.#parts;
    const { groups } = this.counters;
    // first, so that a request which comes after the look at the tail raises a new event
    registers.write(PRS, { PPR: 1 });
    try {
      this.#handleRound();
      return { overflow: this.#endOverflow(), groups: this.counters.groups - groups };
    } finally {
      this.#respond();
    }
  }

  /**
   * To be called when a device's PASID has been unbound: on return no request of it is in the queue,
   * and none comes any more. `requests`: the invalidation of its IOTLB and device-TLB (VT-d 7.10).
   */
  drain(sourceId: number, pasid: number | null, requests: readonly InvalidationRequest[]): void {
    this.#respond();
    this.service();
    for (let i = 0; i < MOST_DRAINS; i += 1) {
      this.#parts.queue.drainPageRequests(requests);
      if (!this.service().overflow) break;
    }
    this.#groups.forget(sourceId, pasid);
  }

  /** Address of the ring. */
  get place(): number {
    return this.#ring;
  }

  save(): PageRequestState {
    return { head: this.#head, held: this.#groups.save(), counters: { ...this.counters } };
  }

  restore({ head, held, counters }: PageRequestState): void {
    this.#head = head;
    this.#groups.restore(held);
    Object.assign(this.counters, counters);
  }

  #handleRound(): void {
    for (let i = 0; i < this.#slots && this.#takeRequest(); i += 1);
  }

  /** Moves the head before it looks for an answer, which may come back here. False: the queue is empty. */
  #takeRequest(): boolean {
    const { registers, memory, answer } = this.#parts;
    if (Number(registers.read(PQT).PQT) % this.#slots === this.#head) return false;
    const request = decodeRequest(memory.read(this.#ring + this.#head * ENTRY_BYTES, this.#words));
    this.#head = (this.#head + 1) % this.#slots;
    registers.write(PQH, { PQH: this.#head });
    this.counters.requests += 1;
    const complete = this.#groups.add(request);
    if (complete === null) return true;
    this.counters.groups += 1;
    const { sourceId, pasid, group } = complete;
    const code = CODES[answer(complete)];
    this.#responses.push({ cache: "page-response", sourceId, pasid, group, code });
    return true;
  }

  /**
   * While PRO is set nothing is queued, and the unit answers for itself: what it lost may have been
   * part of any group. Once the queue is empty, all groups begin anew.
   */
  #endOverflow(): boolean {
    const { registers } = this.#parts;
    if (registers.read(PRS).PRO === 0n) return false;
    this.#handleRound();
    this.#groups.discard();
    registers.write(PRS, { PRO: 1 });
    this.counters.overflows += 1;
    return true;
  }

  #respond(): void {
    const responses = this.#responses;
    this.#responses = [];
    if (responses.length > 0) this.#parts.queue.run(responses);
  }
}
