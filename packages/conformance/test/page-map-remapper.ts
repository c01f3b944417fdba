import { Access, NO_PASID } from "@viommu/plugin";
import type { DmaRemapper, DmaRequest } from "@viommu/plugin";
import type { DmaMapping, DmaRemapperHarness } from "../src/index.ts";

interface Page {
  readonly outHi: number;
  readonly outLo: number;
  readonly access: number;
}

/**
 * The simplest right remapper there is, of no vendor: pages in a Map, with a cache in front that
 * only `sync` empties. Wrong ones are made from it by overriding.
 */
export class PageMapRemapper implements DmaRemapper {
  readonly segment: number = 0;
  faults = 0;
  readonly pages = new Map<string, Page>();
  readonly cache = new Map<string, Page>();
  /** Tickets of accesses in flight, and what waits for them. */
  readonly running = new Set<number>();
  readonly waits: { tickets: Set<number>; done: boolean }[] = [];
  #tickets = 0;

  translate(request: DmaRequest): number {
    const result = this.answer(request, true);
    if (result > 0) this.report(request);
    return result;
  }

  probe(request: DmaRequest): number {
    const result = this.answer(request, false);
    if (result > 0) request.suppressed = false;
    return result;
  }

  report(request: DmaRequest): void {
    request.suppressed = false;
    this.faults += 1;
  }

  answer(request: DmaRequest, caches: boolean): number {
    if (request.addressType === 3) return -1;
    if (request.addressType !== 0 || request.pasid !== NO_PASID) return 1;
    const key = this.key(request.sourceId, request.hi, request.lo);
    const page = this.cache.get(key) ?? this.pages.get(key);
    if (page === undefined) return 2;
    if (caches) this.cache.set(key, page);
    if ((request.access & Access.ATOMIC & ~page.access) !== 0) return 3;
    this.complete(request, page);
    return 0;
  }

  complete(request: DmaRequest, page: Page): void {
    request.outHi = page.outHi;
    request.outLo = page.outLo | (request.lo & 0xfff);
    request.pageShift = 12;
    request.granted = page.access;
  }

  key(sourceId: number, hi: number, lo: number): string {
    return `${sourceId} ${hi} ${lo >>> 12}`;
  }

  enter(): number {
    this.#tickets += 1;
    this.running.add(this.#tickets);
    return this.#tickets;
  }

  leave(ticket: number): void {
    if (!this.running.delete(ticket)) throw new RangeError("no such ticket");
    for (const wait of this.waits) {
      wait.tickets.delete(ticket);
      wait.done ||= wait.tickets.size === 0;
    }
  }

  map(mapping: DmaMapping): void {
    this.forPages(mapping, (key, offset) => {
      const { outHi, outLo, access } = mapping;
      this.pages.set(key, { outHi, outLo: outLo + offset, access });
    });
  }

  unmap(mapping: DmaMapping): void {
    this.forPages(mapping, (key) => this.pages.delete(key));
  }

  sync(): () => boolean {
    this.cache.clear();
    const wait = { tickets: new Set(this.running), done: this.running.size === 0 };
    this.waits.push(wait);
    return () => wait.done;
  }

  private forPages(mapping: DmaMapping, act: (key: string, offset: number) => void): void {
    const { sourceId, hi, lo, pageShift } = mapping;
    for (let offset = 0; offset < 2 ** pageShift; offset += 4096) {
      act(this.key(sourceId, hi, lo + offset), offset);
    }
  }
}

/** The harness of such a remapper. */
export function pageMapHarness(remapper: PageMapRemapper): DmaRemapperHarness {
  return {
    remapper,
    mappings: remapper,
    reported: () => remapper.faults,
    state: () => `${remapper.faults} faults, ${remapper.cache.size} cached`,
  };
}
