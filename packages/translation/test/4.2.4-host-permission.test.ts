import { describe, expect, it } from "vitest";
import {
  CONTEXT_FLAGS,
  ENTRY,
  entry,
  EPTR,
  HOST_ADDRESS,
} from "./support/host-permission-machine.ts";
import { hptFields, HPTE, L1, L2, L3, L4 } from "./support/host-permission-machine.ts";
import { passes, permission, permissionBench, pointer } from "./support/host-permission-machine.ts";
import { ROOT } from "./support/machine.ts";
import type { Ask, BenchOptions } from "./support/machine.ts";
import { ADDRESS, CONTEXT_AT, DIRECTORY, FAR, PASID } from "./support/scalable-machine.ts";
import { PASID_AT, PASIDS, SECOND_PAGE, SECOND_STAGE } from "./support/scalable-machine.ts";
import type { Changes } from "./support/scalable-machine.ts";

const READ = { address: HOST_ADDRESS, addressType: 2, access: 1 };
const WRITE = { ...READ, access: 2 };
const ATOMIC = { ...READ, access: 3 };
const ZERO_LENGTH = { ...READ, access: 0 };
const ALL = 0x23; // read, write, bypass

/** Condition, changes of memory, request, reason. */
type Case = [string, Changes, Ask, number, BenchOptions?];

function check(cases: Case[]): void {
  it.each<Case>(cases)("%s", (_name, changes, ask, reason, options) => {
    const bench = permissionBench(options, changes);
    expect(bench.probe(ask)).toEqual({ result: reason, suppressed: false });
    expect(bench.faults).toEqual([]);
    expect(bench.ask(ask)).toEqual({ result: reason, suppressed: false });
    expect(bench.reason(ask)).toBe(reason);
    expect(bench.faults).toEqual(Array(2).fill([reason, 0x10, ask.address, false]));
    // all of these conditions are qualified
    bench.write(CONTEXT_AT, bench.read(CONTEXT_AT) | 2n);
    bench.engine.invalidateAll();
    expect(bench.ask(ask)).toEqual({ result: reason, suppressed: true });
  });
}

describe("VT-d 4.2.4: the walk of a host permission table", () => {
  it.each<[string, Changes, number]>([
    ["a page permission of the last level: 4 KiB", [], 12],
    ["of level 2: 2 MiB", entry(ENTRY[2], permission(2, 3n)), 21],
    ["of level 3: 1 GiB", entry(ENTRY[3], permission(3, 3n)), 30],
    ["of level 2, whatever is below", entry(ENTRY[2], permission(2, 3n, FAR)), 21],
    ["of level 3, whatever is below", entry(ENTRY[3], permission(3, 3n, FAR)), 30],
    ["bits 127:116 are ignored", entry(ENTRY[4], pointer(L3 | (0xfffn << 52n))), 12],
    ["in all levels above the last", entry(ENTRY[2], pointer(L1 | (0xfffn << 52n))), 12],
  ])("%s", (_name, changes, pageShift) => {
    const bench = permissionBench({}, changes);
    for (const ask of [READ, WRITE, ATOMIC, ZERO_LENGTH, READ]) {
      expect(bench.ask(ask)).toEqual(passes(pageShift));
    }
    expect(bench.faults).toEqual([]);
  });

  it("the permissions of other pages have no say", () => {
    const others = (level: 1 | 2 | 3, count: number): bigint =>
      (((1n << BigInt(4 * count)) / 15n) * 3n) & ~permission(level, 3n);
    const bench = permissionBench({}, [
      ...entry(ENTRY[3], others(3, 8) | pointer(L2)),
      ...entry(ENTRY[2], others(2, 16) | pointer(L1)),
      ...entry(ENTRY[1], others(1, 32)),
    ]);
    expect(bench.reason(READ)).toBe(0xa5);
    expect(bench.ask({ ...READ, address: HOST_ADDRESS ^ (1n << 12n) })).toMatchObject({
      pageShift: 12,
    });
    expect(bench.ask({ ...READ, address: HOST_ADDRESS ^ (1n << 21n) })).toMatchObject({
      pageShift: 21,
    });
    expect(bench.ask({ ...READ, address: HOST_ADDRESS ^ (1n << 30n) })).toMatchObject({
      pageShift: 30,
    });
    expect(bench.reason(READ)).toBe(0xa5);
  });

  it.each([256n, 511n, 512n, 1023n, 2047n])("entry %i of the top table", (index) => {
    const bench = permissionBench({ hostAddressWidth: 52 }, [
      ...hptFields(PASIDS, L4 | 3n),
      ...entry(L4 + 16n * index, pointer(L3)),
    ]);
    const address = (index << 41n) | (HOST_ADDRESS & ((1n << 41n) - 1n));
    expect(bench.ask({ ...READ, address })).toEqual(passes(12, ALL, address));
  });

  it("a top table goes on behind a border of 1 GiB, not at 0", () => {
    const bench = permissionBench({ hostAddressWidth: 52 }, hptFields(PASIDS, 0x3fff_f003n));
    expect(bench.reason({ ...READ, address: 1n << 49n })).toBe(0xa2);
  });
});

