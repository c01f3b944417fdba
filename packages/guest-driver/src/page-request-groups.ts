import { Access } from "@viommu/plugin";
import { bits, PAGE_REQ_DSC, toQwords } from "@viommu/vtd-spec";
import type { PageRequestState } from "./driver-state.ts";

/** One page that a device asks for. */
export interface RequestedPage {
  /** Of the page; up to 64 bits, which page addresses keep as numbers. */
  readonly address: number;
  /** Bits of `Access` of plugin: READ, WRITE, EXECUTE, PRIVILEGED. */
  readonly access: number;
}

/** An entry of the page request queue (VT-d 7.4.1.1). */
export interface QueuedRequest extends RequestedPage {
  readonly sourceId: number;
  /** Null: the request has none. */
  readonly pasid: number | null;
  /** Page request group index; undefined in a stop marker. */
  readonly group: number;
  readonly last: boolean;
}

/** Requests of one device and PASID that are answered together. */
export interface CompleteGroup {
  readonly sourceId: number;
  readonly pasid: number | null;
  readonly group: number;
  readonly pages: readonly RequestedPage[];
}

const PP = bits(PAGE_REQ_DSC, "PP");
const RID = bits(PAGE_REQ_DSC, "RID");
const PASID = bits(PAGE_REQ_DSC, "PASID");
const EXR = bits(PAGE_REQ_DSC, "EXR");
const PMR = bits(PAGE_REQ_DSC, "PMR");
const PRGI = bits(PAGE_REQ_DSC, "PRGI");
const LPIG = bits(PAGE_REQ_DSC, "LPIG");
/** RDR and WRR lie as READ and WRITE in `Access`. */
const READ_WRITE = Access.READ | Access.WRITE;

/** Requests that groups without an end may hold back: a device could go on for ever. */
const MOST_HELD = 4096;

/** Reads an entry of the page request queue. */
export function decodeRequest(words: Int32Array): QueuedRequest {
  const valueOf = ({ word, shift, mask }: typeof PP): number => (words[word]! >>> shift) & mask;
  const page = toQwords(words)[1]! & ~0xfffn;
  return {
    sourceId: valueOf(RID),
    pasid: valueOf(PP) === 1 ? valueOf(PASID) : null,
    address: Number(page),
    access:
      (words[2]! & READ_WRITE) |
      (valueOf(EXR) === 1 ? Access.EXECUTE : 0) |
      (valueOf(PMR) === 1 ? Access.PRIVILEGED : 0),
    group: valueOf(PRGI),
    last: valueOf(LPIG) === 1,
  };
}

/** Puts requests together until the last one of their group is there (LPIG, VT-d 7.6). */
export class PageRequestGroups {
  /** By device and PASID, then by group. */
  readonly #partial = new Map<string, Map<number, RequestedPage[]>>();
  #held = 0;

  /** Takes a request; returns the group that it ends, or null. */
  add(request: QueuedRequest): CompleteGroup | null {
    const { sourceId, pasid, group, address, access, last } = request;
    // asks for nothing: a stop marker, to which no answer is owed
    if ((access & READ_WRITE) === 0) return null;
    const key = keyOf(sourceId, pasid);
    const groups = this.#partial.get(key) ?? new Map<number, RequestedPage[]>();
    const pages = groups.get(group) ?? [];
    pages.push({ address, access });
    if (last) {
      this.#held -= pages.length - 1;
      groups.delete(group);
      if (groups.size === 0) this.#partial.delete(key);
      return { sourceId, pasid, group, pages };
    }
    if (this.#held >= MOST_HELD) {
      this.discard();
      return null;
    }
    this.#partial.set(key, groups.set(group, pages));
    this.#held += 1;
    return null;
  }

  /** Forgets groups without an end of a device's PASID. */
  forget(sourceId: number, pasid: number | null): void {
    const groups = this.#partial.get(keyOf(sourceId, pasid)) ?? [];
    for (const [, pages] of groups) this.#held -= pages.length;
    this.#partial.delete(keyOf(sourceId, pasid));
  }

  save(): PageRequestState["held"] {
    return [...this.#partial].flatMap(([key, groups]) =>
      [...groups].map(([group, pages]) => ({ key, group, pages: [...pages] })),
    );
  }

  restore(held: PageRequestState["held"]): void {
    this.discard();
    for (const { key, group, pages } of held) {
      const groups = this.#partial.get(key) ?? new Map<number, RequestedPage[]>();
      this.#partial.set(key, groups.set(group, [...pages]));
      this.#held += pages.length;
    }
  }

  /** Forgets all groups without an end. */
  discard(): void {
    this.#partial.clear();
    this.#held = 0;
  }
}

const keyOf = (sourceId: number, pasid: number | null): string => `${sourceId}:${pasid ?? ""}`;
