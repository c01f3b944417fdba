import {
  CC_INV_DSC,
  DescriptorType,
  IEC_INV_DSC,
  Granularity,
  INVALIDATION_DESCRIPTORS,
  InvalidationQueueError,
  IOTLB_INV_DSC,
  bits,
  reservedMask,
} from "@viommu/vtd-spec";
import type { Capabilities, DescriptorLayout } from "@viommu/vtd-spec";
import { valueOf } from "./bit-field.ts";

const TYPE_LOW = bits(CC_INV_DSC, "TYPE");
const TYPE_HIGH = bits(CC_INV_DSC, "TYPE_HIGH");
/** G is at the same place in every descriptor that has granularities. */
const G = bits(CC_INV_DSC, "G");
const AM = bits(IOTLB_INV_DSC, "AM");
const IEC_G = bits(IEC_INV_DSC, "G");
const IM = bits(IEC_INV_DSC, "IM");

/** The 7-bit type of a descriptor (VT-d 6.5.2). */
export function descriptorType(words: Int32Array): number {
  return (valueOf(words, TYPE_HIGH) << 4) | valueOf(words, TYPE_LOW);
}

interface Rule {
  readonly layout: DescriptorLayout;
  /** Bits that must be 0, one word for each word of a 256-bit descriptor. */
  readonly reserved: Int32Array;
}

/** Tells valid descriptors from invalid ones (VT-d 6.5.2, table 26, and 11.4.9.9). */
export class DescriptorChecker {
  readonly #rules: (Rule | undefined)[] = [];
  /** Largest AM of a page-selective IOTLB descriptor; -1 without PSI. */
  readonly #maxAddressMask: number;
  /** Largest IM. */
  readonly #maxIndexMask: number;

  constructor(capabilities: Capabilities, hostAddressWidth: number) {
    this.#maxAddressMask = capabilities.PSI === 0 ? -1 : capabilities.MAMV;
    this.#maxIndexMask = capabilities.MHMV;
    for (const layout of INVALIDATION_DESCRIPTORS) {
      if (layout.requires !== undefined && capabilities[layout.requires] === 0) continue;
      const reserved = new Int32Array(8).fill(-1);
      reserved.set(reservedMask(layout, capabilities, hostAddressWidth));
      this.#rules[layout.type] = { layout, reserved };
    }
  }

  /**
   * 0, or the code for IQERCD.IQEI. `count` is the number of words, 4 or 8; `legacy` says that the
   * unit is in legacy mode, where descriptors which exist in 256 bits only are invalid.
   */
  check(words: Int32Array, count: number, legacy: boolean): number {
    const type = descriptorType(words);
    const rule = this.#rules[type];
    if (rule === undefined || (legacy && rule.layout.bits === 256)) {
      return InvalidationQueueError.INVALID_TYPE;
    }
    for (let i = 0; i < count; i++) {
      if ((words[i]! & rule.reserved[i]!) !== 0) return InvalidationQueueError.RESERVED_FIELD;
    }
    const granularities = rule.layout.granularities;
    if (granularities !== undefined && !granularities.includes(valueOf(words, G))) {
      return InvalidationQueueError.RESERVED_FIELD;
    }
    return this.#isBeyondCapabilities(type, words) ? InvalidationQueueError.RESERVED_FIELD : 0;
  }

  /** Values that the capabilities don't cover are taken as reserved, like reserved granularities. */
  #isBeyondCapabilities(type: number, words: Int32Array): boolean {
    switch (type) {
      case DescriptorType.IOTLB:
        return valueOf(words, G) === Granularity.PAGE && valueOf(words, AM) > this.#maxAddressMask;
      case DescriptorType.INTERRUPT_ENTRY_CACHE:
        return valueOf(words, IEC_G) === 1 && valueOf(words, IM) > this.#maxIndexMask;
      default:
        return false;
    }
  }
}
