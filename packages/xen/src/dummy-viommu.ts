import {
  Access,
  AddressType,
  DmaRequest,
  DmaResult,
  hiFromNumber,
  InFlight,
  loFromNumber,
  NO_PASID,
  ViommuError,
} from "@viommu/plugin";
import type { DmaRemapper, Invalidation } from "@viommu/plugin";
import type { ViommuClient } from "./client.ts";
import type { DeviceModel } from "./device-model-port.ts";
import { Errno } from "./errno.ts";
import { TranslationCache } from "./translation-cache.ts";

const PAGE = 4096;
const DEFAULT_SLOTS = 512;
const RIGHTS = Access.READ | Access.WRITE;
/** An input address has at most 57 bits. */
const WIDEST_HI = 2 ** 27;

/** What a dummy vIOMMU works with. */
export interface DummyViommuOptions {
  readonly client: ViommuClient;
  /** The guest whose devices are emulated. */
  readonly domid: number;
  /** PCI segment of the devices; 0 unless given. */
  readonly segment?: number;
  /** Pages cached for each device: a power of two, or 0 for none. 512 unless given. */
  readonly cachedPages?: number;
}

/** A drain that the hypervisor waits for. */
interface Owed {
  readonly viommuId: number;
  readonly ticket: number;
  readonly generation: number;
}

/**
 * The vIOMMU of a device model outside the hypervisor: it knows no tables, and asks by hypercall.
 * Each device has an address space of its own, with a cache that follows the guest's invalidations.
 * Emulated devices use it like any `DmaRemapper`; the hypervisor calls it as {@link DeviceModel}.
 *
 * A device under no vIOMMU reaches memory directly. Where the hypercall itself fails, DMA is aborted.
 */
export class DummyViommu implements DmaRemapper, DeviceModel {
  readonly segment: number;
  /** Requests answered out of the cache, and by hypercall. */
  readonly counters: { hits: number; misses: number } = { hits: 0, misses: 0 };
  readonly #client: ViommuClient;
  readonly #domid: number;
  readonly #slots: number;
  /** By source-id. */
  readonly #caches = new Map<number, TranslationCache>();
  readonly #drain = new InFlight();
  readonly #owed: Owed[] = [];

  /** Throws ERR_VIOMMU_XEN_CLIENT when `cachedPages` is no power of two. */
  constructor(options: DummyViommuOptions) {
    const { cachedPages = DEFAULT_SLOTS } = options;
    if (cachedPages !== 0 && !Number.isInteger(Math.log2(cachedPages))) {
      throw new ViommuError(
        "ERR_VIOMMU_XEN_CLIENT",
        `cachedPages is ${cachedPages}; give a power of two, or 0`,
      );
    }
    this.#client = options.client;
    this.#domid = options.domid;
    this.segment = options.segment ?? 0;
    this.#slots = cachedPages;
  }

  translate(request: DmaRequest): number {
    const need = request.access & RIGHTS;
    const isPlain =
      need !== 0 &&
      request.access === need &&
      request.addressType === AddressType.UNTRANSLATED &&
      request.pasid === NO_PASID;
    const cache = isPlain && this.#slots !== 0 ? this.#cacheOf(request.sourceId) : null;
    if (cache?.answer(request, need) === true) {
      this.counters.hits += 1;
      return 0;
    }
    this.counters.misses += 1;
    const result = this.#ask(request, false);
    if (result === 0) cache?.keep(request);
    return result;
  }

  probe(request: DmaRequest): number {
    return this.#ask(request, true);
  }

  /**
   * Translates ahead what a device is about to access, many pages with one hypercall. Pages that are
   * blocked fault as the access itself would. Returns 0 or a negative `Errno`.
   */
  prefetch(sourceId: number, address: number, bytes: number, access: number): number {
    if (this.#slots === 0) return 0;
    const first = address - (address % PAGE);
    const wanted = Math.ceil((address + bytes - first) / PAGE);
    const pages = Math.min(wanted, this.#slots, this.#client.batchRoom);
    const requests = Array.from({ length: pages }, (_, page) => {
      const request = new DmaRequest();
      request.sourceId = sourceId;
      request.access = access & RIGHTS;
      request.hi = hiFromNumber(first + page * PAGE);
      request.lo = loFromNumber(first + page * PAGE);
      return request;
    });
    const statuses = new Int32Array(pages);
    const error = this.#client.translateBatch(this.#domid, this.segment, requests, statuses);
    if (error !== 0) return error;
    const cache = this.#cacheOf(sourceId);
    requests.forEach((request, i) => {
      if (statuses[i] === 0) cache.keep(request);
    });
    return 0;
  }

  enter(): number {
    return this.#drain.enter();
  }

  leave(ticket: number): void {
    this.#drain.leave(ticket);
    while (this.#owed.length > 0 && this.#drain.drained(this.#owed[0]!.generation)) {
      const { viommuId, ticket: owed } = this.#owed.shift()!;
      this.#client.drained(this.#domid, viommuId, owed);
    }
  }

  invalidate(viommuId: number, ticket: number, what: Invalidation | null): boolean {
    this.#forget(what);
    const generation = this.#drain.mark();
    if (this.#drain.drained(generation)) return true;
    // a drain of this unit that waits for the same accesses will do
    const last = this.#owed.findLast((owed) => owed.viommuId === viommuId);
    if (last?.generation === generation) return true;
    this.#owed.push({ viommuId, ticket, generation });
    return false;
  }

  #ask(request: DmaRequest, probe: boolean): number {
    const { error, status } = this.#client.translate(this.#domid, this.segment, request, probe);
    if (error === 0) return status;
    return error === -Errno.ENOENT ? direct(request) : DmaResult.ABORTED;
  }

  #cacheOf(sourceId: number): TranslationCache {
    let cache = this.#caches.get(sourceId);
    if (cache === undefined) {
      cache = new TranslationCache(this.#slots);
      this.#caches.set(sourceId, cache);
    }
    return cache;
  }

  /** The model knows no domain-ids: an invalidation of one concerns every device. */
  #forget(what: Invalidation | null): void {
    const isPages =
      (what?.kind === "iotlb" || what?.kind === "pasid-iotlb") && what.granularity === "page";
    for (const cache of this.#caches.values()) {
      if (isPages) cache.forgetPages(what.hi, what.lo, what.order);
      else cache.forgetAll();
    }
  }
}

/** The answer for a device that is under no vIOMMU. */
function direct(request: DmaRequest): number {
  if (request.hi < 0 || request.hi >= WIDEST_HI) {
    request.suppressed = false;
    return DmaResult.ABORTED;
  }
  request.outHi = request.hi;
  request.outLo = request.lo;
  request.pageShift = 30;
  request.granted = RIGHTS | Access.BYPASS;
  return 0;
}
