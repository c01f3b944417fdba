import { Access } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import { Bench, requestOf, secondStageBench, variantOf } from "./support/machine.ts";

const { READ, WRITE, ATOMIC, NONE, SNOOP } = Access;
const FAR = 0x4000_0000n; // no memory there

describe("VT-d 3.7, levels and page sizes", () => {
  it.each([1n, 2n, 3n])("AW %s: 4 KiB, 2 MiB and 1 GiB pages up to the last address", (aw) => {
    const { bench, root, levels } = secondStageBench({}, { aw });
    const last = (1n << (30n + 9n * aw)) - 1n;
    const pages: [bigint, bigint, number, number][] = [
      [0x1234_5678n, 0x7_7777_7000n, 1, 12],
      [0x4020_0123n, 0x5_5560_0000n, 2, 21],
      [0x8765_4321n, 0x3_4000_0000n, 3, 30],
      [last, 0x1_0000_0000n, 1, 12],
    ];
    for (const [iova, page, level, pageShift] of pages) {
      const ps = level > 1 ? 0x80n : 0n;
      bench.map(root, levels, iova, page | ps | 3n, level);
      const out = page | (iova & ((1n << BigInt(pageShift)) - 1n));
      const answer = { result: 0, out, pageShift, granted: READ | WRITE };
      expect(bench.ask({ address: iova })).toEqual(answer);
      expect(bench.ask({ address: iova })).toEqual(answer); // out of the IOTLB
    }
  });

  it("literal entries as drivers write them", () => {
    const bench = new Bench();
    // the vectors of vtd-structures: DID 5, AW 2, SS root 0x345000
    bench.context(0x345001n, 0x502n);
    bench.write(0x345000n, 0x346003n);
    bench.write(0x346000n, 0x347003n);
    bench.write(0x347000n, 0x348003n, 0x4000_0083n);
    bench.write(0x348000n, 0x1234_5003n, 0x1234_5803n);
    expect(bench.ask({ address: 0x123n }).out).toBe(0x1234_5123n);
    expect(bench.ask({ address: 0x1123n })).toMatchObject({ out: 0x1234_5123n, granted: 19 });
    expect(bench.ask({ address: 0x2f_ffffn })).toMatchObject({ out: 0x400f_ffffn, pageShift: 21 });
  });

  it("tables in other chunks of memory, and in memory without fast views", () => {
    const high = 0x2_0000_0000n;
    for (const views of [true, false]) {
      const bench = new Bench({
        memory: (memory) => (views ? memory : variantOf(memory, { chunks: [] })),
      });
      bench.context(high | 1n, 0x502n);
      bench.write(high, (high + 0x1000n) | 3n);
      bench.write(high + 0x1000n, 0x345003n);
      bench.write(0x345000n, (high + 0x2000n) | 3n);
      bench.write(high + 0x2000n, 0x999_9003n);
      expect(bench.ask({ address: 0xabcn }).out).toBe(0x999_9abcn);
    }
  });

  it("ignored bits are ignored", () => {
    const { bench, root, levels } = secondStageBench();
    const ignored = (1n << 63n) | (1n << 61n) | (0x1ffn << 52n) | 0x700n | 0x7cn;
    const slot = bench.map(root, levels, 0n, 0x5000n | 0x80n | ignored | 3n);
    expect(bench.reason({ address: 0n })).toBe(0);
    let table = root;
    for (let level = 4; level > 1; level -= 1) {
      bench.write(table, bench.read(table) | ignored);
      table = bench.read(table) & 0xf_ffff_f000n;
    }
    expect(table).toBe(slot);
    bench.engine.invalidateIotlbDomain(5);
    expect(bench.reason({ address: 0n })).toBe(0);
  });
});