describe("VT-d 4.2.4.1: access rights", () => {
  // PP, then the reasons of a read, a write, an atomic operation, a zero-length read (ZLR 1 and 0)
  it.each<[bigint, number, number, number, number, number]>([
    [0n, 0xa5, 0xa4, 0xa4, 0xa3, 0xa5],
    [1n, 0, 0xa4, 0xa4, 0, 0],
    [2n, 0xa5, 0, 0xa5, 0, 0xa5],
    [3n, 0, 0, 0, 0, 0],
  ])("page permission %i", (rights, ...reasons) => {
    const levels = [1, 2, 3] as const;
    for (const level of levels) {
      const change = entry(ENTRY[level], permission(level, rights));
      const bench = permissionBench({}, change);
      const without = permissionBench({ capabilities: { ZLR: 0 } }, change);
      const asked = [READ, WRITE, ATOMIC, ZERO_LENGTH].map((ask) => bench.reason(ask));
      expect([...asked, without.reason(ZERO_LENGTH)]).toEqual(reasons);
      for (const ask of [READ, WRITE, ATOMIC, ZERO_LENGTH]) {
        const answer = bench.ask(ask);
        if (answer.result === 0) expect(answer.granted).toBe(Number(rights) | 0x20);
      }
    }
  });

  it("reads and writes of a page that gives one of them don't get in each other's way", () => {
    const bench = permissionBench({}, entry(ENTRY[1], permission(1, 2n)));
    expect([WRITE, READ, WRITE, ATOMIC].map((ask) => bench.reason(ask))).toEqual([
      0, 0xa5, 0, 0xa5,
    ]);
  });
});

const HAW = 46;
const wide: BenchOptions = { hostAddressWidth: 52 };
const without1G: BenchOptions = { capabilities: { HPT1GPS: 0 } };
const pasids = (qword: number, value: bigint): Changes => [[PASIDS + 8n * BigInt(qword), value]];

describe("VT-d 7.1.3: HPT faults", () => {
  check([
    ["HPT.1, A0h: the HPTL3E can't be read", entry(ENTRY[4], pointer(FAR)), READ, 0xa0],
    ["HPT.1, A0h: the HPTL2E", entry(ENTRY[3], pointer(FAR)), READ, 0xa0],
    ["HPT.1, A0h: the HPTL1E", entry(ENTRY[2], pointer(FAR)), WRITE, 0xa0],
    ["HPT.1, A0h: a zero-length read", entry(ENTRY[2], pointer(FAR)), ZERO_LENGTH, 0xa0],
    ["HPT.2, A1h: bit 2", entry(ENTRY[1], permission(1, 3n) | 4n), READ, 0xa1],
    ["HPT.3, A2h: the HPTL4E", hptFields(PASIDS, FAR), READ, 0xa2],
    ["HPT.4, A3h: HPTL4E without AV", entry(ENTRY[4], L3 << 64n), ZERO_LENGTH, 0xa3],
    ["HPT.4, A3h: HPTL3E without AV", entry(ENTRY[3], L2 << 64n), ZERO_LENGTH, 0xa3],
    ["HPT.4, A3h: HPTL2E without AV", entry(ENTRY[2], L1 << 64n), ZERO_LENGTH, 0xa3],
    ["HPT.4, A3h: HPTL1E of zeros", entry(ENTRY[1], 0n), ZERO_LENGTH, 0xa3],
    ["HPT.5, A4h: HPTL4E without AV", entry(ENTRY[4], FAR << 64n), WRITE, 0xa4],
    ["HPT.5, A4h: HPTL3E without AV", entry(ENTRY[3], FAR << 64n), ATOMIC, 0xa4],
    ["HPT.6, A5h: HPTL2E without AV", entry(ENTRY[2], FAR << 64n), READ, 0xa5],
    ["HPT.6, A5h: HPTL4E of zeros", entry(ENTRY[4], 0n), READ, 0xa5],
  ]);

  const reserved: [4 | 3 | 2 | 1, number, bigint, BenchOptions?][] = [
    ...[0, 31, 63, 65, 75, 64 + HAW, 115].map((bit): [4, number, bigint] => [4, bit, pointer(L3)]),
    ...[2, 31, 32, 63, 65, 75, 64 + HAW, 115].map((bit): [3, number, bigint] => [
      3,
      bit,
      pointer(L2),
    ]),
    ...[2, 63, 65, 75, 64 + HAW, 115].map((bit): [2, number, bigint] => [2, bit, pointer(L1)]),
    ...[2, 87, 127].map((bit): [1, number, bigint] => [1, bit, permission(1, 3n)]),
    [4, 64 + HAW, 0n],
    [3, 64 + HAW, permission(3, 3n)],
    [2, 115, permission(2, 3n)],
    [3, 24, 0n, without1G],
    [3, 0, pointer(L2), without1G],
    [2, 67, permission(2, 3n), wide],
  ];
  check(
    reserved.map(([level, bit, rest, options = {}]): Case => {
      const name = `HPT.2, A1h: bit ${bit} of ${rest.toString(16)}h, level ${level}`;
      return [name, entry(ENTRY[level], rest | (1n << BigInt(bit))), READ, 0xa1, options];
    }),
  );

  it("bit 115 is one of the address if the host has 52", () => {
    const far = entry(ENTRY[4], pointer(1n << 51n));
    expect(permissionBench(wide, far).reason(READ)).toBe(0xa0);
  });
});

