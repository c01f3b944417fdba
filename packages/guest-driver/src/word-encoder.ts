import { bits } from "@viommu/vtd-spec";
import type { FieldBits, FieldName, Layout } from "@viommu/vtd-spec";

type FieldValues<L extends Layout> = Readonly<Partial<Record<FieldName<L>, number>>>;

/**
 * Encodes one kind of structure by 32-bit words: what a driver writes for each mapping and each
 * interrupt. Only fields inside one word have a name here; the caller has checked that values fit.
 */
export class WordEncoder<const L extends Layout> {
  readonly #words: number;
  readonly #places: Readonly<Partial<Record<string, FieldBits>>>;

  constructor(layout: L) {
    this.#words = layout.bits / 32;
    const places = layout.fields
      .filter(({ high, low }) => high >> 5 === low >> 5)
      .map(({ name }) => [name, bits<Layout>(layout, name)] as const);
    this.#places = Object.fromEntries(places);
  }

  /** Fields not given are 0. */
  encode(values: FieldValues<L>): Int32Array {
    const words = new Int32Array(this.#words);
    for (const [name, value] of Object.entries<number | undefined>(values)) {
      const { word, shift } = this.#places[name]!;
      words[word] = words[word]! | ((value ?? 0) << shift);
    }
    return words;
  }

  /** The same with an address, in bytes, put into the two words from `at` on. */
  encodeWithAddress(values: FieldValues<L>, at: number, address: number): Int32Array {
    const words = this.encode(values);
    words[at] = words[at]! | (address % 2 ** 32);
    words[at + 1] = words[at + 1]! | Math.floor(address / 2 ** 32);
    return words;
  }
}
