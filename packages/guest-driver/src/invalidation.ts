import type { Capabilities } from "@viommu/vtd-spec";
import { PAGE_SIZE } from "./table-memory.ts";

/** What a unit shall forget. Addresses are bytes; `order` is log2 of a number of pages or entries. */
export type InvalidationRequest =
  | { readonly cache: "context"; readonly granularity: "global" }
  | {
      readonly cache: "context";
      readonly granularity: "device";
      readonly domainId: number;
      readonly sourceId: number;
    }
  | { readonly cache: "iotlb"; readonly granularity: "global" }
  | { readonly cache: "iotlb"; readonly granularity: "domain"; readonly domainId: number }
  | ({
      readonly cache: "iotlb";
      readonly granularity: "page";
      readonly domainId: number;
      /** Only entries of leaves were changed (IH). */
      readonly leafOnly: boolean;
    } & PageBlock)
  | ({ readonly cache: "device-tlb"; readonly sourceId: number } & PageBlock)
  | { readonly cache: "interrupt-entry"; readonly granularity: "global" }
  | {
      readonly cache: "interrupt-entry";
      readonly granularity: "index";
      readonly index: number;
      readonly order: number;
    };

/** The requests to one cache. */
export type InvalidationOf<C extends InvalidationRequest["cache"]> = Extract<
  InvalidationRequest,
  { readonly cache: C }
>;

/** 2^order pages, aligned to their size. */
export interface PageBlock {
  readonly address: number;
  readonly order: number;
}

/** A way to make a unit forget: its queue, or its registers. */
export interface Invalidator {
  /** Returns when the unit has carried out all of it. */
  run(requests: readonly InvalidationRequest[]): void;
}

/** Order of the block that is everything. */
export const EVERYTHING: PageBlock = { address: 0, order: 52 };

/** The smallest block that holds a run of pages. Page numbers, not addresses. */
export function enclosingBlock(page: number, count: number): PageBlock {
  let order = 0;
  let size = 1;
  while (Math.floor(page / size) !== Math.floor((page + count - 1) / size)) {
    size *= 2;
    order += 1;
  }
  return { address: Math.floor(page / size) * size * PAGE_SIZE, order };
}

/** The request for a block of a domain: all of the domain where the unit can't do better (PSI, MAMV). */
export function iotlbRequest(
  capabilities: Capabilities,
  domainId: number,
  block: PageBlock,
  leafOnly: boolean,
): InvalidationRequest {
  if (capabilities.PSI === 0 || block.order > capabilities.MAMV) {
    return { cache: "iotlb", granularity: "domain", domainId };
  }
  return { cache: "iotlb", granularity: "page", domainId, leafOnly, ...block };
}
