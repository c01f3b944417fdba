import type { GuestMemory } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { variantOf } from "./support/machine.ts";
import type { Ask, BenchOptions } from "./support/machine.ts";
import { ADDRESS, at, FAR, PASIDS, PASS_THROUGH } from "./support/scalable-machine.ts";
import { READ, scalableBench, SECOND, SECOND_PAGE } from "./support/scalable-machine.ts";
import { SECOND_STAGE, SECOND_STAGE_FLAGS, secondEntry } from "./support/scalable-machine.ts";
import { withPasid, withZeroLength, WRITE, write } from "./support/scalable-machine.ts";
import type { Changes } from "./support/scalable-machine.ts";

const OUT = SECOND_PAGE | 0x234n;
const ATOMIC = { ...at, access: 3 };

const leaf = (bits: bigint): Changes => [[secondEntry(1), SECOND_PAGE | bits]];

describe("VT-d 7.1.3, second-stage tables in scalable mode: SSS, SGN.5 to SGN.8", () => {
  it.each<[string, Changes, Ask, number, BenchOptions?]>([
    ["SSS.1, 78h: level 3 can't be read", [[SECOND, FAR | 3n]], at, 0x78],
    ["SSS.1, 78h: level 1 can't be read", [[secondEntry(2), FAR | 3n]], at, 0x78],
    ["SSS.2, 79h: neither R nor W", leaf(0n), at, 0x79],
    ["SSS.2, 79h: neither, with reserved bits", leaf(0x800f_0000_0000_0800n), write, 0x79],
    [
      "SSS.2, 79h: read and write by turns leave nothing",
      [[SECOND, 0xb001n], ...leaf(2n)],
      at,
      0x79,
    ],
    ["SSS.2, 79h: for a zero-length read", leaf(0n), withZeroLength, 0x79],
    ["SSS.3, 7Ah: PS at level 4", [[SECOND, 0xb083n]], at, 0x7a],
    ["SSS.3, 7Ah: bit 11 at level 2", [[secondEntry(2), 0xd803n]], at, 0x7a],
    ["SSS.3, 7Ah: an address bit at the host width", leaf((1n << 46n) | 3n), at, 0x7a],
    ["SSS.3, 7Ah: bit 62 without SSIRWE", leaf((1n << 62n) | 3n), at, 0x7a],
    ["SSS.3, 7Ah: SNP without SC", leaf(0x803n), at, 0x7a, { capabilities: { SC: 0 } }],
    ["SSS.3, 7Ah: bit 20 of a 2 MiB page", [[secondEntry(2), 0x10_0083n]], at, 0x7a],
    ["SSS.4, 7Bh: the top entry can't be read", [[PASIDS, FAR | 0x89n]], at, 0x7b],
    ["SGN.5, 84h: beyond AW", [], { ...at, address: 1n << 48n }, 0x84],
    ["SGN.5, 84h: beyond every width", [], { ...at, address: -1n & ((1n << 64n) - 1n) }, 0x84],
    [
      "SGN.5, 84h: beyond MGAW",
      [],
      { ...at, address: 1n << 40n },
      0x84,
      { capabilities: { MGAW: 39 } },
    ],
    ["SGN.6, 85h: a write without W", leaf(1n), write, 0x85],
    ["SGN.6, 85h: an atomic without W", leaf(1n), ATOMIC, 0x85],
    ["SGN.6, 85h: W is 0 at level 3", [[0xb000n, 0xc001n]], write, 0x85],
    ["SGN.7, 86h: a read without R", leaf(2n), at, 0x86],
    ["SGN.7, 86h: an atomic without R", leaf(2n), ATOMIC, 0x86],
    [
      "SGN.7, 86h: a zero-length read without R and without ZLR",
      leaf(2n),
      withZeroLength,
      0x86,
      { capabilities: { ZLR: 0 } },
    ],
    ["SGN.8, 87h: the output is in FEEx_xxxxh", [[secondEntry(1), 0xfee0_0003n]], at, 0x87],
  ])("%s", (_name, changes, ask, reason, options) => {
    const bench = scalableBench(SECOND_STAGE, options, changes);
    expect(bench.ask(ask)).toEqual({ result: reason, suppressed: false });
    expect(bench.ask(ask)).toEqual({ result: reason, suppressed: false });
  });

  it("SGN.7: with ZLR, a zero-length read may meet a write-only page", () => {
    const bench = scalableBench(SECOND_STAGE, {}, leaf(2n));
    expect(bench.ask(withZeroLength).out).toBe(OUT);
  });

  it("reserved bits count only where R or W is set, permissions come first", () => {
    const bench = scalableBench(SECOND_STAGE, {}, leaf((1n << 46n) | 1n));
    expect(bench.reason(write)).toBe(0x85);
    expect(bench.reason(at)).toBe(0x7a);
  });
});

