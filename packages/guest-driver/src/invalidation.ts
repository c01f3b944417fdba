import type { Capabilities } from "@viommu/vtd-spec";
import { PAGE_SIZE } from "./table-memory.ts";

/**
 * What a unit shall forget, or tell a device. Addresses are bytes; `order` is log2 of a number of
 * pages or entries.
 */
export type InvalidationRequest =
  | { readonly cache: "context"; readonly granularity: "global" }
  | {
      readonly cache: "context";
      readonly granularity: "device";
      readonly domainId: number;
      readonly sourceId: number;
    }
  | { readonly cache: "pasid"; readonly granularity: "global" }
  | ({ readonly cache: "pasid"; readonly granularity: "pasid" } & PasidInDomain)
  | { readonly cache: "iotlb"; readonly granularity: "global" }
  | { readonly cache: "iotlb"; readonly granularity: "domain"; readonly domainId: number }
  | ({
      readonly cache: "iotlb";
      readonly granularity: "page";
      readonly domainId: number;
      /** Only entries of leaves were changed (IH). */
      readonly leafOnly: boolean;
    } & PageBlock)
  | ({ readonly cache: "pasid-iotlb"; readonly granularity: "pasid" } & PasidInDomain)
  | ({
      readonly cache: "pasid-iotlb";
      readonly granularity: "page";
      readonly leafOnly: boolean;
    } & PasidInDomain &
      PageBlock)
  | ({
      readonly cache: "device-tlb";
      /** Null: translations of requests without PASID. */
      readonly pasid: number | null;
    } & DeviceTlb &
      PageBlock)
  | { readonly cache: "host-permission"; readonly granularity: "global" }
  | ({
      readonly cache: "host-permission";
      readonly granularity: "domain";
    } & PermissionEntries)
  | ({
      readonly cache: "host-permission";
      readonly granularity: "page";
    } & PermissionEntries &
      PageBlock)
  | { readonly cache: "interrupt-entry"; readonly granularity: "global" }
  | {
      readonly cache: "interrupt-entry";
      readonly granularity: "index";
      readonly index: number;
      readonly order: number;
    }
  /** Not an invalidation, but goes the same way: the answer to a group of page requests (VT-d 7.6.1). */
  | {
      readonly cache: "page-response";
      readonly sourceId: number;
      readonly pasid: number | null;
      /** Page request group index. */
      readonly group: number;
      /** One of `ResponseCode` of vtd-spec. */
      readonly code: number;
    };

/** The requests to one cache. */
export type InvalidationOf<C extends InvalidationRequest["cache"]> = Extract<
  InvalidationRequest,
  { readonly cache: C }
>;

/** First-stage translations are told apart by both. */
export interface PasidInDomain {
  readonly domainId: number;
  readonly pasid: number;
}

/** Entries of a host permission table, which HPTDID stands for. */
interface PermissionEntries {
  readonly hptDomainId: number;
  /** Those of levels 1 to this one, 1 to 4 (IH). */
  readonly levels: number;
}

/** The device-TLB of a device, and how it takes invalidations (VT-d 6.5.2.5). */
export interface DeviceTlb {
  readonly sourceId: number;
  /** Source-id of the physical function, for units with ECAP.DIT (PFSID). */
  readonly physicalFunction: number;
  /** Invalidations that it takes at a time, 1 to 32 (MIP). */
  readonly pendingInvalidations: number;
}

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

/** The request for a block of first-stage translations; every order will do (VT-d 11.4.2, MAMV). */
export function pasidIotlbRequest(
  place: PasidInDomain,
  block: PageBlock,
  leafOnly: boolean,
): InvalidationRequest {
  if (block.order >= EVERYTHING.order) {
    return { cache: "pasid-iotlb", granularity: "pasid", ...place };
  }
  return { cache: "pasid-iotlb", granularity: "page", leafOnly, ...place, ...block };
}

/** The request to a device, for its translations with this PASID or those without. */
export function deviceTlbRequest(
  { sourceId, physicalFunction, pendingInvalidations }: DeviceTlb,
  pasid: number | null,
  block: PageBlock,
): InvalidationRequest {
  const device = { sourceId, physicalFunction, pendingInvalidations };
  return { cache: "device-tlb", pasid, ...device, ...block };
}
