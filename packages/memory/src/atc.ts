import { Access, AddressType, ALL_PASIDS, DmaRequest, NO_PASID, ViommuError } from "@viommu/plugin";
import type { DmaRemapper, PageRequest } from "@viommu/plugin";
import { CachedTranslations, ownerOf } from "./cached-translations.ts";
import type { Translation } from "./cached-translations.ts";
import { OwedInvalidations } from "./owed-invalidations.ts";
import { PageRequestGroups, PageResponse, Sent } from "./page-request-groups.ts";
import type { AnsweredGroup, PageNeed } from "./page-request-groups.ts";

/** Results of a DMA through an {@link Atc} that are no fault reason; 0, -1 and -2 as for any port. */
export const AtcResult = {
  /**
   * A page is not there and has been asked for (or no group was free to ask with). Do the access
   * again when its group has been answered; that may be so already.
   */
  PAGE_REQUESTED: -3,
  /** The translation gives no such right, and no page request helps. Nothing has been recorded. */
  NO_PERMISSION: -4,
} as const;

const RIGHTS = Access.READ | Access.WRITE;
const NEEDS = RIGHTS | Access.EXECUTE;
const DEFAULT_ENTRIES = 256;
/** An invalidation looks at every entry. */
const MAX_ENTRIES = 65_536;
const DEFAULT_GROUPS = 32;

/** What a device with an ATC calls besides translating, as the unit of `@viommu/vtd` has it. */
export interface TranslationAgent {
  /** The device has completed an invalidation that it had answered "pending". */
  deviceTlbCompleted(sourceId: number): void;
  /** The device asks for a page. */
  pageRequest(request: PageRequest): unknown;
}

/** What an {@link Atc} is made of. */
export interface AtcOptions {
  readonly remapper: DmaRemapper;
  readonly agent: TranslationAgent;
  /** Translations that are kept, a power of two up to 65536; 256 unless given. */
  readonly entries?: number;
  /** Makes page requests (PRI) where a page is not there; without it, the access fails. */
  readonly pageRequests?: {
    /** Groups that may be without an answer, up to 512; 32 unless given. */
    readonly groups?: number;
    /**
     * Software has answered a group: do again what waited for it, or give it up. It may be called
     * inside `translate` or `requestPages`: note what is to be done, and do it afterwards.
     */
    readonly answered?: (this: void, group: AnsweredGroup) => void;
  };
}

/** Gives a device an address translation cache. Throws ERR_VIOMMU_ATC on impossible options. */
export function createAtc(options: AtcOptions): Atc {
  return new Atc(options);
}

/**
 * The address translation cache of one PCI function (PCI Express ATS; VT-d 4): a remapper in front of
 * the unit's. Untranslated requests that come in go out as translated requests, with translations
 * that were asked for before. It takes the invalidations of its device and the answers to its page
 * requests.
 *
 * Nothing is kept of an answer without rights, nor of one that says that the address may only be used
 * untranslated (U = 1), or is not translated at all.
 */
export class Atc implements DmaRemapper {
  readonly #remapper: DmaRemapper;
  readonly #inFlight: OwedInvalidations;
  readonly #cache: CachedTranslations;
  readonly #groups: PageRequestGroups | null;
  readonly #wire = new DmaRequest();
  #enabled = true;
  /** Counts invalidations. */
  #epoch = 0;