describe("VT-d 7.1.3: what comes before the walk", () => {
  const beyond = { ...READ, address: 1n << 49n };
  check([
    ["SPT.9, 60h: an address beyond 2^49", [], { ...READ, address: 1n << 49n }, 0x60, wide],
    ...[0n, 1n, 2n].map((size): Case => [
      `SPT.9, 60h: HPTSZ ${size}`,
      hptFields(PASIDS, L4 | size),
      { ...READ, address: 1n << (49n + size) },
      0x60,
      wide,
    ]),
    [
      "SPT.9, 60h: HPTSZ 3",
      hptFields(PASIDS, L4 | 3n),
      { ...READ, address: 1n << 52n },
      0x60,
      wide,
    ],
    ["SPT.9, 60h: bit 56", hptFields(PASIDS, L4 | 3n), { ...READ, address: 1n << 56n }, 0x60, wide],
    ["SPT.9, 60h: before 83h", [], beyond, 0x60],
    ["SGN.4.1, 83h: above the host address width", [], { ...READ, address: 1n << 46n }, 0x83],
    ["SGN.4.1, 83h: before A2h", hptFields(PASIDS, FAR | 3n), beyond, 0x83],
    ["SGN.8.3, 87h: before the table", [], { ...READ, address: 0xfee0_0000n }, 0x87],
    ["SGN.8.3, 87h: before A2h", hptFields(PASIDS, FAR), { ...READ, address: 0xfeef_ffffn }, 0x87],
    ["SPD.2, 51h: no directory entry", [[DIRECTORY, 0n]], READ, 0x51],
    ["SPD.3, 52h: bit 2 of the directory entry", [[DIRECTORY, PASIDS | 5n]], READ, 0x52],
    ["SPT.2, 59h: no PASID table entry", pasids(0, 0n), READ, 0x59],
    ["SPT.3, 5Ah: bit 5", pasids(0, SECOND_STAGE[0]! | 0x20n), READ, 0x5a],
    ["SPT.3, 5Ah: bit 259", hptFields(PASIDS, L4 | 8n), READ, 0x5a],
    ["SPT.3, 5Ah: HPTPTR at the host width", hptFields(PASIDS, L4 | (1n << 46n)), READ, 0x5a],
    ["SPT.3, 5Ah: bit 336", [[PASIDS + 40n, 1n << 16n]], READ, 0x5a],
    [
      "SPT.3, 5Ah: HPTDID beyond ND",
      [[PASIDS + 40n, 1n << 8n]],
      READ,
      0x5a,
      { capabilities: { ND: 2 } },
    ],
    ["SPT.4.2, 5Bh: type 0", pasids(0, SECOND_STAGE[0]! & ~0x1c0n), READ, 0x5b],
    ["SPT.4.2, 5Bh: before 60h", pasids(0, SECOND_STAGE[0]! & ~0x1c0n), beyond, 0x5b],
    ["SPT.4.1, 5Bh: a width that isn't offered", pasids(0, SECOND_STAGE[0]! & ~0x1cn), READ, 0x5b],
    ["SCT.5, 44h: no DTE", [[CONTEXT_AT, DIRECTORY | HPTE | 9n]], READ, 0x44],
    ["SCT.10, 49h: with PASID, no EPTR", [], { ...READ, pasid: PASID }, 0x49],
  ]);

  it.each([
    ["SPD.1, 50h", [[CONTEXT_AT, FAR | CONTEXT_FLAGS | HPTE]], 0x50],
    ["SPT.1, 58h", [[DIRECTORY, FAR | 3n]], 0x58],
  ] satisfies [string, Changes, number][])("%s: not qualified", (_name, changes, reason) => {
    expect(permissionBench({}, changes).ask(READ)).toEqual({ result: reason, suppressed: false });
  });

  it.each<[string, Changes]>([
    ["the directory entry", [[DIRECTORY, PASIDS | 3n]]],
    ["the PASID table entry", pasids(0, SECOND_STAGE[0]! | 2n)],
  ])("FPD of %s counts, now and out of the cache", (_name, changes) => {
    const bench = permissionBench({}, [...changes, ...entry(ENTRY[1], permission(1, 1n))]);
    expect(bench.ask(WRITE)).toEqual({ result: 0xa4, suppressed: true });
    expect(bench.reason(READ)).toBe(0);
    expect(bench.ask(WRITE)).toEqual({ result: 0xa4, suppressed: true });
  });

  it("addresses up to the last of the table's size reach it", () => {
    for (const size of [0n, 1n, 2n, 3n]) {
      const bench = permissionBench(wide, hptFields(PASIDS, L4 | size));
      expect(bench.reason({ ...READ, address: (1n << (49n + size)) - 1n })).toBe(0xa5);
    }
  });

  it("SPT.5, SPT.6: privilege and execution don't matter", () => {
    const bench = permissionBench({}, [[CONTEXT_AT, DIRECTORY | CONTEXT_FLAGS | HPTE | EPTR]]);
    const denied = { ...READ, address: HOST_ADDRESS ^ 0x1000n };
    for (const access of [1 | 4, 1 | 8, 2 | 12]) {
      expect(bench.ask({ ...READ, access, pasid: PASID })).toEqual(passes(12));
      expect(bench.ask({ ...READ, access })).toEqual(passes(12));
      expect(bench.reason({ ...denied, access, pasid: PASID })).toBe(access === 14 ? 0xa4 : 0xa5);
    }
  });
});

