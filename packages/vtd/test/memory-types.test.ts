import { DmaRequest } from "@viommu/plugin";
import { MemoryType } from "@viommu/vtd-spec";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ProfileOptions } from "../src/index.ts";
import { Bench, ROOT, TE } from "./support/bench.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_122);

const { UC, WC, WT, WP, WB } = MemoryType;
const NONE = -1;
const ONES = 0xffff_ffff_ffff_ffffn;

const OPTIONS: ProfileOptions = { scalableMode: true, memoryTypes: true, hostAddressWidth: 46 };

const DEF = 0x108;
const E = 0x800n;
const FE = 0x400n;
const V = 0x800n;
/** HAW bits above a page. */
const MASK = 0x3fff_ffff_f000n;
const FIX64K = 0x120;
const base = (i: number): number => 0x180 + 16 * i;
const mask = (i: number): number => 0x188 + 16 * i;

const DEVICE = 0x10;
const INPUT = 0x7000n;
const LEAF = 0x21_7038n;

/**
 * A unit whose device has one page, of a first stage with a PAT of WB alone: its memory type is what
 * the MTRRs say (VT-d 3.11.3, table 7).
 */
class TypeBench extends Bench {
  constructor(options: ProfileOptions = {}) {
    super({ ...OPTIONS, ...options });
    this.put64(ROOT, 0x21_1001n, 0n); // root entry, context entry, directory, PASID table
    this.put64(0x21_1000n + 32n * BigInt(DEVICE), 0x21_2001n, 0n, 0n, 0n);
    this.put64(0x21_2000n, 0x21_3001n);
    this.put64(0x21_3000n, 0x41n, 0x6666_6666_0080_0005n, 0x21_4000n);
    for (const table of [0x21_4000n, 0x21_5000n, 0x21_6000n]) {
      this.put64(table, (table + 0x1000n) | 0x27n);
    }
    this.setRoot(0x400n);
    this.command(TE);
  }

  /** The memory type of a host physical address. */
  typeOf(address: bigint): number {
    this.put64(LEAF, (address & ~0xfffn) | 0x67n);
    return this.ask(INPUT | (address & 0xfffn));
  }

  ask(address: bigint, changes: Partial<DmaRequest> = {}): number {
    const request = new DmaRequest();
    request.sourceId = DEVICE;
    request.hi = Number(address >> 30n);
    request.lo = Number(address & 0x3fff_ffffn);
    request.access = 1;
    Object.assign(request, changes);
    return this.unit.memoryType(request);
  }

  /** Pair i: 2^order bytes from an address on. */
  setRange(i: number, address: bigint, order: bigint, type: number): void {
    this.write64(base(i), address | BigInt(type));
    this.write64(mask(i), (MASK & ~((1n << order) - 1n)) | V);
  }
}

describe("MTRR registers (VT-d 11.4.12)", () => {
  const registers: [string, number, bigint][] = [
    ["MTRRCAP", 0x100, 0x50an],
    ["MTRRDEF", DEF, 0xcffn],
    ["reserved", 0x110, 0n],
    ["reserved", 0x118, 0n],
    ...Array.from({ length: 11 }, (_, i): [string, number, bigint] => [
      `fixed range ${i}`,
      FIX64K + 8 * i,
      ONES,
    ]),
    ["reserved", 0x178, 0n],
    ...Array.from({ length: 10 }, (_, i): [string, number, bigint][] => [
      [`PHYSBASE${i}`, base(i), 0x3fff_ffff_f0ffn],
      [`PHYSMASK${i}`, mask(i), 0x3fff_ffff_f800n],
    ]).flat(),
  ];

  it.each(registers)("%s, offset %i", (_name, offset, expected) => {
    const bench = new Bench(OPTIONS);
    expect(bench.read64(offset)).toBe(offset === 0x100 ? 0x50an : 0n);
    bench.write64(offset, ONES);
    expect(bench.read64(offset)).toBe(expected);
    expect(bench.read32(offset + 4)).toBe(Number(expected >> 32n));
    bench.unit.reset();
    expect(bench.read64(offset)).toBe(offset === 0x100 ? 0x50an : 0n);
  });

  it("are not there without MTS", () => {
    const bench = new Bench({ scalableMode: true });
    for (let offset = 0x100; offset < 0x220; offset += 8) {
      bench.write64(offset, ONES);
      expect(bench.read64(offset)).toBe(0n);
    }
  });

  it("are as many as MTRRCAP says", () => {
    const bench = new Bench({
      ...OPTIONS,
      variableMtrrs: 8,
      fixedMtrrs: false,
      writeCombining: false,
    });
    expect(bench.read64(0x100)).toBe(8n);
    for (const offset of [FIX64K, 0x170, base(8), mask(8), mask(9)]) {
      bench.write64(offset, ONES);
      expect(bench.read64(offset)).toBe(0n);
    }
    bench.write64(mask(7), ONES);
    expect(bench.read64(mask(7))).toBe(0x3fff_ffff_f800n);
  });
});

