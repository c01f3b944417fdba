import { describe, expect, it } from "vitest";
import { MemoryType } from "../src/index.ts";
import { requestOf, secondStageBench } from "./support/machine.ts";
import type { Ask, Bench } from "./support/machine.ts";
import { at, FIRST_PAGE, FIRST_STAGE, firstEntry, NESTED } from "./support/scalable-machine.ts";
import {
  NESTED_PAGE,
  PASS_THROUGH,
  scalableBench,
  SECOND_PAGE,
} from "./support/scalable-machine.ts";
import { SECOND_STAGE, secondEntry, secondEntryOf, write } from "./support/scalable-machine.ts";
import type { Changes } from "./support/scalable-machine.ts";

const { UC, WC, WT, WP, WB, UC_MINUS } = MemoryType;
const NONE = -1;

const CD = 1n << 25n;
const EMTE = 1n << 26n;
/** PAT of a PASID table entry whose entry i has the i-th type; in place. */
const pat = (...types: number[]): bigint =>
  types.reduce((word, type, i) => word | (BigInt(type) << BigInt(32 + 4 * i)), 0n);

/** A PASID table entry with more bits in its second qword. */
const withBits = ([low, high, first]: readonly bigint[], bits: bigint): readonly bigint[] => [
  low!,
  high! | bits,
  first!,
];
const withTypes = (entry: readonly bigint[], changes: Changes = []): Bench =>
  scalableBench(entry, { capabilities: { MTS: 1 } }, changes);
const typeOf = (bench: Bench, ask: Ask = at, mtrr?: number): number =>
  bench.engine.memoryType(requestOf(ask), mtrr);

/** Second-stage leaf bits. */
const emt = (type: number): bigint => BigInt(type) << 3n;
const IPAT = 0x40n;
/** First-stage leaf bits, 4 KiB: PAT, PCD and PWT of an index. */
const index = (i: number): bigint => BigInt(((i & 4) << 5) | ((i & 3) << 3));

describe("VT-d 3.11.1: memory type from the page attribute table", () => {
  const types = [UC, WC, WT, WP, WB, UC_MINUS, WB, WT];

  it.each(types.map((type, i) => [i, type]))("PAT, PCD, PWT = %d: type %d", (i, type) => {
    const entry = withBits(FIRST_STAGE, pat(...types));
    const small = withTypes(entry, [[firstEntry(1), FIRST_PAGE | 0x67n | index(i)]]);
    const seen = type === UC_MINUS ? UC : type;
    expect(typeOf(small)).toBe(seen);
    // in large pages PAT is bit 12
    const bits = 0xe7n | BigInt(((i & 4) << 10) | ((i & 3) << 3));
    expect(typeOf(withTypes(entry, [[firstEntry(2), 0x40_0000n | bits]]))).toBe(seen);
    expect(typeOf(withTypes(entry, [[firstEntry(3), 0x4000_0000n | bits]]))).toBe(seen);
  });

  it("bit 3 of an entry of the PAT is not used; reserved types count as UC", () => {
    const entry = withBits(FIRST_STAGE, pat(WB | 8, 2, 3));
    const types = [0, 1, 2].map((i) =>
      typeOf(withTypes(entry, [[firstEntry(1), FIRST_PAGE | 0x67n | index(i)]])),
    );
    expect(types).toEqual([WB, UC, UC]);
  });
});

describe("VT-d 3.11.3: effective memory type", () => {
  // table 7, by MTRR type: for UC, UC-, WC, WT, WB, WP in the PAT
  it.each([
    ["UC", UC, [UC, UC, WC, UC, UC, UC]],
    ["WC", WC, [UC, WC, WC, UC, WC, UC]],
    ["WT", WT, [UC, UC, WC, WT, WT, WP]],
    ["WB", WB, [UC, UC, WC, WT, WB, WP]],
    ["WP", WP, [UC, WC, WC, WT, WP, WP]],
  ])("MTRR or EMT %s", (_name, type, expected) => {
    const columns = [UC, UC_MINUS, WC, WT, WB, WP];
    const first = columns.map((column) => withTypes(withBits(FIRST_STAGE, pat(column))));
    expect(first.map((bench) => typeOf(bench, at, type))).toEqual(expected);
    const nested = columns.map((column) =>
      withTypes(withBits(NESTED, EMTE | pat(column)), [
        [secondEntryOf(FIRST_PAGE), NESTED_PAGE | 3n | emt(type)],
      ]),
    );
    expect(nested.map((bench) => typeOf(bench, at, UC))).toEqual(expected);
  });
});