describe("VT-d 4.2.5: which requests the table is for", () => {
  it("without HPTE translated requests go through", () => {
    const bench = permissionBench({}, [
      [CONTEXT_AT, DIRECTORY | CONTEXT_FLAGS],
      ...hptFields(PASIDS, FAR),
    ]);
    expect(bench.ask(READ)).toEqual(passes(30));
    expect(bench.ask({ ...READ, address: 1n << 45n })).toEqual(passes(30, ALL, 1n << 45n));
  });

  it("untranslated and translation requests don't need it", () => {
    const bench = permissionBench({}, hptFields(PASIDS, FAR));
    const out = SECOND_PAGE | 0x234n;
    for (const addressType of [0, 1]) {
      expect(bench.ask({ address: ADDRESS, addressType })).toMatchObject({ result: 0, out });
    }
  });

  it("requests with PASID take the table of their PASID, those without that of RID_PASID", () => {
    const bench = permissionBench({}, [
      [CONTEXT_AT, DIRECTORY | CONTEXT_FLAGS | HPTE | EPTR],
      ...hptFields(PASID_AT, 0x14_0000n, 8),
      ...entry(0x14_0030n, pointer(0x15_0000n)),
      ...entry(0x15_0850n, permission(3, 1n)),
    ]);
    for (const ask of [READ, ZERO_LENGTH, READ]) {
      expect(bench.ask({ ...ask, pasid: PASID })).toEqual(passes(30, 0x21));
      expect(bench.reason({ ...WRITE, pasid: PASID })).toBe(0xa4);
      expect(bench.ask(WRITE)).toEqual(passes(12));
    }
    // RID_PASID is 0: requests must not name it
    expect(bench.reason({ ...READ, pasid: 0 })).toBe(0x48);
    bench.write(CONTEXT_AT + 8n, BigInt(PASID));
    bench.engine.invalidateContextGlobal();
    bench.engine.invalidatePasidCacheGlobal();
    expect(bench.ask(READ)).toEqual(passes(30, 0x21));
    expect(bench.ask({ ...WRITE, pasid: 0 })).toEqual(passes(12));
  });

  it("each of a thousand devices gets its own answer", () => {
    const [checked, unchecked] = [0x14_0000n, 0x15_0000n];
    const bench = permissionBench({}, entry(ENTRY[1], permission(1, 1n)));
    const isChecked = (bus: number): boolean => bus === 0 || bus === 3;
    for (let i = 0n; i < 0x80n; i += 1n) {
      bench.write(checked + 32n * i, DIRECTORY | CONTEXT_FLAGS | HPTE);
      bench.write(unchecked + 32n * i, DIRECTORY | CONTEXT_FLAGS);
    }
    for (let bus = 0; bus < 4; bus += 1) {
      const table = (isChecked(bus) ? checked : unchecked) | 1n;
      bench.write(ROOT + 16n * BigInt(bus), table, table);
    }
    for (let i = 0; i < 0x800; i += 1) {
      const sourceId = i & 0x3ff;
      const answer = isChecked(sourceId >> 8) ? passes(12, 0x21) : passes(30);
      expect(bench.ask({ ...READ, sourceId })).toEqual(answer);
    }
  });
});