describe("VT-d 3.7 in scalable mode", () => {
  it.each<[string, Changes, bigint, bigint, number]>([
    ["4 KiB", [], ADDRESS, OUT, 12],
    ["2 MiB", [[secondEntry(2), 0x40_0083n]], 0x12_3456n, 0x52_3456n, 21],
    ["1 GiB", [[0xb000n, 0x8000_0083n]], 0x1234_5678n, 0x9234_5678n, 30],
    ["three levels", [[PASIDS, 0xb085n]], ADDRESS, OUT, 12],
  ])("maps pages: %s", (_name, changes, address, out, pageShift) => {
    const bench = scalableBench(SECOND_STAGE, {}, changes);
    for (let i = 0; i < 2; i += 1) {
      expect(bench.ask({ address })).toEqual({ result: 0, out, pageShift, granted: 3 });
    }
  });

  it("with PASID as without, and a supervisor shares the space", () => {
    const supervisor = [SECOND_STAGE[0]!, SECOND_STAGE[1]!, 1n];
    const bench = scalableBench(supervisor);
    expect(bench.ask(withPasid).out).toBe(OUT);
    const { walks } = bench.engine.counters;
    expect(bench.ask({ ...withPasid, access: 9 }).out).toBe(OUT);
    expect(bench.engine.counters.walks).toBe(walks);
  });

  it("SNP and PGSNP make requests snoop", () => {
    expect(scalableBench(SECOND_STAGE, {}, leaf(0x803n)).ask(at).granted).toBe(0x13);
    const paged = [SECOND_STAGE[0]!, SECOND_STAGE[1]! | (1n << 24n), 0n];
    expect(scalableBench(paged).ask(at).granted).toBe(0x13);
  });

  it("without SSADE, no flag is set and none is missed", () => {
    const bench = scalableBench([SECOND_STAGE[0]!, 5n, 0n]);
    expect(bench.reason(write)).toBe(0);
    for (const level of [4, 3, 2, 1]) expect(bench.read(secondEntry(level)) & 0xfffn).toBe(3n);
  });
});

const IR = 1n << 61n;
const IW = 1n << 62n;

describe("VT-d 9.8 with RTADDR.SSIRWE: IR and IW", () => {
  const options = { capabilities: { SSIRWS: 1 }, ssirwe: true };
  const upper = (bits: bigint): Changes =>
    [4, 3, 2].map(
      (level) => [secondEntry(level), (secondEntry(level - 1) & ~0xfffn) | bits] as const,
    );

  it("are the permissions, R and W are ignored", () => {
    const bench = scalableBench(SECOND_STAGE, options, [...upper(IR | IW), ...leaf(IR | 2n)]);
    expect(bench.ask(at)).toMatchObject({ out: OUT, granted: READ });
    expect(bench.reason(write)).toBe(0x85);
    bench.write(secondEntry(1), SECOND_PAGE | IW | 1n);
    bench.engine.invalidateIotlbGlobal();
    expect(bench.ask(write)).toMatchObject({ out: OUT, granted: WRITE });
    expect(bench.reason(at)).toBe(0x86);
  });

  it("without them nothing is allowed", () => {
    expect(scalableBench(SECOND_STAGE, options).reason(at)).toBe(0x79);
  });

  it("SSIRWE has no meaning without SSIRWS", () => {
    expect(scalableBench(SECOND_STAGE, { ssirwe: true }).reason(at)).toBe(0);
  });
});