describe("VT-d 3.11.4: determining the memory type", () => {
  const leaf = (bits: bigint): Changes => [[secondEntry(1), SECOND_PAGE | 3n | bits]];
  const nestedLeaf = (bits: bigint): Changes => [
    [secondEntryOf(FIRST_PAGE), NESTED_PAGE | 3n | bits],
  ];

  it("table 9: with CD all is UC", () => {
    const entries = [FIRST_STAGE, SECOND_STAGE, NESTED, PASS_THROUGH];
    const benches = entries.map((entry) => withTypes(withBits(entry, CD | EMTE | pat(WB))));
    expect(benches.map((bench) => typeOf(bench))).toEqual([UC, UC, UC, UC]);
  });

  it.each<[string, readonly bigint[], Changes, number]>([
    ["second stage, EMTE = 0", SECOND_STAGE, leaf(emt(WC)), WB],
    ["second stage, EMTE = 1: EMT", withBits(SECOND_STAGE, EMTE), leaf(emt(WC)), WC],
    ["second stage, EMTE = 1: reserved", withBits(SECOND_STAGE, EMTE), leaf(emt(2)), UC],
    ["second stage: IPAT says nothing", withBits(SECOND_STAGE, EMTE), leaf(emt(WT) | IPAT), WT],
    ["first stage: EMTE says nothing", withBits(FIRST_STAGE, EMTE | pat(WT)), [], WT],
    ["nested, EMTE = 0: MTRR and PAT", withBits(NESTED, pat(WT)), nestedLeaf(emt(UC)), WT],
    ["nested, IPAT = 0: EMT and PAT", withBits(NESTED, EMTE | pat(WC)), nestedLeaf(emt(WB)), WC],
    ["nested, IPAT = 1: EMT", withBits(NESTED, EMTE | pat(WC)), nestedLeaf(emt(WB) | IPAT), WB],
    ["pass-through", withBits(PASS_THROUGH, EMTE | pat(UC)), [], WB],
  ])("table 9: %s", (_name, entry, changes, type) => {
    expect(typeOf(withTypes(entry, changes))).toBe(type);
  });

  it("legacy mode, and remapping that is off: WB", () => {
    const { bench, root } = secondStageBench({ capabilities: { QI: 1, SMTS: 1, MTS: 1 } });
    bench.map(root, 4, 0x1000n, 0x5_5003n | emt(WC) | IPAT);
    expect(typeOf(bench)).toBe(WB);
    bench.engine.setEnabled(false);
    expect(typeOf(bench)).toBe(WB);
  });

  it("is not told out of the IOTLB", () => {
    const bench = withTypes(withBits(SECOND_STAGE, EMTE), leaf(emt(WC)));
    bench.ask(at);
    bench.write(secondEntry(1), SECOND_PAGE | 3n | emt(WP));
    expect(typeOf(bench)).toBe(WP);
  });

  it("devices whose PASID entries differ in memory types have spaces of their own", () => {
    const bench = withTypes(withBits(SECOND_STAGE, EMTE), leaf(emt(WC)));
    bench.write(0x5000n + 64n * 0x21n, ...withBits(SECOND_STAGE, CD));
    expect(typeOf(bench, { ...at, pasid: 0x21 })).toBe(UC);
    expect(typeOf(bench)).toBe(WC);
  });

  it("a request that is blocked has none, and nothing is reported or set", () => {
    const bench = withTypes(withBits(NESTED, EMTE), nestedLeaf(emt(WB)));
    bench.write(firstEntry(1), FIRST_PAGE | 0x7n);
    expect(typeOf(bench, write)).toBe(UC); // PAT of 0
    expect(bench.read(firstEntry(1))).toBe(FIRST_PAGE | 0x7n);
    bench.write(firstEntry(1), 0n);
    expect(typeOf(bench)).toBe(NONE);
    expect(bench.faults).toEqual([]);
  });

  it("without MTS there are none, and the fields are reserved", () => {
    expect(typeOf(scalableBench(SECOND_STAGE))).toBe(NONE);
    for (const bits of [CD, EMTE, pat(WC)]) {
      expect(scalableBench(withBits(SECOND_STAGE, bits)).reason(at)).toBe(0x5a);
    }
  });
});
