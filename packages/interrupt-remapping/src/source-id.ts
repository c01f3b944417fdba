import { bits, FaultReason, IRTE_REMAPPED, SourceValidation } from "@viommu/vtd-spec";

const { NONE, SOURCE_ID, BUS_RANGE } = SourceValidation;
const SVT_SHIFT = bits(IRTE_REMAPPED, "SVT").shift;
const SVT_MASK = bits(IRTE_REMAPPED, "SVT").mask;
const SQ_SHIFT = bits(IRTE_REMAPPED, "SQ").shift;
const SQ_MASK = bits(IRTE_REMAPPED, "SQ").mask;

/** Function-number bits that are not compared, four bits for each SQ: 0, 4, 6, 7 (VT-d 9.9). */
const NOT_COMPARED = 0x7640;

/**
 * Verifies the requester as an IRTE wants it, in either format (VT-d 5.1.4, 9.9).
 * @param word2 bits 95:64 of the entry, with SVT, SQ and SID
 * @returns 0 or the fault reason
 */
export function verifySource(word2: number, sourceId: number): number {
  switch ((word2 >>> SVT_SHIFT) & SVT_MASK) {
    case NONE:
      return 0;
    case SOURCE_ID: {
      const ignored = (NOT_COMPARED >>> (((word2 >>> SQ_SHIFT) & SQ_MASK) * 4)) & 7;
      const differs = (word2 ^ sourceId) & 0xffff & ~ignored;
      return differs === 0 ? 0 : FaultReason.IR_SOURCE_ID;
    }
    case BUS_RANGE: {
      const bus = (sourceId >>> 8) & 0xff;
      const inside = bus >= ((word2 >>> 8) & 0xff) && bus <= (word2 & 0xff);
      return inside ? 0 : FaultReason.IR_SOURCE_ID;
    }
    default:
      return FaultReason.IRTE_RESERVED;
  }
}