describe("memory type from the MTRRs (VT-d 3.11.2)", () => {
  it("is UC while E is 0", () => {
    const bench = new TypeBench();
    bench.write64(DEF, FE | BigInt(WB));
    bench.write64(FIX64K, 0x0606_0606_0606_0606n);
    bench.setRange(0, 0n, 40n, WB);
    expect([0n, 0x1234_5000n].map((address) => bench.typeOf(address))).toEqual([UC, UC]);
  });

  it("is the default where no range matches", () => {
    const bench = new TypeBench();
    const seen = [UC, WC, WT, WP, WB].map((type) => {
      bench.write64(DEF, E | BigInt(type));
      return bench.typeOf(0x1234_5000n);
    });
    expect(seen).toEqual([UC, WC, WT, WP, WB]);
  });

  // table 50: first and last address of a sub-range, and its register and field
  it.each([
    ["00000", 0x0_0000n, 0x0_ffffn, 0x120, 0],
    ["70000", 0x7_0000n, 0x7_ffffn, 0x120, 7],
    ["80000", 0x8_0000n, 0x8_3fffn, 0x128, 0],
    ["9c000", 0x9_c000n, 0x9_ffffn, 0x128, 7],
    ["a0000", 0xa_0000n, 0xa_3fffn, 0x130, 0],
    ["bc000", 0xb_c000n, 0xb_ffffn, 0x130, 7],
    ["c0000", 0xc_0000n, 0xc_0fffn, 0x138, 0],
    ["c7000", 0xc_7000n, 0xc_7fffn, 0x138, 7],
    ["c8000", 0xc_8000n, 0xc_8fffn, 0x140, 0],
    ["d5000", 0xd_5000n, 0xd_5fffn, 0x148, 5],
    ["eb000", 0xe_b000n, 0xe_bfffn, 0x160, 3],
    ["ff000", 0xf_f000n, 0xf_ffffn, 0x170, 7],
  ])("fixed range at %s", (_name, first, last, register, field) => {
    const bench = new TypeBench();
    bench.write64(DEF, E | FE | BigInt(WB));
    bench.write64(register, BigInt(WP) << BigInt(8 * field));
    for (const address of [first, last]) expect(bench.typeOf(address)).toBe(WP);
    for (const address of [first - 1n, last + 1n]) {
      if (address >= 0n) expect(bench.typeOf(address)).toBe(address > 0xf_ffffn ? WB : UC);
    }
  });

  it("fixed ranges come before variable ones, while FE is 1", () => {
    const bench = new TypeBench();
    bench.setRange(0, 0n, 21n, WT);
    bench.write64(FIX64K, BigInt(WC));
    bench.write64(DEF, E | FE | BigInt(WB));
    const at = [0x1000n, 0x1_0000n, 0x10_0000n, 0x20_0000n];
    expect(at.map((address) => bench.typeOf(address))).toEqual([WC, UC, WT, WB]);
    bench.write64(DEF, E | BigInt(WB));
    expect(at.map((address) => bench.typeOf(address))).toEqual([WT, WT, WT, WB]);
  });

  it("FE does nothing without fixed ranges", () => {
    const bench = new TypeBench({ fixedMtrrs: false });
    bench.write64(DEF, E | FE | BigInt(WB));
    expect(bench.typeOf(0x1000n)).toBe(WB);
  });

  it("a variable range has a size, wherever it lies", () => {
    const bench = new TypeBench();
    bench.write64(DEF, E | BigInt(WB));
    bench.setRange(9, 0x2345_c000_0000n, 28n, WC);
    const at = [0x2345_bfff_ffffn, 0x2345_c000_0000n, 0x2345_cfff_ffffn, 0x2345_d000_0000n];
    expect(at.map((address) => bench.typeOf(address))).toEqual([WB, WC, WC, WB]);
    bench.write64(mask(9), MASK);
    expect(bench.typeOf(at[1]!)).toBe(WB); // V is 0
  });

  it.each([
    [[WB, WB], WB],
    [[WC, WC], WC],
    [[UC, WB], UC],
    [[WC, UC], UC],
    [[WT, WB], WT],
    [[WB, WT, WB], WT],
    [[WB, WT, UC], UC],
    // undefined in the specification
    [[WB, WC], UC],
    [[WB, WP], UC],
    [[WT, WP], UC],
    [[WB, WT, WP], UC],
    [[WP, WB, WT], UC],
  ])("overlap of types %j: %d", (types, expected) => {
    const bench = new TypeBench();
    bench.write64(DEF, E | BigInt(WP));
    types.forEach((type, i) => {
      bench.setRange(3 * i, 0n, BigInt(30 + i), type);
    });
    expect(bench.typeOf(0x1234_5000n)).toBe(expected);
  });

  it("reserved types count as UC, as WC does without MTRRCAP.WC", () => {
    const bench = new TypeBench();
    for (const type of [2, 3, 7, 8, 0x16, 0xff]) {
      bench.write64(DEF, E | BigInt(type));
      expect(bench.typeOf(0x1234_5000n)).toBe(UC);
    }
    const without = new TypeBench({ writeCombining: false });
    without.write64(DEF, E | BigInt(WC));
    expect(without.typeOf(0x1234_5000n)).toBe(UC);
  });

  it("is that of the address, also in a large page", () => {
    const bench = new TypeBench();
    bench.write64(DEF, E | FE | BigInt(WB));
    bench.setRange(0, 0x10_0000n, 12n, WT);
    bench.put64(0x21_6000n, 0xe7n); // 2 MiB from 0 on
    const at = [0x10_0000n, 0x10_1000n, 0xf_f000n];
    expect(at.map((address) => bench.ask(address))).toEqual([WT, WB, UC]);
  });

  const type = fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom(UC, WC, WT, WP, WB) },
    { weight: 1, arbitrary: fc.nat({ max: 255 }) },
  );
  const bits = (high: bigint): fc.Arbitrary<bigint> => fc.bigInt({ min: 0n, max: high });
  /** Few places, so that ranges and questions meet. */
  const place = fc.oneof(
    fc.constantFrom(0n, 0x10_0000n, 0x8000_0000n, 0x1_0000_0000n, 0x2000_0000_0000n),
    bits(0x3fff_ffff_ffffn),
  );
  const pair = fc.record({
    place,
    type,
    // of a range, or with holes
    mask: fc.oneof(
      bits(46n).map((order) => ~((1n << order) - 1n)),
      bits(0x3fff_ffff_ffffn),
      fc.integer({ min: 12, max: 45 }).map((bit) => 1n << BigInt(bit)),
    ),
    valid: fc.oneof(fc.constant(true), fc.boolean()),
  });
  const world = fc.record({
    variable: fc.array(pair, { maxLength: 10 }),
    fixed: fc.array(type, { minLength: 88, maxLength: 88 }),
    setting: fc.record({ E: fc.nat({ max: 9 }).map((n) => n > 0), FE: fc.boolean(), type }),
    options: fc.record({
      variableMtrrs: fc.oneof(fc.constant(10), fc.nat({ max: 10 })),
      fixedMtrrs: fc.nat({ max: 4 }).map((n) => n > 0),
      writeCombining: fc.nat({ max: 4 }).map((n) => n > 0),
    }),
    low: fc.array(bits(0x1f_ffffn), { minLength: 8, maxLength: 8 }),
    anywhere: fc.array(fc.tuple(place, bits(46n), bits(0xffff_ffffn)), { maxLength: 16 }),
  });

  it("is what a plain reading of the registers gives", () => {
    const seen = new Map<number, number>();
    fc.assert(
      fc.property(world, ({ variable, fixed, setting, options, low, anywhere }) => {
        const bench = new TypeBench(options);
        variable.forEach((range, i) => {
          bench.write64(base(i), (range.place & MASK) | BigInt(range.type));
          bench.write64(mask(i), (range.mask & MASK) | (range.valid ? V : 0n));
        });
        for (let i = 0; i < 88; i += 4) {
          const [a, b, c, d] = fixed.slice(i, i + 4);
          bench.write32(FIX64K + i, a! | (b! << 8) | (c! << 16) | (d! << 24));
        }
        bench.write64(DEF, (setting.E ? E : 0n) | (setting.FE ? FE : 0n) | BigInt(setting.type));
        const near = anywhere.map(([from, bit, offset]) => (from + offset) ^ (1n << bit));
        for (const given of [...low, ...near]) {
          const address = given & 0x3fff_ffff_ffffn;
          if (address >> 20n === 0xfeen) continue; // no output of a translation
          const expected = plainType(bench, address);
          expect(bench.typeOf(address), address.toString(16)).toBe(expected);
          seen.set(expected, (seen.get(expected) ?? 0) + 1);
        }
      }),
      { seed, numRuns: 300 },
    );
    for (const expected of [UC, WC, WT, WP, WB]) expect(seen.get(expected)).toBeGreaterThan(50);
  });
});