  /** Called by {@link createAtc}. */
  constructor(options: AtcOptions) {
    const { remapper, agent, entries = DEFAULT_ENTRIES, pageRequests } = options;
    if (!(entries >= 1 && entries <= MAX_ENTRIES) || Math.log2(entries) % 1 !== 0) {
      refuse(`entries is ${entries}; give a power of two up to ${MAX_ENTRIES}`);
    }
    const { groups = DEFAULT_GROUPS } = pageRequests ?? {};
    if (!Number.isInteger(groups) || groups < 1 || groups > 512) {
      refuse(`groups is ${groups}; give 1 to 512`);
    }
    this.#remapper = remapper;
    this.#inFlight = new OwedInvalidations((sourceId) => {
      agent.deviceTlbCompleted(sourceId);
    });
    this.#cache = new CachedTranslations(entries);
    this.#groups =
      pageRequests === undefined
        ? null
        : new PageRequestGroups(
            groups,
            (request) => agent.pageRequest(request),
            pageRequests.answered,
          );
  }

  get segment(): number {
    return this.#remapper.segment;
  }

  /** ATS Enable of the device; on at first. Off, requests go out as they come. */
  get enabled(): boolean {
    return this.#enabled;
  }

  set enabled(on: boolean) {
    this.#enabled = on;
    this.#forget();
  }

  /** Page Request Enable of the device; on at first where it has page requests. */
  get pageRequestsEnabled(): boolean {
    return this.#groups?.enabled ?? false;
  }

  set pageRequestsEnabled(on: boolean) {
    if (this.#groups !== null) this.#groups.enabled = on;
  }

  /** Invalidations that the device has not completed, and groups of page requests without an answer. */
  get pending(): { readonly invalidations: number; readonly groups: number } {
    return { invalidations: this.#inFlight.count, groups: this.#groups?.outstanding ?? 0 };
  }

  // --- requests of the device -------------------------------------------------------------------

  /** As {@link DmaRemapper.translate}, or one of {@link AtcResult}. */
  translate(request: DmaRequest): number {
    if (!this.#enabled || request.addressType !== AddressType.UNTRANSLATED) {
      return this.#remapper.translate(request);
    }
    const result = this.#access(request);
    return result === AtcResult.NO_PERMISSION ? this.#demand(request) : result;
  }

  /** What the remapper would answer without this cache. */
  probe(request: DmaRequest): number {
    return this.#remapper.probe(request);
  }

  enter(): number {
    return this.#inFlight.enter(this.#remapper.enter());
  }

  /** Throws ERR_VIOMMU_TICKET for a ticket that is not in use. */
  leave(ticket: number): void {
    this.#remapper.leave(this.#inFlight.leave(ticket));
    this.settle();
  }

  /**
   * Asks for pages in one group, before the device needs them. False when it can't ask now: page
   * requests are off, or as many groups as may be have no answer.
   */
  requestPages(need: PageNeed): boolean {
    return this.#groups !== null && this.#groups.send(need) !== Sent.NOTHING;
  }

  // --- what comes from the unit -----------------------------------------------------------------

  /**
   * Drops translations: of a PASID, of requests without PASID (NO_PASID), or all (-2), that overlap
   * 2^order 4 KiB pages. "pending" while accesses are under way that may use them; then the
   * completion follows the last of these.
   */
  invalidate(
    sourceId: number,
    pasid: number,
    hi: number,
    lo: number,
    order: number,
  ): "done" | "pending" {
    this.#epoch += 1;
    this.#cache.drop(pasid === ALL_PASIDS ? "all" : pasid, hi, lo, order);
    return this.#inFlight.owe(sourceId) ? "pending" : "done";
  }

  /** A page group response. False when no group of this device waits for it; it is ignored then. */
  respond(sourceId: number, pasid: number, group: number, code: number): boolean {
    return this.#groups?.respond(sourceId, pasid, group, code) ?? false;
  }

  // --- state ------------------------------------------------------------------------------------

  /**
   * Completes the invalidations whose accesses have all ended. To be called by a host only after it
   * has restored unit and device.
   */
  settle(): void {
    this.#inFlight.settle();
  }

  /** Function-level reset. Invalidations under way are never completed: the unit has to time out. */
  reset(): void {
    this.#forget();
    this.#inFlight.reset();
    this.#groups?.reset();
    this.#enabled = true;
  }

  /** The state for the snapshot of the device: no translations, no accesses under way. */
  save(): Int32Array {
    const owed = this.#inFlight.save();
    return Int32Array.of(
      this.#enabled ? 1 : 0,
      owed.length,
      ...owed,
      ...(this.#groups?.save() ?? []),
    );
  }

  /** Takes back what `save` gave. Call {@link settle} when the unit has been restored too. */
  restore(state: Int32Array): void {
    this.reset();
    const [enabled, owed = 0] = state;
    this.#enabled = enabled === 1;
    const groupsAt = 2 + owed;
    this.#inFlight.restore([...state.subarray(2, groupsAt)]);
    this.#groups?.restore([...state.subarray(groupsAt)]);
  }

  /** Asks for a page without whose rights an access can't go on. */
  #demand(request: DmaRequest): number {
    const groups = this.#groups;
    if (!groups?.enabled) return AtcResult.NO_PERMISSION;
    const { sourceId, pasid, hi, lo, access } = request;
    if (groups.covers(sourceId, pasid, hi, lo, access)) return AtcResult.PAGE_REQUESTED;
    const code = groups.send({ sourceId, pasid, hi, lo, pages: 1, access });
    if (code === Sent.OUTSTANDING || code === Sent.NOTHING) return AtcResult.PAGE_REQUESTED;
    if (code !== PageResponse.SUCCESS) return AtcResult.NO_PERMISSION;
    // the answer came at once: by a guest that runs inside the call, or as the queue was full
    const result = this.#access(request);
    return result === AtcResult.NO_PERMISSION ? AtcResult.PAGE_REQUESTED : result;
  }

  #forget(): void {
    this.#epoch += 1;
    this.#cache.clear();
  }

  /** Makes the access with a cached translation, or with one asked for now. */
  #access(request: DmaRequest): number {
    const { pasid, access, hi, lo } = request;
    const owner = ownerOf(pasid, access);
    const cache = this.#cache;
    if (cache.find(owner, hi, lo, access & NEEDS)) return this.#send(request, cache);

    const wire = this.#wire;
    const epoch = this.#epoch;
    wire.addressType = AddressType.TRANSLATION_REQUEST;
    wire.pasid = pasid;
    wire.access = access;
    wire.sourceId = request.sourceId;
    wire.hi = hi;
    wire.lo = lo;
    const result = this.#remapper.translate(wire);
    if (result !== 0) return result;
    const { granted } = wire;
    if ((granted & RIGHTS) === 0 || (access & NEEDS & ~granted) !== 0) {
      return AtcResult.NO_PERMISSION;
    }
    // U: the rights are those of untranslated requests
    if ((granted & Access.BYPASS) !== 0) return this.#remapper.translate(request);
    // an invalidation that came in between has not seen this translation
    if (epoch === this.#epoch) cache.fill(owner, hi, lo, wire);
    return this.#send(request, wire);
  }

  /** Sends the translated request, which has no PASID; the answer is that of the translation. */
  #send(request: DmaRequest, answer: Translation): number {
    const { outHi, outLo, pageShift, granted } = answer;
    const wire = this.#wire;
    wire.addressType = AddressType.TRANSLATED;
    wire.pasid = NO_PASID;
    wire.access = request.access & RIGHTS;
    wire.sourceId = request.sourceId;
    wire.hi = outHi;
    wire.lo = outLo;
    const result = this.#remapper.translate(wire);
    if (result !== 0) return result;
    request.outHi = wire.outHi;
    request.outLo = wire.outLo;
    request.pageShift = pageShift;
    request.granted = granted;
    return 0;
  }
}

function refuse(reason: string): never {
  throw new ViommuError("ERR_VIOMMU_ATC", reason);
}