describe("VT-d 7.1.3, second-stage tables: LSS", () => {
  it("LSS.1: a lower entry can't be read", () => {
    for (const level of [4, 3, 2]) {
      const { bench, root, levels } = secondStageBench();
      bench.map(root, levels, 0n, FAR | 3n, level);
      expect(bench.reason({ address: 0n })).toBe(FaultReason.SS_ENTRY_ACCESS);
    }
  });

  it.each([
    ["bit 11 of a table entry", 2, 0x5000n | 0x800n, {}],
    ["PS in level 4", 4, 0x5000n | 0x80n, {}],
    ["PS in level 5", 5, 0x5000n | 0x80n, {}],
    ["PS in level 3 without 1 GiB pages", 3, 0x80n, { SSLPS: 1 }],
    ["PS in level 2 without 2 MiB pages", 2, 0x80n, { SSLPS: 0 }],
    ["bit 12 of a 2 MiB page", 2, 0x20_1080n, {}],
    ["bit 20 of a 2 MiB page", 2, 0x10_0080n, {}],
    ["bit 29 of a 1 GiB page", 3, 0x2000_0080n, {}],
    ["bit 46 with a host address width of 46", 1, 1n << 46n, {}],
    ["bit 51", 2, 1n << 51n, {}],
    ["bit 62", 1, 1n << 62n, {}],
    ["bit 62 of a table entry", 3, (1n << 62n) | 0x5000n, {}],
    ["SNP of a 4 KiB page without SC", 1, 0x800n, { SC: 0 }],
    ["SNP of a 2 MiB page without SC", 2, 0x880n, { SC: 0 }],
  ])("LSS.2: %s is reserved if R or W is set", (_name, level, bits, capabilities) => {
    for (const rights of [1n, 2n, 3n]) {
      const { bench, root, levels } = secondStageBench({ capabilities }, { aw: 3n });
      bench.map(root, levels, 0n, bits | rights, level);
      const access = rights === 2n ? WRITE : READ;
      expect(bench.reason({ address: 0n, access })).toBe(FaultReason.SS_RESERVED);
    }
    const { bench, root, levels } = secondStageBench({ capabilities }, { aw: 3n });
    bench.map(root, levels, 0n, bits, level);
    expect(bench.reason({ address: 0n })).toBe(FaultReason.READ_DENIED);
  });

  it("a missing permission is found before a reserved bit", () => {
    const { bench, root, levels } = secondStageBench();
    bench.map(root, levels, 0n, (1n << 51n) | 1n);
    expect(bench.reason({ address: 0n, access: WRITE })).toBe(FaultReason.WRITE_DENIED);
    expect(bench.reason({ address: 0n, access: READ })).toBe(FaultReason.SS_RESERVED);
  });
});

describe("VT-d 3.7.1, access rights", () => {
  it.each([
    [0n, READ, FaultReason.READ_DENIED],
    [0n, WRITE, FaultReason.WRITE_DENIED],
    [0n, ATOMIC, FaultReason.WRITE_DENIED],
    [1n, READ, 0],
    [1n, WRITE, FaultReason.WRITE_DENIED],
    [1n, ATOMIC, FaultReason.WRITE_DENIED],
    [2n, READ, FaultReason.READ_DENIED],
    [2n, WRITE, 0],
    [2n, ATOMIC, FaultReason.READ_DENIED],
    [3n, ATOMIC, 0],
  ])("LGN.2, LGN.3: R/W = %s and access %s give %s, at every level", (rights, access, reason) => {
    for (const limiting of [1, 2, 3, 4]) {
      const { bench, root, levels } = secondStageBench();
      bench.map(root, levels, 0x5000n, 0x9000n | 3n);
      const slot = bench.map(root, levels, 0x5000n, 0n, limiting);
      const next = limiting === 1 ? 0x9000n : bench.page();
      bench.write(slot, next | rights);
      if (limiting > 1) bench.map(root, levels, 0x5000n, 0x9000n | 3n);
      expect(bench.reason({ address: 0x5000n, access })).toBe(reason);
    }
  });

  it("rights are what all levels leave", () => {
    const { bench, root, levels } = secondStageBench();
    bench.map(root, levels, 0n, 0x9000n | 2n);
    bench.map(root, levels, 0n, bench.read(root) | 0n, 4);
    const l3 = bench.read(root) & ~0xfffn;
    bench.write(l3, (bench.read(l3) & ~3n) | 1n); // level 3 read-only, level 1 write-only
    expect(bench.reason({ address: 0n, access: READ })).toBe(FaultReason.READ_DENIED);
    expect(bench.reason({ address: 0n, access: WRITE })).toBe(FaultReason.WRITE_DENIED);
    expect(bench.reason({ address: 0n, access: NONE })).toBe(FaultReason.READ_DENIED);
  });

  it("execute and privilege bits mean nothing without a PASID", () => {
    const { bench, root, levels } = secondStageBench();
    bench.map(root, levels, 0n, 0x9000n | 1n);
    const access = READ | Access.EXECUTE | Access.PRIVILEGED;
    expect(bench.ask({ address: 0n, access })).toMatchObject({ result: 0, granted: READ });
  });

  it("SNP shows in the answer", () => {
    const { bench, root, levels } = secondStageBench();
    bench.map(root, levels, 0n, 0x9000n | 0x803n);
    expect(bench.ask({ address: 0n }).granted).toBe(READ | WRITE | SNOOP);
    expect(bench.ask({ address: 0n }).granted).toBe(READ | WRITE | SNOOP);
  });
});

describe("VT-d 3.14, zero-length reads", () => {
  it("ZLR = 1: allowed on a write-only page", () => {
    const { bench, root, levels } = secondStageBench();
    bench.map(root, levels, 0n, 0x9000n | 2n);
    bench.map(root, levels, 0x1000n, 0n);
    for (let round = 0; round < 2; round += 1) {
      expect(bench.ask({ address: 0n, access: NONE })).toMatchObject({ result: 0, granted: WRITE });
    }
    expect(bench.reason({ address: 0x1000n, access: NONE })).toBe(FaultReason.READ_DENIED);
  });

  it("ZLR = 0: a read like any other", () => {
    const { bench, root, levels } = secondStageBench({ capabilities: { ZLR: 0 } });
    bench.map(root, levels, 0n, 0x9000n | 2n);
    bench.map(root, levels, 0x1000n, 0x9000n | 1n);
    expect(bench.reason({ address: 0n, access: NONE })).toBe(FaultReason.READ_DENIED);
    expect(bench.reason({ address: 0n, access: WRITE })).toBe(0);
    expect(bench.reason({ address: 0n, access: NONE })).toBe(FaultReason.READ_DENIED);
    expect(bench.reason({ address: 0x1000n, access: NONE })).toBe(0);
  });
});

