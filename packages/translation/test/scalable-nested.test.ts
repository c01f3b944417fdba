import type { GuestMemory } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { variantOf } from "./support/machine.ts";
import type { Ask, BenchOptions } from "./support/machine.ts";
import { ADDRESS, at, FAR, FIRST, FIRST_PAGE, firstEntry } from "./support/scalable-machine.ts";
import {
  NESTED,
  NESTED_FLAGS,
  NESTED_PAGE,
  READ,
  scalableBench,
} from "./support/scalable-machine.ts";
import { secondEntry, secondEntryOf, withPasid } from "./support/scalable-machine.ts";
import { withZeroLength, WRITE, write } from "./support/scalable-machine.ts";
import type { Changes } from "./support/scalable-machine.ts";

const OUT = NESTED_PAGE | 0x234n;
/** Second-stage entries: of the first stage's table of a level, and of the page it maps. */
const ofTable = (level: number): bigint => secondEntryOf(firstEntry(level) & ~0xfffn);
const ofPage = secondEntryOf(FIRST_PAGE);

describe("VT-d 3.8: nested translation", () => {
  it("sends what the first stage maps through the second one", () => {
    const bench = scalableBench(NESTED);
    for (const ask of [at, write, withPasid, at]) {
      expect(bench.ask(ask)).toEqual({ result: 0, out: OUT, pageShift: 12, granted: 3 });
    }
  });

  it("reads first-stage tables where the second stage says they are", () => {
    const bench = scalableBench(NESTED);
    bench.write(ofTable(1), 0x5_5003n);
    bench.write(0x5_5008n, 0x1_3067n);
    bench.write(secondEntryOf(0x1_3000n), 0x6_6003n);
    expect(bench.ask(at).out).toBe(0x6_6234n);
    // and from the cached table
    bench.write(0x5_5010n, 0x1_3067n);
    expect(bench.ask({ address: 0x2004n }).out).toBe(0x6_6004n);
  });

  it.each<[string, Changes, bigint, bigint, number]>([
    ["2 MiB over 4 KiB", [[0x8000n, 0xe7n]], 0x1_2345n, NESTED_PAGE | 0x345n, 12],
    [
      "2 MiB over 2 MiB",
      [
        [0x8000n, 0x40_00e7n],
        [secondEntry(2) + 16n, 0x60_0083n],
      ],
      0x1_2345n,
      0x61_2345n,
      21,
    ],
    [
      "4 KiB over 2 MiB",
      [
        [firstEntry(1), 0x41_2067n],
        [secondEntry(2) + 16n, 0x60_0083n],
      ],
      ADDRESS,
      0x61_2234n,
      12,
    ],
    [
      "1 GiB over 2 MiB",
      [
        [0x7000n, 0xe7n],
        [secondEntry(2) + 16n, 0x60_0083n],
      ],
      0x41_2345n,
      0x61_2345n,
      21,
    ],
  ])("the page is the smaller one: %s", (_name, changes, address, out, pageShift) => {
    const bench = scalableBench(NESTED, {}, changes);
    expect(bench.ask({ address })).toEqual({ result: 0, out, pageShift, granted: 3 });
    expect(bench.ask({ address })).toEqual({ result: 0, out, pageShift, granted: 3 });
  });

  it("the rights are those that both stages leave; SNP comes from the second", () => {
    const readOnly = scalableBench(NESTED, {}, [[firstEntry(1), FIRST_PAGE | 0x65n]]);
    expect(readOnly.ask(at).granted).toBe(READ);
    const writeOnly = scalableBench(NESTED, {}, [[ofPage, NESTED_PAGE | 2n]]);
    expect(writeOnly.ask(write).granted).toBe(WRITE);
    const snooped = scalableBench(NESTED, {}, [[ofPage, NESTED_PAGE | 0x801n]]);
    expect(snooped.ask(at).granted).toBe(0x11);
  });

  it("five levels under three", () => {
    const bench = scalableBench([0xb0c5n, 0x80_0005n, 0xe004n], {}, [
      [0xe000n, 0x6027n],
      [secondEntryOf(0xe000n), 0xe003n],
    ]);
    expect(bench.ask(at).out).toBe(OUT);
  });
});

