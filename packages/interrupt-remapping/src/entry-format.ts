import {
  bits,
  IRTE_POSTED,
  IRTE_REMAPPED,
  IRTE_REMAPPED_XAPIC,
  POSTED_INTERRUPT_DESCRIPTOR,
  POSTED_INTERRUPT_DESCRIPTOR_XAPIC,
  reservedMask,
} from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";

/** How entries and descriptors are read in one of the two modes of IRTA.EIME. */
export interface EntryFormat {
  /** Bits that must be 0, by word. */
  readonly remapped: Int32Array;
  readonly posted: Int32Array;
  readonly descriptor: Int32Array;
  /** Place of the destination in the second word of an entry, and in NDST of a descriptor. */
  readonly destinationShift: number;
  readonly destinationMask: number;
}

/** 32-bit APIC ids (VT-d 9.9, 9.11: EIME = 1). */
export function extendedFormat(capabilities: Capabilities, hostAddressWidth: number): EntryFormat {
  const destination = bits(IRTE_REMAPPED, "DST");
  return {
    remapped: reservedMask(IRTE_REMAPPED, capabilities, hostAddressWidth),
    posted: reservedMask(IRTE_POSTED, capabilities, hostAddressWidth),
    descriptor: reservedMask(POSTED_INTERRUPT_DESCRIPTOR, capabilities, hostAddressWidth),
    destinationShift: destination.shift,
    destinationMask: destination.mask,
  };
}

/** 8-bit APIC ids (VT-d 9.9, 9.11: EIME = 0). */
export function xapicFormat(capabilities: Capabilities, hostAddressWidth: number): EntryFormat {
  const destination = bits(IRTE_REMAPPED_XAPIC, "DST");
  return {
    remapped: reservedMask(IRTE_REMAPPED_XAPIC, capabilities, hostAddressWidth),
    posted: reservedMask(IRTE_POSTED, capabilities, hostAddressWidth),
    descriptor: reservedMask(POSTED_INTERRUPT_DESCRIPTOR_XAPIC, capabilities, hostAddressWidth),
    destinationShift: destination.shift,
    destinationMask: destination.mask,
  };
}
