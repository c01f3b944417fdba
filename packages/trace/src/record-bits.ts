/*
 * Fault recording register (VT-d 11.4.7.6) as one 128-bit number.
 */

/** PASID value, bits 123:104. */
export const RECORD_PASID: bigint = 0xf_ffffn << 104n;
/** Page address of a DMA request, bits 63:12. */
export const RECORD_ADDRESS = 0xffff_ffff_ffff_f000n;
/** Source-id, bits 79:64. */
export const RECORD_SID: bigint = 0xffffn << 64n;
/** PASID present. */
export const RECORD_PP: bigint = 1n << 95n;
/** Fault reason, bits 103:96. */
export const RECORD_REASON: bigint = 0xffn << 96n;
/** F: the record is valid. */
export const RECORD_F: bigint = 1n << 127n;

/** The fault reason in a record. */
export function reasonOf(record: bigint): number {
  return Number((record & RECORD_REASON) >> 96n);
}