/** VT-d 3.11.2, word for word, with what the guest reads in the registers. */
function plainType(bench: Bench, address: bigint): number {
  const capability = bench.read64(0x100);
  const setting = bench.read64(DEF);
  const legal = (type: bigint): number => {
    const types = [UC, WT, WP, WB, ...((capability & 0x400n) === 0n ? [] : [WC])];
    return types.find((each) => BigInt(each) === type) ?? UC;
  };
  if ((setting & E) === 0n) return UC;
  if (address < 0x10_0000n && (setting & FE) !== 0n && (capability & 0x100n) !== 0n) {
    let [start, register] = [0n, FIX64K];
    for (const [size, count] of [
      [0x1_0000n, 1],
      [0x4000n, 2],
      [0x1000n, 8],
    ] as const) {
      for (let i = 0; i < count; i++, register += 8) {
        for (let field = 0n; field < 8n; field++, start += size) {
          if (address < start || address >= start + size) continue;
          return legal((bench.read64(register) >> (8n * field)) & 0xffn);
        }
      }
    }
  }
  const types = new Set<number>();
  for (let i = 0; i < Number(capability & 0xffn); i++) {
    const [from, bits] = [bench.read64(base(i)), bench.read64(mask(i))];
    if ((bits & V) === 0n) continue;
    const compared = bits & ~0xfffn;
    if ((address & compared) === (from & compared)) types.add(legal(from & 0xffn));
  }
  if (types.size === 0) return legal(setting & 0xffn);
  if (types.size === 1) return [...types][0]!;
  return types.size === 2 && types.has(WT) && types.has(WB) ? WT : UC;
}