describe("VT-d 7.1.3, LGN.1.1: addresses beyond the width", () => {
  it.each([
    ["AW", 1n, 56, 39n],
    ["AW", 2n, 56, 48n],
    ["MGAW", 2n, 38, 39n],
    ["MGAW", 3n, 47, 48n],
    ["both", 3n, 56, 57n],
  ])("limited by %s (AW %s, MGAW field %s)", (_name, aw, MGAW, width) => {
    const { bench, root, levels } = secondStageBench({ capabilities: { MGAW } }, { aw });
    const last = (1n << width) - 0x1000n;
    bench.map(root, levels, last, 0x9000n | 3n);
    expect(bench.reason({ address: last })).toBe(0);
    for (const beyond of [1n << width, (1n << 63n) | last, -1n & 0xffff_ffff_ffff_f000n]) {
      expect(bench.ask({ address: beyond })).toEqual({
        result: FaultReason.ADDRESS_BEYOND_WIDTH,
        suppressed: false,
      });
    }
  });

  it("a cached page does not answer for an address that differs only beyond bit 56", () => {
    const { bench, root, levels } = secondStageBench({}, { aw: 3n });
    bench.map(root, levels, 0x5000n, 0x9000n | 3n);
    bench.map(root, levels, (1n << 57n) - 0x1000n, 0x8000n | 3n);
    expect(bench.reason({ address: 0x5000n })).toBe(0);
    expect(bench.reason({ address: (1n << 57n) - 0x1000n })).toBe(0);
    for (let bit = 57n; bit < 64n; bit += 1n) {
      const address = (1n << bit) | 0x5000n;
      expect(bench.reason({ address })).toBe(FaultReason.ADDRESS_BEYOND_WIDTH);
    }
    expect(bench.reason({ address: -0x1000n & 0xffff_ffff_ffff_ffffn })).toBe(
      FaultReason.ADDRESS_BEYOND_WIDTH,
    );
  });
});

describe("VT-d 7.1.1, FPD of the context entry", () => {
  it("keeps every qualified fault of the walk out of the log, cached or not", () => {
    const bench = new Bench();
    const root = bench.page();
    bench.context(root | 3n, 0x502n);
    bench.map(root, 4, 0n, 0x9000n | 1n);
    const denied = { result: FaultReason.WRITE_DENIED, suppressed: true };
    expect(bench.ask({ address: 0n, access: WRITE })).toEqual(denied);
    expect(bench.ask({ address: 0n, access: READ }).result).toBe(0);
    expect(bench.ask({ address: 0n, access: WRITE })).toEqual(denied);
    expect(bench.ask({ address: 1n << 48n })).toEqual({
      result: FaultReason.ADDRESS_BEYOND_WIDTH,
      suppressed: true,
    });
    expect(bench.faults.map(([reason]) => reason)).toEqual([5, 5, 4]);
  });

  it("is that of the device, though devices share the space", () => {
    const bench = new Bench();
    const root = bench.page();
    bench.context(root | 3n, 0x502n, 0x10);
    bench.context(root | 1n, 0x502n, 0x18);
    for (let round = 0; round < 2; round += 1) {
      expect(bench.ask({ address: 0n, sourceId: 0x10 }).suppressed).toBe(true);
      expect(bench.ask({ address: 0n, sourceId: 0x18 }).suppressed).toBe(false);
    }
  });
});

describe("entries that change while they are read", () => {
  it("a torn 64-bit entry of shared memory is read again", () => {
    let torn = 0;
    const bench = new Bench({
      memory: (memory) =>
        variantOf(memory, {
          chunks: [],
          shared: true,
          readWords: (hi, lo, count, out) => {
            const done = memory.readWords(hi, lo, count, out);
            // the first reading of the leaf entry sees an old high half
            if (count === 2 && lo === leaf && torn === 0) {
              torn += 1;
              out[1] = 0x1234;
            }
            return done;
          },
        }),
    });
    const root = bench.page();
    bench.context(root | 1n, 0x502n);
    const leaf = Number(bench.map(root, 4, 0n, 0x9000n | 3n));
    expect(bench.ask({ address: 0n }).out).toBe(0x9000n);
    expect(torn).toBe(1);
  });

  it("shared memory with fast views is translated alike", () => {
    const { bench, root, levels } = secondStageBench({
      memory: (memory) => variantOf(memory, { shared: true }),
    });
    bench.map(root, levels, 0n, 0x9000n | 3n);
    const request = requestOf({ address: 0n });
    expect(bench.engine.translate(request)).toBe(0);
    expect(request.outLo).toBe(0x9000);
  });
});
