import { maxGuestAddressWidth } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";

/** The shape of a second-stage table that a set of units understands. */
export interface DomainFormat {
  /** 3, 4 or 5: tables between the context entry and a page of 4 KiB. */
  readonly levels: number;
  /** Input addresses have this many bits. */
  readonly addressWidth: number;
  /** Levels at which an entry may map a page: 1 (4 KiB), 2 (2 MiB), 3 (1 GiB). */
  readonly pageLevels: readonly number[];
}

/** Bits of SAGAW that stand for 3, 4 and 5 levels (VT-d 11.4.2). */
const DEFINED_WIDTHS = 0b1110;
/** Addresses are numbers here. */
const WIDEST = 52;

/** The widest format that all these units have; null when there is none, as with SAGAW = 0. */
export function commonFormat(units: readonly Capabilities[]): DomainFormat | null {
  let widths = DEFINED_WIDTHS;
  let largePages = 0b11;
  let addressWidth = WIDEST;
  for (const capabilities of units) {
    widths &= capabilities.SAGAW;
    largePages &= capabilities.SSLPS;
    addressWidth = Math.min(addressWidth, maxGuestAddressWidth(capabilities));
  }
  if (widths === 0) return null;
  const levels = 33 - Math.clz32(widths);
  const pageLevels = [1];
  if ((largePages & 1) !== 0) pageLevels.push(2);
  if ((largePages & 2) !== 0) pageLevels.push(3);
  return { levels, addressWidth: Math.min(addressWidth, 12 + 9 * levels), pageLevels };
}

/** Whether a unit understands tables of this format. */
export function understands(capabilities: Capabilities, format: DomainFormat): boolean {
  const { SAGAW, SSLPS } = capabilities;
  if (((SAGAW >> (format.levels - 2)) & 1) === 0) return false;
  if (maxGuestAddressWidth(capabilities) < format.addressWidth) return false;
  return format.pageLevels.every((level) => level === 1 || ((SSLPS >> (level - 2)) & 1) === 1);
}
