import { createAtc, createDmaPort, PageResponse } from "@viommu/memory";
import type {
  AnsweredGroup,
  Atc,
  AtcEndpoint,
  AtcRouter,
  DmaPort,
  TranslationAgent,
} from "@viommu/memory";
import {
  Access,
  AddressType,
  DmaRequest,
  hiFromNumber,
  loFromNumber,
  NO_PASID,
  toNumber,
} from "@viommu/plugin";
import type { DmaRemapper, GuestMemory, PageRequest } from "@viommu/plugin";
import { PageRequestResult } from "@viommu/vtd";
import type { VtdUnit } from "@viommu/vtd";
import { mix } from "../random.ts";

const PAGE = 4096;
/** Pages among which forged addresses are. */
const NEAR = 512;

/** What went between a device with a translation cache and its unit. */
export interface ProcessAccessCounters {
  /** Accesses with a cached translation, and with one that was asked for. */
  hits: number;
  misses: number;
  /** Invalidations of the cache. */
  invalidations: number;
  /** Page requests, and their groups. */
  pageRequests: number;
  groups: number;
  /** Page requests that reached the queue of the unit, and that were lost as it was full. */
  queued: number;
  overflowed: number;
  /** Answers to groups: the pages may be there, they are not to be had. */
  succeeded: number;
  refused: number;
  /** Translated requests that the unit let through. */
  translated: number;
  /** Those with an address that was made up, and how many of them the unit has blocked. */
  forged: number;
  forgedBlocked: number;
}

/** A saved {@link ProcessAccess}. */
export interface ProcessAccessState {
  readonly atc: readonly number[];
  readonly counters: ProcessAccessCounters;
  readonly highest: number;
}

/** What a {@link ProcessAccess} is made of. */
export interface ProcessAccessOptions {
  readonly memory: GuestMemory;
  readonly unit: VtdUnit;
  /** The way back from the unit. */
  readonly router: AtcRouter;
  readonly sourceId: number;
  /** Entries of the cache, a power of two. */
  readonly translations: number;
  /** Groups of page requests without an answer, at most. */
  readonly groups: number;
}

/**
 * A device's way to the memory of processes, by PASID: through a translation cache of its own that
 * asks for pages which are not there.
 */
export class ProcessAccess {
  readonly counters: ProcessAccessCounters = {
    hits: 0,
    misses: 0,
    invalidations: 0,
    pageRequests: 0,
    groups: 0,
    queued: 0,
    overflowed: 0,
    succeeded: 0,
    refused: 0,
    translated: 0,
    forged: 0,
    forgedBlocked: 0,
  };
  /** A group was answered; may come in the middle of an access. */
  onAnswer: (group: AnsweredGroup) => void = () => undefined;
  /** The unit has answered a forged request for a page: 0, or the fault reason. */
  onForged: (page: number, access: number, result: number) => void = () => undefined;
  /** A forged request is under way. */
  forging = false;
  readonly #memory: GuestMemory;
  readonly #sourceId: number;
  readonly #atc: Atc;
  readonly #unit: DmaRemapper;
  readonly #wire = new DmaRequest();
  /** The highest page that it was told of. */
  #highest = 0;

  constructor(options: ProcessAccessOptions) {
    const { memory, unit, router, sourceId, translations, groups } = options;
    this.#memory = memory;
    this.#sourceId = sourceId;
    this.#unit = unit.dma;
    this.#atc = createAtc({
      remapper: this.#counted(unit.dma),
      agent: this.#agentOf(unit),
      entries: translations,
      pageRequests: {
        groups,
        answered: (group) => {
          this.onAnswer(group);
        },
      },
    });
    router.attach(sourceId, this.#endpoint());
  }

  /** Groups of page requests without an answer. */
  get outstanding(): number {
    return this.#atc.pending.groups;
  }

  /** The memory of a process. */
  port(pasid: number): DmaPort {
    return createDmaPort({
      memory: this.#memory,
      remapper: this.#atc,
      sourceId: this.#sourceId,
      pasid,
    });
  }

  /** Asks for pages in one group, if it can ask now. */
  ask(pasid: number, address: number, pages: number, access: number): void {
    const hi = hiFromNumber(address);
    const lo = loFromNumber(address);
    this.#atc.requestPages({ sourceId: this.#sourceId, pasid, hi, lo, pages, access });
  }

  /** Sends a request that it calls translated, for a page that it has made up: one near its own. */
  forge(): void {
    const { counters } = this;
    const choice = mix(this.#sourceId, counters.forged) >>> 0;
    const page = (this.#highest - (choice % Math.min(NEAR, this.#highest + 1))) * PAGE;
    const access = choice >>> 31 === 0 ? Access.READ : Access.WRITE;
    const addressType = AddressType.TRANSLATED;
    const [hi, lo] = [hiFromNumber(page), loFromNumber(page)];
    this.forging = true;
    const request = { sourceId: this.#sourceId, pasid: NO_PASID, addressType, access, hi, lo };
    const result = this.#unit.translate(Object.assign(this.#wire, request));
    this.forging = false;
    counters.forged += 1;
    if (result !== 0) counters.forgedBlocked += 1;
    this.onForged(page, access, result);
  }

  /** Without its translations: they are asked for again. */
  save(): ProcessAccessState {
    return {
      atc: [...this.#atc.save()],
      counters: { ...this.counters },
      highest: this.#highest,
    };
  }

  restore({ atc, counters, highest }: ProcessAccessState): void {
    this.#atc.restore(Int32Array.from(atc));
    Object.assign(this.counters, counters);
    this.#highest = highest;
  }

  #agentOf(unit: VtdUnit): TranslationAgent {
    const { counters } = this;
    return {
      deviceTlbCompleted: (sourceId) => {
        unit.deviceTlbCompleted(sourceId);
      },
      pageRequest: (request: PageRequest) => {
        counters.pageRequests += 1;
        if (request.last) counters.groups += 1;
        const result = unit.pageRequest(request);
        if (result === PageRequestResult.QUEUED) counters.queued += 1;
        if (result === PageRequestResult.OVERFLOW) counters.overflowed += 1;
      },
    };
  }

  #endpoint(): AtcEndpoint {
    const { counters } = this;
    return {
      invalidate: (...invalidation) => {
        counters.invalidations += 1;
        return this.#atc.invalidate(...invalidation);
      },
      respond: (sourceId, pasid, group, code) => {
        if (!this.#atc.respond(sourceId, pasid, group, code)) return;
        if (code === PageResponse.SUCCESS) counters.succeeded += 1;
        else counters.refused += 1;
      },
    };
  }

  /** The unit behind the cache: a translated request is a hit unless its translation was just asked for. */
  #counted(unit: DmaRemapper): DmaRemapper {
    const { counters } = this;
    let fresh = false;
    return {
      segment: unit.segment,
      translate: (request: DmaRequest) => {
        const { addressType, access } = request;
        const result = unit.translate(request);
        if (addressType === AddressType.TRANSLATION_REQUEST) {
          counters.misses += 1;
          const needed = access & Access.ATOMIC;
          fresh = result === 0 && (needed & ~request.granted) === 0;
          return result;
        }
        if (fresh) fresh = false;
        else counters.hits += 1;
        if (result === 0) {
          counters.translated += 1;
          const page = Math.floor(toNumber(request.outHi, request.outLo) / PAGE);
          this.#highest = Math.max(this.#highest, page);
        }
        return result;
      },
      probe: (request) => unit.probe(request),
      enter: () => unit.enter(),
      leave: (ticket) => {
        unit.leave(ticket);
      },
    };
  }
}