const NARROW = { capabilities: { MGAW: 38 } };

describe("VT-d 7.1.3 under nested translation: SFS.5 to SFS.8, SSS, SGN", () => {
  it.each<[string, Changes, Ask, number, BenchOptions?]>([
    [
      "SFS.5, 74h: a table beyond the second stage",
      [[0x7000n, (1n << 39n) | 0x27n]],
      at,
      0x74,
      NARROW,
    ],
    ["SFS.5, 74h: a page", [[firstEntry(1), (1n << 40n) | 0x67n]], at, 0x74, NARROW],
    ["SFS.6, 75h: the top table can't be read", [[ofTable(4), FIRST | 2n]], at, 0x75],
    ["SFS.7, 76h: a lower table", [[ofTable(3), 0x7002n]], at, 0x76],
    ["SFS.7, 76h: the last table", [[ofTable(1), 0x9002n]], write, 0x76],
    [
      "SFS.8, 77h: A is to be set in a table that is read-only",
      [
        [ofTable(2), 0x8001n],
        [0x8000n, 0x9007n],
      ],
      at,
      0x77,
    ],
    [
      "SFS.8, 77h: D is to be set in a page table that is read-only",
      [
        [ofTable(1), 0x9001n],
        [firstEntry(1), FIRST_PAGE | 0x27n],
      ],
      write,
      0x77,
    ],
    ["SSS.1, 78h: under a first-stage table", [[secondEntry(2), FAR | 3n]], at, 0x78],
    ["SSS.2, 79h: a first-stage table is not mapped", [[ofTable(3), 0n]], at, 0x79],
    ["SSS.2, 79h: the top table", [[ofTable(4), 0n]], at, 0x79],
    ["SSS.2, 79h: the page", [[ofPage, 0n]], at, 0x79],
    ["SSS.3, 7Ah: under a first-stage table", [[ofTable(2), (1n << 46n) | 3n]], at, 0x7a],
    ["SSS.3, 7Ah: under the page", [[ofPage, (1n << 46n) | 3n]], at, 0x7a],
    ["SSS.4, 7Bh: the top second-stage entry", [[0x5000n, FAR | 0xc5n]], at, 0x7b],
    ["SFS.4, 73h: the top table is mapped to no memory", [[ofTable(4), FAR | 3n]], at, 0x73],
    ["SFS.1, 70h: a lower table is mapped to no memory", [[ofTable(3), FAR | 3n]], at, 0x70],
    ["SFS.2, 71h: a first-stage entry is not present", [[firstEntry(1), 0n]], at, 0x71],
    ["SGN.1, 80h: not canonical", [], { address: 1n << 47n }, 0x80],
    ["SGN.2, 81h: a supervisor page", [[firstEntry(1), FIRST_PAGE | 0x63n]], at, 0x81],
    ["SGN.6, 85h: the first stage denies", [[firstEntry(1), FIRST_PAGE | 0x65n]], write, 0x85],
    ["SGN.6, 85h: the second stage denies", [[ofPage, NESTED_PAGE | 1n]], write, 0x85],
    ["SGN.7, 86h: the second stage denies a read", [[ofPage, NESTED_PAGE | 2n]], at, 0x86],
    ["SGN.8, 87h: the output is in FEEx_xxxxh", [[ofPage, 0xfee0_0003n]], at, 0x87],
  ])("%s", (_name, changes, ask, reason, options) => {
    const bench = scalableBench(NESTED, options, changes);
    expect(bench.ask(ask)).toEqual({ result: reason, suppressed: false });
    expect(bench.ask(ask)).toEqual({ result: reason, suppressed: false });
  });

  it("SGN.8: FEEx_xxxxh between the stages is an address like others", () => {
    const bench = scalableBench(NESTED, {}, [
      [firstEntry(1), 0xfee0_0067n],
      [0xb000n + 24n, 0xc003n],
      [0xc000n + 8n * 0x1f7n, 0xd003n],
      [0xd000n, 0x7_7003n],
    ]);
    expect(bench.ask(at).out).toBe(0x7_7234n);
  });

  it("SGN.7: with ZLR, a zero-length read may meet a write-only page", () => {
    const bench = scalableBench(NESTED, {}, [[ofPage, NESTED_PAGE | 2n]]);
    expect(bench.ask(withZeroLength).out).toBe(OUT);
  });

  it("tables that are read-only are good enough where no flag is to be set", () => {
    const changes = [1, 2, 3, 4].map(
      (level) => [ofTable(level), (firstEntry(level) & ~0xfffn) | 1n] as const,
    );
    const bench = scalableBench(NESTED, {}, changes);
    expect(bench.ask(write).out).toBe(OUT);
  });

  it("91h: a flag of a first-stage entry can't be written", () => {
    const memory = (given: GuestMemory): GuestMemory => variantOf(given, { exchangeWord: () => 2 });
    const bench = scalableBench(NESTED, { memory }, [[firstEntry(1), FIRST_PAGE | 7n]]);
    expect(bench.reason(at)).toBe(0x91);
  });
});

