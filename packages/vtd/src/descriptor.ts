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
import type { Capabilities } from "@viommu/vtd-spec";
import { valueOf } from "./bit-field.ts";

const TYPE_LOW = bits(CC_INV_DSC, "TYPE");
const TYPE_HIGH = bits(CC_INV_DSC, "TYPE_HIGH");
/** G is at the same place in every descriptor that has granularities. */
const G = bits(CC_INV_DSC, "G");
const AM = bits(IOTLB_INV_DSC, "AM");
const IEC_G = bits(IEC_INV_DSC, "G");
const IM = bits(IEC_INV_DSC, "IM");

// As in invalidation-queue.ts: constants of this module are folded, members of objects are not.
const TYPE_LOW_MASK = TYPE_LOW.mask << TYPE_LOW.shift;
const TYPE_HIGH_MOVE = TYPE_HIGH.shift - 4;
const TYPE_HIGH_MASK = TYPE_HIGH.mask << 4;
const G_SHIFT = G.shift;
const G_MASK = G.mask;
const IOTLB: number = DescriptorType.IOTLB;
const IEC: number = DescriptorType.INTERRUPT_ENTRY_CACHE;
const PAGE: number = Granularity.PAGE;

/** The 7-bit type of a descriptor (VT-d 6.5.2). */
export function descriptorType(words: Int32Array): number {
  const word = words[0]!;
  return ((word >>> TYPE_HIGH_MOVE) & TYPE_HIGH_MASK) | (word & TYPE_LOW_MASK);
}

interface Rule {
  /** It exists in 256 bits only. */
  readonly wideOnly: boolean;
  /** Bit n is set when granularity n is valid; all bits where there are no granularities. */
  readonly granularities: number;
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
      const wideOnly = layout.bits === 256;
      const granularities = (layout.granularities ?? [0, 1, 2, 3]).reduce<number>(
        (set, granularity) => set | (1 << granularity),
        0,
      );
      this.#rules[layout.type] = { wideOnly, granularities, reserved };
    }
  }

  /**
   * 0, or the code for IQERCD.IQEI. `count` is the number of words, 4 or 8; `legacy` says that the
   * unit is in legacy mode, where descriptors which exist in 256 bits only are invalid.
   */
  check(words: Int32Array, count: number, legacy: boolean): number {
    const type = descriptorType(words);
    const rule = this.#rules[type];
    if (rule === undefined || (legacy && rule.wideOnly)) {
      return InvalidationQueueError.INVALID_TYPE;
    }
    for (let i = 0; i < count; i++) {
      if ((words[i]! & rule.reserved[i]!) !== 0) return InvalidationQueueError.RESERVED_FIELD;
    }
    if (((rule.granularities >>> ((words[0]! >>> G_SHIFT) & G_MASK)) & 1) === 0) {
      return InvalidationQueueError.RESERVED_FIELD;
    }
    return this.#isBeyondCapabilities(type, words) ? InvalidationQueueError.RESERVED_FIELD : 0;
  }

  /** Values that the capabilities don't cover are taken as reserved, like reserved granularities. */
  #isBeyondCapabilities(type: number, words: Int32Array): boolean {
    switch (type) {
      case IOTLB:
        return (
          ((words[0]! >>> G_SHIFT) & G_MASK) === PAGE && valueOf(words, AM) > this.#maxAddressMask
        );
      case IEC:
        return valueOf(words, IEC_G) === 1 && valueOf(words, IM) > this.#maxIndexMask;
      default:
        return false;
    }
  }
}
