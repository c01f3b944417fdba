import type { GuestMemory } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { variantOf } from "./support/machine.ts";
import type { Ask, BenchOptions } from "./support/machine.ts";
import { ADDRESS, CONTEXT_AT, DIRECTORY, FAR, FIRST_PAGE } from "./support/scalable-machine.ts";
import { FIRST_STAGE, firstEntry, NESTED, NESTED_PAGE, PASID } from "./support/scalable-machine.ts";
import { PASIDS, PASS_THROUGH, READ, scalableBench } from "./support/scalable-machine.ts";
import { SECOND_PAGE, SECOND_STAGE, SECOND_STAGE_FLAGS } from "./support/scalable-machine.ts";
import { secondEntry, secondEntryOf, WRITE } from "./support/scalable-machine.ts";
import type { Changes } from "./support/scalable-machine.ts";

/** A translation request; with NW unless it asks for write. */
const ask = { address: ADDRESS, addressType: 1, access: 3 };
const NW = { ...ask, access: READ };
const TRANSLATED = { address: ADDRESS, addressType: 2, access: WRITE };
const NO_RIGHTS = { result: 0, out: 0n, pageShift: 12, granted: 0 };
const OUT = FIRST_PAGE | 0x234n;

describe("VT-d 4.2.3: translation requests in scalable mode", () => {
  it.each<[string, readonly bigint[], bigint, number]>([
    ["first stage", FIRST_STAGE, OUT, 3],
    ["second stage", SECOND_STAGE, SECOND_PAGE | 0x234n, 3],
    ["nested", NESTED, NESTED_PAGE | 0x234n, 3],
  ])("%s: the page and the rights of the tables", (_name, entry, out, granted) => {
    const bench = scalableBench(entry);
    expect(bench.ask(ask)).toEqual({ result: 0, out, pageShift: 12, granted });
    expect(bench.ask({ ...ask, pasid: PASID })).toEqual({ result: 0, out, pageShift: 12, granted });
    expect(bench.ask(NW)).toEqual({ result: 0, out, pageShift: 12, granted: READ });
  });

  it("pass-through: the address itself", () => {
    const bench = scalableBench(PASS_THROUGH);
    expect(bench.ask(ask)).toEqual({ result: 0, out: ADDRESS, pageShift: 30, granted: 0x23 });
  });

  // columns "Translation" of the table in 7.1.3
  it.each<[string, readonly bigint[], Changes, number, Partial<Ask>?]>([
    ["51h", FIRST_STAGE, [[DIRECTORY, 0n]], 0],
    ["52h", FIRST_STAGE, [[DIRECTORY, PASIDS | 5n]], 0x52],
    ["58h", FIRST_STAGE, [[DIRECTORY, FAR | 1n]], 0x58],
    ["59h", [0n, 0n, 0n], [], 0],
    ["5Ah", [0x69n, 5n, 0n], [], 0x5a],
    ["5Bh", [0x149n, 5n, 0n], [], 0x5b],
    ["5Ch", FIRST_STAGE, [], 0, { pasid: PASID, access: 7 }],
    ["5Dh", FIRST_STAGE, [], 0, { pasid: PASID, access: 11 }],
    ["41h", FIRST_STAGE, [[CONTEXT_AT, 0n]], 0x41],
    ["70h", FIRST_STAGE, [[0x8000n, FAR | 0x27n]], 0],
    ["71h", FIRST_STAGE, [[firstEntry(1), 0n]], 0],
    ["72h", FIRST_STAGE, [[firstEntry(1), (1n << 46n) | 0x67n]], 0],
    ["73h", FIRST_STAGE, [[PASIDS + 16n, FAR]], 0],
    ["74h", NESTED, [[firstEntry(1), (1n << 48n) | 0x67n]], 0],
    ["75h", NESTED, [[secondEntryOf(0x6000n), 0x6002n]], 0],
    ["76h", NESTED, [[secondEntryOf(0x8000n), 0x8002n]], 0],
    [
      "77h",
      NESTED,
      [
        [secondEntryOf(0x9000n), 0x9001n],
        [firstEntry(1), FIRST_PAGE | 7n],
      ],
      0,
    ],
    ["78h", SECOND_STAGE, [[secondEntry(2), FAR | 3n]], 0x78],
    ["79h", SECOND_STAGE, [[secondEntry(1), 0n]], 0],
    ["7Ah", SECOND_STAGE, [[secondEntry(1), (1n << 46n) | 3n]], 0x7a],
    ["7Bh", [FAR | 0x89n, 5n, 0n], [], 0x7b],
    ["7Ch", [SECOND_STAGE_FLAGS[0]!, 5n, 0n], [], 0x7c],
    ["80h", FIRST_STAGE, [], 0, { address: 1n << 47n }],
    ["81h", FIRST_STAGE, [[firstEntry(1), FIRST_PAGE | 0x63n]], 0],
    ["83h", PASS_THROUGH, [], 0, { address: 1n << 46n }],
    ["84h", SECOND_STAGE, [], 0, { address: 1n << 48n }],
    ["87h", FIRST_STAGE, [[firstEntry(1), 0xfee0_0067n]], 0x87],
    ["90h", [FIRST_STAGE[0]!, 5n, FIRST_STAGE[2]!], [[firstEntry(1), FIRST_PAGE | 7n]], 0],
  ])("condition of %s", (_name, entry, changes, reason, change) => {
    const options: BenchOptions = { hostAddressWidth: 46, capabilities: { NWFS: 0 } };
    const wide = { ...options, hostAddressWidth: 52 };
    const bench = scalableBench(entry, _name === "74h" ? wide : options, changes);
    const answer = bench.ask({ ...ask, ...change });
    expect(answer).toEqual(reason === 0 ? NO_RIGHTS : { result: reason, suppressed: false });
    expect(bench.faults.length).toBe(reason === 0 ? 0 : 1);
  });

  it("85h, 86h: rights that are missing are left out", () => {
    const bench = scalableBench(SECOND_STAGE, {}, [[secondEntry(1), SECOND_PAGE | 2n]]);
    expect(bench.ask(ask)).toMatchObject({ result: 0, granted: WRITE });
    bench.write(secondEntry(1), SECOND_PAGE | 1n);
    expect(bench.ask(ask)).toMatchObject({ result: 0, granted: READ });
    expect(bench.faults).toEqual([]);
  });

  it("SFS.10, 91h: completes without rights, and is reported all the same", () => {
    const memory = (given: GuestMemory): GuestMemory => variantOf(given, { exchangeWord: () => 2 });
    const bench = scalableBench(FIRST_STAGE, { memory }, [[firstEntry(1), FIRST_PAGE | 7n]]);
    expect(bench.ask(ask)).toEqual(NO_RIGHTS);
    expect(bench.faults).toEqual([[0x91, 0x10, ADDRESS, false]]);
    expect(bench.probe(ask)).toEqual(NO_RIGHTS);
    expect(bench.faults.length).toBe(1);
  });

  it("S.1, S.2: FEEx_xxxxh without PASID", () => {
    const bench = scalableBench(FIRST_STAGE);
    const msi = { ...ask, address: 0xfee0_1000n };
    expect(bench.ask(msi)).toEqual({ ...NO_RIGHTS, granted: 0x22 });
    expect(bench.ask({ ...msi, access: READ })).toEqual(NO_RIGHTS);
  });
});