describe("VT-d 3.8.1 with SSADE: flags of both stages", () => {
  it("reading first-stage tables counts as writing them", () => {
    const bench = scalableBench(NESTED_FLAGS);
    expect(bench.ask(at)).toEqual({ result: 0, out: OUT, pageShift: 12, granted: READ });
    for (const level of [4, 3, 2, 1]) expect(bench.read(ofTable(level)) & 0xf00n).toBe(0x300n);
    expect(bench.read(ofPage)).toBe(NESTED_PAGE | 0x103n);
    expect(bench.ask(write).granted).toBe(3);
    expect(bench.read(ofPage)).toBe(NESTED_PAGE | 0x303n);
  });

  it("so that the second stage must allow both", () => {
    const bench = scalableBench(NESTED_FLAGS, {}, [[ofTable(3), 0x7001n]]);
    expect(bench.reason(at)).toBe(0x85);
    bench.write(ofTable(3), 0x7002n);
    expect(bench.reason(at)).toBe(0x76);
  });

  it("D of the first stage: a write after a cached read", () => {
    const bench = scalableBench(NESTED, {}, [[firstEntry(1), FIRST_PAGE | 0x27n]]);
    expect(bench.ask(at).granted).toBe(READ);
    expect(bench.ask(write).granted).toBe(3);
    expect(bench.read(firstEntry(1))).toBe(FIRST_PAGE | 0x67n);
  });

  it("D of neither stage is set for a write that the second stage blocks", () => {
    const changes: Changes = [
      [firstEntry(1), FIRST_PAGE | 0x27n],
      [ofPage, NESTED_PAGE | 1n],
    ];
    const bench = scalableBench(NESTED_FLAGS, {}, changes);
    expect(bench.reason(write)).toBe(0x85);
    expect(bench.read(firstEntry(1))).toBe(FIRST_PAGE | 0x27n);
    expect(bench.read(ofPage) & 0x200n).toBe(0n);
  });

  it("7Ch and 90h: a walk that doesn't snoop sets nothing in either stage", () => {
    const second = scalableBench([NESTED_FLAGS[0]!, 5n, FIRST]);
    expect(second.reason(at)).toBe(0x7c);
    const first = scalableBench([NESTED[0]!, 5n, FIRST], {}, [[firstEntry(1), FIRST_PAGE | 7n]]);
    expect(first.reason(at)).toBe(0x90);
  });
});
