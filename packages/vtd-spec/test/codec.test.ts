import fc from "fast-check";
import { describe, expect, expectTypeOf, it } from "vitest";
import {
  bits,
  CONTEXT_ENTRY,
  decode,
  encode,
  FEUADDR,
  fromQwords,
  FRCD,
  IRTE_POSTED,
  toQwords,
  type Layout,
} from "../src/index.ts";
import { LAYOUTS, PROPERTY } from "./layouts.ts";

const wordsOf = (layout: Layout): fc.Arbitrary<Int32Array> =>
  fc
    .array(fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }), {
      minLength: layout.bits / 32,
      maxLength: layout.bits / 32,
    })
    .map((words) => Int32Array.from(words));

const layoutAndWords = fc
  .constantFrom(...LAYOUTS)
  .chain((layout) => wordsOf(layout).map((words) => ({ layout, words })));

/** The structure as a string of binary digits, highest first: as figures in the manual show it. */
const figure = (words: Int32Array): string =>
  Array.from(words, (word) => (word >>> 0).toString(2).padStart(32, "0"))
    .reverse()
    .join("");

/** Address bit of the field's lowest bit, told by its place in a 64-bit word. */
const unitOf = (layout: Layout, name: string, low: number): number =>
  layout === IRTE_POSTED && name === "PDAL" ? 6 : low % 64;

describe("encode and decode", () => {
  it("are inverse on any words", () => {
    fc.assert(
      fc.property(layoutAndWords, ({ layout, words }) => {
        expect(encode(layout, decode(layout, words))).toEqual(words);
      }),
      PROPERTY,
    );
  });

  it("read what the figure shows", () => {
    fc.assert(
      fc.property(layoutAndWords, ({ layout, words }) => {
        const digits = figure(words);
        const decoded = decode(layout, words);
        for (const { name, high, low, address } of layout.fields) {
          const value = BigInt(`0b${digits.slice(layout.bits - 1 - high, layout.bits - low)}`);
          const unit = address === undefined ? 0 : unitOf(layout, name, low);
          expect(decoded[name]).toBe(value << BigInt(unit));
        }
      }),
      PROPERTY,
    );
  });

  it("decode at an offset in a table", () => {
    const table = fromQwords([1n, 2n, 0x12345001n, 0x502n]);
    expect(decode(CONTEXT_ENTRY, table, 4)).toMatchObject({ P: 1n, SSPTPTR: 0x12345000n, DID: 5n });
  });

  it("take numbers and bigints, and leave the rest 0", () => {
    expect(toQwords(encode(CONTEXT_ENTRY, { SSPTPTR: 0x12345000n, AW: 2 }))).toEqual([
      0x12345000n,
      2n,
    ]);
    expect(encode(CONTEXT_ENTRY, {})).toEqual(new Int32Array(4));
  });

  it("refuse a value that does not fit", () => {
    expect(() => encode(CONTEXT_ENTRY, { AW: 8 })).toThrow("context-entry.AW can't hold 8");
    expect(() => encode(CONTEXT_ENTRY, { AW: -1 })).toThrow(RangeError);
    expect(() => encode(CONTEXT_ENTRY, { SSPTPTR: 0x12345800 })).toThrow("can't hold 305420288");
    expect(() => encode(CONTEXT_ENTRY, { SSPTPTR: 1n << 64n })).toThrow(RangeError);
    expect(() => encode(CONTEXT_ENTRY as Layout, { XYZ: 1 })).toThrow(
      "context-entry has no field XYZ",
    );
  });

  it("know the fields of a layout as types", () => {
    const entry = decode(CONTEXT_ENTRY, new Int32Array(4));
    expectTypeOf(entry.SSPTPTR).toEqualTypeOf<bigint>();
    // @ts-expect-error A context entry has no field PGTT.
    expect(entry.PGTT).toBeUndefined();
    // @ts-expect-error The same when it is built.
    expect(() => encode(CONTEXT_ENTRY, { PGTT: 1 })).toThrow(RangeError);
  });
});

describe("bits", () => {
  it("agrees with decode on every field inside a word", () => {
    fc.assert(
      fc.property(layoutAndWords, ({ layout, words }) => {
        const decoded = decode(layout, words);
        for (const { name, high, low, address } of layout.fields) {
          if (high >> 5 !== low >> 5) continue;
          const { word, shift, mask } = bits(layout, name);
          const unit = address === undefined ? 0 : unitOf(layout, name, low);
          expect(BigInt(((words[word]! >>> shift) & mask) >>> 0) << BigInt(unit)).toBe(
            decoded[name],
          );
        }
      }),
      PROPERTY,
    );
  });

  it("gives place and width", () => {
    expect(bits(CONTEXT_ENTRY, "P")).toEqual({ word: 0, shift: 0, mask: 1 });
    expect(bits(CONTEXT_ENTRY, "DID")).toEqual({ word: 2, shift: 8, mask: 0xffff });
    expect(bits(FRCD, "F")).toEqual({ word: 3, shift: 31, mask: 1 });
    expect(bits(FEUADDR, "MUA")).toEqual({ word: 0, shift: 0, mask: -1 });
  });

  it("refuses a field that crosses a word, and one that does not exist", () => {
    expect(() => bits(CONTEXT_ENTRY, "SSPTPTR")).toThrow("crosses a 32-bit word");
    expect(() => bits(CONTEXT_ENTRY as Layout, "XYZ")).toThrow("has no field XYZ");
  });
});

describe("quadwords", () => {
  it("are words in little-endian order", () => {
    expect(fromQwords([0x8765_4321_0fed_cba9n])).toEqual(
      Int32Array.of(0x0fed_cba9, 0x8765_4321 | 0),
    );
    expect(toQwords([0x0fed_cba9, 0x8765_4321 | 0, -1])).toEqual([
      0x8765_4321_0fed_cba9n,
      0xffff_ffffn,
    ]);
  });

  it("go there and back", () => {
    fc.assert(
      fc.property(fc.array(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })), (qwords) => {
        expect(toQwords(fromQwords(qwords))).toEqual(qwords);
      }),
      PROPERTY,
    );
  });
});