describe("VT-d 3.6.2, 3.7.2: a translation request counts as a write", () => {
  it.each<[string, readonly bigint[], Changes, bigint, bigint]>([
    ["first stage", FIRST_STAGE, [[firstEntry(1), FIRST_PAGE | 7n]], firstEntry(1), 0x60n],
    ["second stage", SECOND_STAGE_FLAGS, [], secondEntry(1), 0x300n],
  ])("%s: D is set where write is granted", (_name, entry, changes, leaf, flags) => {
    const bench = scalableBench(entry, {}, changes);
    const before = bench.read(leaf);
    expect(bench.ask(ask).granted).toBe(3);
    expect(bench.read(leaf)).toBe(before | flags);
  });

  it.each<[string, readonly bigint[], Changes, bigint, bigint]>([
    ["first stage", FIRST_STAGE, [[firstEntry(1), FIRST_PAGE | 7n]], firstEntry(1), 0x20n],
    ["second stage", SECOND_STAGE_FLAGS, [], secondEntry(1), 0x100n],
  ])("%s: with NW only A", (_name, entry, changes, leaf, flags) => {
    const bench = scalableBench(entry, {}, changes);
    const before = bench.read(leaf);
    expect(bench.ask(NW).granted).toBe(READ);
    expect(bench.read(leaf)).toBe(before | flags);
  });

  it("a read-only page gets no D", () => {
    const bench = scalableBench(FIRST_STAGE, {}, [[firstEntry(1), FIRST_PAGE | 5n]]);
    expect(bench.ask(ask).granted).toBe(READ);
    expect(bench.read(firstEntry(1))).toBe(FIRST_PAGE | 0x25n);
  });
});

describe("VT-d 4.2.5: translated requests in scalable mode", () => {
  it("go through where DTE is set, whatever the PASID table says", () => {
    const bench = scalableBench([0n, 0n, 0n]);
    expect(bench.ask(TRANSLATED)).toEqual({
      result: 0,
      out: ADDRESS,
      pageShift: 30,
      granted: 0x23,
    });
  });

  it("SGN.4.1, 83h: above the host address width", () => {
    const bench = scalableBench(FIRST_STAGE);
    expect(bench.reason({ ...TRANSLATED, address: 1n << 46n })).toBe(0x83);
  });

  it("SGN.8.3, 87h: with PASID into FEEx_xxxxh", () => {
    const bench = scalableBench(FIRST_STAGE, {}, [[CONTEXT_AT, DIRECTORY | 0x4dn]]);
    expect(bench.reason({ ...TRANSLATED, address: 0xfee0_0000n, pasid: PASID })).toBe(0x87);
  });

  it("with PASID need EPTR; PASID and directory are checked", () => {
    const bench = scalableBench(FIRST_STAGE);
    const request = { ...TRANSLATED, pasid: PASID };
    expect(bench.reason(request)).toBe(0x49);
    bench.write(CONTEXT_AT, DIRECTORY | 0x4dn);
    expect(bench.ask(request)).toMatchObject({ result: 0, out: ADDRESS });
    expect(bench.reason({ ...request, pasid: 0 })).toBe(0x48);
    expect(bench.reason({ ...request, pasid: 0x2000 })).toBe(0x46);
    expect(bench.reason({ ...request, pasid: 0x10_0000 })).toBe(0x89);
  });
});