describe("memory type of a request (VT-d 3.11.4)", () => {
  it("legacy mode, and a unit that is off: WB (VT-d 3.11.4.1)", () => {
    const bench = new TypeBench();
    expect(bench.typeOf(0x1234_5000n)).toBe(UC); // the MTRRs are off
    bench.command(TE, false);
    expect(bench.ask(INPUT)).toBe(WB);
    bench.put64(ROOT, 0x21_1001n, 0n);
    bench.put64(0x21_1000n + 16n * BigInt(DEVICE), 0x21_4001n, 0x502n);
    bench.setRoot();
    bench.command(TE);
    bench.put64(LEAF, 0x1234_5003n);
    expect(bench.ask(INPUT)).toBe(WB);
  });

  it("is -1 for a request that is blocked, and nothing is recorded", () => {
    const bench = new TypeBench();
    bench.write64(DEF, E | BigInt(WB));
    expect(bench.ask(INPUT)).toBe(NONE);
    expect(bench.ask(INPUT, { sourceId: 0x20 })).toBe(NONE);
    expect(bench.read32(0x34)).toBe(0);
  });

  it("is -1 without MTS", () => {
    const bench = new TypeBench({ memoryTypes: false });
    bench.put64(0x21_3000n, 0x41n, 0x80_0005n);
    expect(bench.typeOf(0x1234_5000n)).toBe(NONE);
    expect(bench.dma(DEVICE, INPUT)).toBe(0);
  });
});

describe("save and restore", () => {
  it("keeps what the MTRRs say", () => {
    const bench = new TypeBench();
    bench.write64(DEF, E | FE | BigInt(WB));
    bench.write64(FIX64K, BigInt(WP));
    bench.setRange(4, 0x1000_0000n, 28n, WC);
    const copy = new TypeBench();
    copy.setRange(0, 0n, 40n, UC);
    copy.unit.restore(bench.unit.save());
    for (const address of [0n, 0x2_0000n, 0x1234_5000n, 0x2000_0000n]) {
      expect(copy.typeOf(address)).toBe(bench.typeOf(address));
    }
    expect(copy.typeOf(0x1234_5000n)).toBe(WC);
    copy.write64(mask(4), 0n);
    expect(copy.typeOf(0x1234_5000n)).toBe(WB);
  });

  it("refuses a record of a unit with other MTRRs", () => {
    const bench = new Bench(OPTIONS);
    const other = new Bench({ ...OPTIONS, variableMtrrs: 8 });
    expect(() => {
      other.unit.check(bench.unit.save());
    }).toThrow("(MTRRCAP 50a instead of 508)");
    expect(() => {
      bench.unit.check(bench.unit.save());
    }).not.toThrow();
  });
});
