import { FS_PAGE_1G, FS_PAGE_2M, FS_PAGE_4K, FS_TABLE, FS_UPPER } from "@viommu/vtd-spec";
import { reservedMask, SS_PAGE_1G, SS_PAGE_2M, SS_PAGE_4K } from "@viommu/vtd-spec";
import { SS_TABLE, SS_UPPER } from "@viommu/vtd-spec";
import type { Capabilities, Layout } from "@viommu/vtd-spec";

/**
 * Reserved bits of paging entries. In the high word they are the same for entries of all kinds:
 * address bits beyond the host address width, and second-stage IW.
 */
export interface PagingMasks {
  readonly high: number;
  /** Low word of an entry of level 4 or 5. */
  readonly upper: number;
  /** Low word of an entry of level 3 or 2 that references a table. */
  readonly table: number;
  /** Low words of entries that map a page. */
  readonly page4K: number;
  readonly page2M: number;
  readonly page1G: number;
}

/** Second-stage paging entries (VT-d 9.8); with SSIRWE the bits IR and IW are permissions. */
export function secondStageMasks(
  capabilities: Capabilities,
  hostAddressWidth: number,
  ssirwe: boolean,
): PagingMasks {
  // IW is reserved while SSIRWE is 0, with or without the capability
  const offered = { ...capabilities, SSIRWS: ssirwe ? 1 : 0 };
  const mask = (layout: Layout): Int32Array => reservedMask(layout, offered, hostAddressWidth);
  return {
    high: mask(SS_PAGE_4K)[1]!,
    upper: mask(SS_UPPER)[0]!,
    table: mask(SS_TABLE)[0]!,
    page4K: mask(SS_PAGE_4K)[0]!,
    page2M: mask(SS_PAGE_2M)[0]!,
    page1G: mask(SS_PAGE_1G)[0]!,
  };
}

/** First-stage paging entries (VT-d 9.7). */
export function firstStageMasks(capabilities: Capabilities, hostAddressWidth: number): PagingMasks {
  const mask = (layout: Layout): Int32Array => reservedMask(layout, capabilities, hostAddressWidth);
  return {
    high: mask(FS_PAGE_4K)[1]!,
    upper: mask(FS_UPPER)[0]!,
    table: mask(FS_TABLE)[0]!,
    page4K: mask(FS_PAGE_4K)[0]!,
    page2M: mask(FS_PAGE_2M)[0]!,
    page1G: mask(FS_PAGE_1G)[0]!,
  };
}

/** Whether an entry has a reserved bit set. */
export function anyReserved(words: Int32Array, mask: Int32Array): boolean {
  let set = 0;
  for (let i = 0; i < mask.length; i += 1) set |= words[i]! & mask[i]!;
  return set !== 0;
}
