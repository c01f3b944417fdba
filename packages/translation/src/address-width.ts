import type { Capabilities } from "@viommu/vtd-spec";
import { maxGuestAddressWidth } from "@viommu/vtd-spec";

/** Whether the hardware offers an AW encoding: 1 is 39 bits, 2 is 48, 3 is 57 (VT-d 9.3, 11.4.2). */
export function isWidthSupported(capabilities: Capabilities, aw: number): boolean {
  return aw >= 1 && aw <= 3 && ((capabilities.SAGAW >> aw) & 1) !== 0;
}

/** Levels of second-stage paging structures for an AW encoding. */
export function levelsOf(aw: number): number {
  return aw + 2;
}

/** Bits of a second-stage input address: min(MGAW, AW) (VT-d 7.1.3, LGN.1.1). */
export function inputWidth(capabilities: Capabilities, aw: number): number {
  return Math.min(maxGuestAddressWidth(capabilities), 30 + 9 * aw);
}