describe("VT-d 3.7.2: A and D", () => {
  it("a read sets A at every level", () => {
    const bench = scalableBench(SECOND_STAGE_FLAGS);
    expect(bench.ask(at)).toEqual({ result: 0, out: OUT, pageShift: 12, granted: READ });
    for (const level of [4, 3, 2, 1]) expect(bench.read(secondEntry(level)) & 0xfffn).toBe(0x103n);
  });

  it("a write sets D as well, where the page is mapped", () => {
    const bench = scalableBench(SECOND_STAGE_FLAGS);
    expect(bench.ask(write).granted).toBe(3);
    for (const level of [4, 3, 2]) expect(bench.read(secondEntry(level)) & 0xfffn).toBe(0x103n);
    expect(bench.read(secondEntry(1))).toBe(SECOND_PAGE | 0x303n);
  });

  it.each([
    ["4 KiB", [], secondEntry(1)],
    ["2 MiB", [[secondEntry(2), 0x40_0083n]] as Changes, secondEntry(2)],
    ["1 GiB", [[0xb000n, 0x8000_0083n]] as Changes, 0xb000n],
  ])("a write after a cached read sets D: a page of %s", (_name, changes, entry) => {
    const bench = scalableBench(SECOND_STAGE_FLAGS, {}, changes);
    const before = bench.read(entry);
    expect(bench.ask(at).granted).toBe(READ);
    expect(bench.read(entry)).toBe(before | 0x100n);
    expect(bench.ask(write).granted).toBe(3);
    expect(bench.read(entry)).toBe(before | 0x300n);
    const { walks } = bench.engine.counters;
    expect(bench.ask(write).granted).toBe(3);
    expect(bench.engine.counters.walks).toBe(walks);
  });

  it.each<[string, Changes, Ask]>([
    ["A", [], at],
    [
      "D",
      [
        [SECOND, 0xb103n],
        [0xb000n, 0xc103n],
        [0xc000n, 0xd103n],
        [secondEntry(1), SECOND_PAGE | 0x103n],
      ],
      write,
    ],
  ])("SSS.5, 7Ch: %s is to be set, and the walk doesn't snoop", (_name, changes, ask) => {
    const bench = scalableBench([SECOND_STAGE_FLAGS[0]!, 5n, 0n], {}, changes);
    expect(bench.ask(ask)).toEqual({ result: 0x7c, suppressed: false });
    expect(bench.probe(ask).result).toBe(0x7c);
  });

  it("7Ch: flags that were set in advance are enough", () => {
    const bench = scalableBench([SECOND_STAGE_FLAGS[0]!, 5n, 0n], {}, [
      [SECOND, 0xb103n],
      [0xb000n, 0xc103n],
      [0xc000n, 0xd103n],
      [secondEntry(1), SECOND_PAGE | 0x303n],
    ]);
    expect(bench.ask(write)).toEqual({ result: 0, out: OUT, pageShift: 12, granted: 3 });
  });

  it.each([
    ["a flag can't be written", 2],
    ["the entry changes each time it is used", 1],
  ])("SSS.6, 7Dh: %s", (_name, result) => {
    const memory = (given: GuestMemory): GuestMemory =>
      variantOf(given, { exchangeWord: () => result });
    const bench = scalableBench(SECOND_STAGE_FLAGS, { memory });
    expect(bench.ask(at)).toEqual({ result: 0x7d, suppressed: false });
  });

  it("an entry that changes while a flag is being set is looked at again", () => {
    let tries = 0;
    const bench: ReturnType<typeof scalableBench> = scalableBench(SECOND_STAGE_FLAGS, {
      memory: (memory) =>
        variantOf(memory, {
          exchangeWord: (hi, lo, expected, value) => {
            tries += 1;
            if (tries === 4) bench.write(secondEntry(1), 0x5_5003n);
            return memory.exchangeWord(hi, lo, expected, value);
          },
        }),
    });
    expect(bench.ask(write).out).toBe(0x5_5234n);
    expect(bench.read(secondEntry(1))).toBe(0x5_5303n);
  });

  it("D isn't set for a write that is blocked", () => {
    const denied = scalableBench(SECOND_STAGE_FLAGS, {}, leaf(1n));
    expect(denied.reason(write)).toBe(0x85);
    expect(denied.read(secondEntry(1)) & 0x200n).toBe(0n);
    const interrupt = scalableBench(SECOND_STAGE_FLAGS, {}, [[secondEntry(1), 0xfee0_0003n]]);
    expect(interrupt.reason(write)).toBe(0x87);
    expect(interrupt.read(secondEntry(1))).toBe(0xfee0_0003n);
  });
});

describe("VT-d 3.9: pass-through in scalable mode", () => {
  it("gives the address back, with all rights", () => {
    const bench = scalableBench(PASS_THROUGH);
    for (const ask of [at, write, withPasid, withPasid]) {
      expect(bench.ask(ask)).toEqual({ result: 0, out: ADDRESS, pageShift: 30, granted: 0x23 });
    }
  });

  it.each<[string, Ask, number]>([
    ["SGN.4.2, 83h: beyond the host address width", { address: 1n << 46n }, 0x83],
    ["SGN.4.2, 83h: a negative address", { address: 0xffff_ffff_ffff_f000n }, 0x83],
    ["SGN.8.1, 87h: with PASID into FEEx_xxxxh", { address: 0xfee0_0000n, pasid: 0x21 }, 0x87],
  ])("%s", (_name, ask, reason) => {
    const bench = scalableBench(PASS_THROUGH);
    expect(bench.ask(ask)).toEqual({ result: reason, suppressed: false });
  });

  it("PGSNP makes all requests snoop", () => {
    const bench = scalableBench([PASS_THROUGH[0]!, PASS_THROUGH[1]! | (1n << 24n), 0n]);
    expect(bench.ask(at).granted).toBe(0x33);
  });
});
