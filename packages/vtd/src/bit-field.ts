import { bits } from "@viommu/vtd-spec";
import type { FieldBits, FieldName, Layout } from "@viommu/vtd-spec";

/** The bits of a field, in place in the 32-bit word that holds it. */
export function bitsInWord<const L extends Layout>(layout: L, name: FieldName<L>): number {
  const { shift, mask } = bits(layout, name);
  return mask << shift;
}

/** The value of a field of a structure, unsigned up to 31 bits. */
export function valueOf(words: Int32Array, field: FieldBits): number {
  return (words[field.word]! >>> field.shift) & field.mask;
}
