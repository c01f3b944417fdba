import { Access } from "@viommu/plugin";
import type { FaultRecord, PageRequest } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { PageRequestResult } from "../src/index.ts";
import type { ProfileOptions } from "../src/index.ts";
import { Bench, ROOT, TE } from "./support/bench.ts";

const PRQ = 0x38_0000n;
const CONTEXT = 0x21_0000n;
const DIRECTORY = 0x22_0000n;
const TABLE = 0x23_0000n;

/** A request of device 10h with PASID 21h for a page at 12345000h, group 3. */
const READ: PageRequest = {
  sourceId: 0x10,
  pasid: 0x21,
  hi: 0,
  lo: 0x1234_5000,
  access: Access.READ,
  group: 3,
  last: true,
};

interface PageBench {
  readonly bench: Bench;
  /** What devices were answered: source-id, PASID, group, code. */
  readonly responses: number[][];
}

const contextAt = (sourceId: number): bigint => CONTEXT + BigInt(sourceId) * 32n;
const entryAt = (pasid: number): bigint => TABLE + BigInt(pasid) * 64n;

/** Scalable mode, device 10h with page requests, PASIDs 0 and 21h in first-stage domain 5. */
const withTables = (options: ProfileOptions = {}): PageBench => {
  const responses: number[][] = [];
  const bench = new Bench(
    { scalableMode: true, deviceTlb: true, pageRequests: true, faultRecords: 1, ...options },
    { pageResponses: { respond: (...response) => responses.push(response) } },
  );
  bench.put64(ROOT, CONTEXT | 1n, 0n);
  bench.put64(contextAt(0x10), DIRECTORY | 0xe1dn, 0n);
  bench.put64(DIRECTORY, TABLE | 1n);
  for (const pasid of [0, 0x21]) bench.put64(entryAt(pasid), 0x49n, 5n, 0x444_4000n);
  bench.write64(0xd0, PRQ);
  bench.setRoot(0x400n);
  bench.command(TE);
  bench.invalidations.length = 0;
  return { bench, responses };
};

describe("queueing (VT-d 7.4.1)", () => {
  it.each<[string, Partial<PageRequest>, bigint, bigint]>([
    ["a read, the last of its group", {}, 0x21_0010_0101n, 0x1234_501dn],
    ["a write", { access: Access.WRITE, last: false }, 0x21_0010_0101n, 0x1234_501an],
    ["both", { access: Access.ATOMIC }, 0x21_0010_0101n, 0x1234_501fn],
    ["without PASID", { pasid: -1 }, 0x10_0001n, 0x1234_501dn],
    [
      "execute and privileged",
      { access: Access.READ | Access.EXECUTE | Access.PRIVILEGED },
      0x30_0021_0010_0101n,
      0x1234_501dn,
    ],
    [
      "execute without read, which is nothing",
      { access: Access.WRITE | Access.EXECUTE },
      0x21_0010_0101n,
      0x1234_501en,
    ],
    ["the largest group", { group: 0x1ff }, 0x21_0010_0101n, 0x1234_5ffdn],
    [
      "the canonical upper half",
      { hi: -1, lo: 0x3fff_ffff },
      0x21_0010_0101n,
      0xffff_ffff_ffff_f01dn,
    ],
    ["a stop marker", { access: 0, group: 0 }, 0x21_0010_0101n, 0x1234_5004n],
  ])("writes %s", (_name, change, low, high) => {
    const { bench, responses } = withTables();
    bench.put64(PRQ, -1n, -1n, -1n, -1n);
    expect(bench.unit.pageRequest({ ...READ, ...change })).toBe(PageRequestResult.QUEUED);
    expect([0n, 8n, 16n, 24n].map((at) => bench.get64(PRQ + at))).toEqual([low, high, 0n, 0n]);
    expect(bench.read64(0xc8)).toBe(0x20n);
    expect(bench.read32(0xdc)).toBe(1);
    expect(responses).toEqual([]);
  });

  it("wraps, and is full when the tail is one behind the head", () => {
    const { bench, responses } = withTables();
    for (let i = 0; i < 127; i++) expect(bench.unit.pageRequest(READ)).toBe(0);
    expect(bench.read64(0xc8)).toBe(127n * 32n);
    expect(bench.unit.pageRequest(READ)).toBe(PageRequestResult.OVERFLOW);
    expect(bench.read32(0xdc)).toBe(3);
    // the answer is success: the device asks again
    expect(responses).toEqual([[0x10, 0x21, 3, 0]]);

    // while PRO is set, requests are dropped, though there is room
    bench.write64(0xc0, 64n);
    expect(bench.unit.pageRequest({ ...READ, last: false })).toBe(PageRequestResult.OVERFLOW);
    expect(responses).toHaveLength(1);
    bench.write32(0xdc, 2);
    expect(bench.unit.pageRequest(READ)).toBe(PageRequestResult.QUEUED);
    expect(bench.read64(0xc8)).toBe(0n);
  });

  it("has 2^(PQS+7) slots", () => {
    const { bench } = withTables();
    bench.write64(0xd0, PRQ | 2n);
    for (let i = 0; i < 511; i++) expect(bench.unit.pageRequest(READ)).toBe(0);
    expect(bench.unit.pageRequest(READ)).toBe(PageRequestResult.OVERFLOW);
  });

  it("drops a stop marker silently when the queue is full", () => {
    const { bench, responses } = withTables();
    for (let i = 0; i < 127; i++) bench.unit.pageRequest(READ);
    bench.unit.pageRequest({ ...READ, access: 0 });
    expect(responses).toEqual([]);
  });

  it("survives a head and a tail outside the queue, and a queue outside memory", () => {
    const { bench } = withTables();
    bench.write64(0xc0, 0x7_ffe0n);
    bench.write64(0xc8, 0x7_ff00n);
    expect(bench.unit.pageRequest(READ)).toBe(0);
    expect(bench.read64(0xc8)).toBe(0xf20n);
    bench.write64(0xd0, 0xffff_ffff_f000n);
    expect(bench.unit.pageRequest(READ)).toBe(0);
  });

  it("tells observers of every request", () => {
    const { bench } = withTables();
    const heard: PageRequest[] = [];
    bench.hooks.pageRequest = (_unit, request) => heard.push(request);
    bench.unit.pageRequest(READ);
    expect(heard).toEqual([READ]);
  });
});

describe("page request event (VT-d 7.5)", () => {
  const PECTL = 0xe0;

  it("is sent for the first request until PPR and PRO are both clear", () => {
    const { bench } = withTables();
    bench.setEvent(PECTL, 0x41, 0xfee0_3000, 0x200);
    for (let i = 0; i < 128; i++) bench.unit.pageRequest(READ);
    expect(bench.messages).toEqual([[0x200, 0xfee0_3000, 0x41]]);
    bench.write32(0xdc, 1);
    bench.write64(0xc0, 0x800n);
    bench.unit.pageRequest(READ);
    expect(bench.messages).toHaveLength(1);
    bench.write32(0xdc, 2);
    bench.unit.pageRequest(READ);
    expect(bench.messages).toHaveLength(2);
  });

  it("is raised by an overflow, too", () => {
    const { bench } = withTables();
    for (let i = 0; i < 127; i++) bench.unit.pageRequest(READ);
    bench.write32(0xdc, 1);
    bench.setEvent(PECTL, 0x41);
    bench.unit.pageRequest(READ);
    expect(bench.read32(0xdc)).toBe(2);
    expect(bench.messages).toHaveLength(1);
  });

  it("is held by the mask, and goes when PPR and PRO are serviced", () => {
    const { bench } = withTables();
    bench.unit.pageRequest(READ);
    expect(bench.read32(PECTL)).toBe(0xc000_0000);
    bench.write32(0xdc, 1);
    expect(bench.read32(PECTL)).toBe(0x8000_0000);
    bench.unit.pageRequest(READ);
    bench.write32(PECTL, 0);
    expect(bench.messages).toHaveLength(1);
    expect(bench.read32(PECTL)).toBe(0);
  });
});

describe("implicit invalidation (VT-d 6.5.3.1)", () => {
  it.each([
    ["first stage", 0x49n, { kind: "pasid-iotlb", granularity: "page", domainId: 5, pasid: 0x21 }],
    ["second stage", 0x555_5089n, { kind: "iotlb", granularity: "page", domainId: 5 }],
    ["nested", 0x555_50c9n, { kind: "iotlb", granularity: "domain", domainId: 5 }],
    ["pass-through", 0x109n, { kind: "iotlb", granularity: "page", domainId: 5 }],
  ])("%s", (_name, low, what) => {
    const { bench } = withTables();
    bench.put64(entryAt(0x21), low);
    bench.unit.pageRequest({ ...READ, lo: 0x1234_5678 });
    expect(bench.invalidations).toHaveLength(1);
    expect(bench.invalidations[0]).toMatchObject(what);
    if (what.granularity === "page") {
      expect(bench.invalidations[0]).toMatchObject({ hi: 0, lo: 0x1234_5000, order: 0 });
    }
  });

  it("uses RID_PASID for a request without PASID", () => {
    const { bench } = withTables();
    bench.put64(contextAt(0x10), DIRECTORY | 0xe1dn, 0x21n);
    bench.unit.pageRequest({ ...READ, pasid: -1 });
    expect(bench.invalidations).toMatchObject([{ pasid: 0x21 }]);
  });
});

describe("refusals (VT-d 7.1.3, 7.4.1)", () => {
  const refuse = (
    { bench, responses }: PageBench,
    request: PageRequest,
    reason: number,
  ): FaultRecord[] => {
    const heard: FaultRecord[] = [];
    bench.hooks.fault = (_unit, fault) => heard.push({ ...fault });
    expect(bench.unit.pageRequest(request)).toBe(reason);
    expect(bench.read64(0xc8)).toBe(0n);
    expect(bench.invalidations).toEqual([]);
    expect(responses).toEqual([[request.sourceId, request.pasid, request.group, 1]]);
    return heard;
  };

  it.each<[number, string, bigint[], Partial<PageRequest>]>([
    [0x39, "root entry not present", [ROOT, 0n], {}],
    [0x3a, "root entry, reserved bit", [ROOT, CONTEXT | 3n], {}],
    [0x40, "context table outside memory", [ROOT, 0x8000_0001n], {}],
    [0x41, "context entry not present", [contextAt(0x10), 0n], {}],
    [0x42, "context entry, reserved bit", [contextAt(0x10), DIRECTORY | 0xe9dn], {}],
    [0x43, "PRE without DTE", [contextAt(0x10), DIRECTORY | 0xe19n], {}],
    [0x43, "RID_PASID beyond PDTS", [contextAt(0x10), DIRECTORY | 0x01dn, 0x2000n], {}],
    [0x45, "PASIDE clear", [contextAt(0x10), DIRECTORY | 0xe15n], {}],
    [0x46, "PASID beyond PDTS", [contextAt(0x10), DIRECTORY | 0x01dn], { pasid: 0x2000 }],
    [0x47, "PRE clear", [contextAt(0x10), DIRECTORY | 0xe0dn], {}],
    [0x48, "PASID equal to RID_PASID", [contextAt(0x10), DIRECTORY | 0xe1dn, 0x21n], {}],
    [0x50, "directory outside memory", [contextAt(0x10), 0x8000_0e1dn], {}],
    [0x51, "directory entry not present", [DIRECTORY, 0n], {}],
    [0x52, "directory entry, reserved bit", [DIRECTORY, TABLE | 5n], {}],
    [0x58, "PASID table outside memory", [DIRECTORY, 0x8000_0001n], {}],
    [0x59, "PASID entry not present", [entryAt(0x21), 0x48n], {}],
    [0x5a, "PASID entry, reserved bit", [entryAt(0x21), 0x69n], {}],
    [0x5b, "type 0", [entryAt(0x21), 0x9n], {}],
    [0x5b, "type 5", [entryAt(0x21), 0x149n], {}],
    [0x5b, "5 levels without FS5LP", [entryAt(0x21), 0x49n, 5n, 0x444_4004n], {}],
    [0x5b, "second stage of 57 bits", [entryAt(0x21), 0x8dn], {}],
    [0x5b, "nested, first-stage root beyond AW", [entryAt(0x21), 0xc5n, 5n, 1n << 40n], {}],
  ])("%s: %s", (reason, _name, [address, ...words], change) => {
    const setup = withTables();
    setup.bench.put64(address!, ...words);
    const request = { ...READ, ...change };
    expect(refuse(setup, request, reason)).toMatchObject([
      { kind: "page-request", reason, sourceId: 0x10, pasid: request.pasid, suppressed: false },
    ]);
    const high = setup.bench.read64(0x228);
    expect(setup.bench.read64(0x220)).toBe(0x1234_5000n);
    const pasid = BigInt(request.pasid) << 40n;
    expect(high).toBe(0x8000_0000_9000_0010n | (BigInt(reason) << 32n) | pasid);
  });

  it("a root table outside memory (38h), and the upper half of a root entry", () => {
    const outside = withTables();
    outside.bench.write64(0x20, 0x8000_0400n);
    outside.bench.command(0x4000_0000);
    outside.bench.invalidations.length = 0;
    refuse(outside, READ, 0x38);
    refuse(withTables(), { ...READ, sourceId: 0x80 }, 0x39);
    const upper = withTables();
    upper.bench.put64(ROOT + 8n, CONTEXT | 1n);
    expect(upper.bench.unit.pageRequest({ ...READ, sourceId: 0x90 })).toBe(0);
  });

  it("is kept out of the log by FPD, also of an entry that is not present", () => {
    const setup = withTables();
    setup.bench.put64(entryAt(0x21), 2n);
    expect(refuse(setup, READ, 0x59)).toMatchObject([{ suppressed: true }]);
    expect(setup.bench.read32(0x34)).toBe(0);
    // 58h is not qualified
    const outside = withTables();
    outside.bench.put64(DIRECTORY, 0x8000_0003n);
    expect(refuse(outside, READ, 0x58)).toMatchObject([{ suppressed: false }]);
    expect(outside.bench.read32(0x34)).toBe(2);
  });

  it("32h in legacy mode, 33h in abort-DMA mode, 30h in a mode that the unit has not", () => {
    for (const [bits, reason] of [
      [0n, 0x32],
      [0xc00n, 0x33],
      [0x800n, 0x30],
      [0x80n, 0x30],
    ] as const) {
      const setup = withTables({ abortDma: true, secondStageIoPermissions: true });
      setup.bench.setRoot(bits);
      setup.bench.invalidations.length = 0;
      refuse(setup, READ, reason);
      expect(setup.bench.read64(0x228) & 0xff_f000_ffffn).toBe(
        (BigInt(reason) << 32n) | 0x9000_0010n,
      );
    }
  });

  it("answers nothing to a request that is not the last of its group", () => {
    const { bench, responses } = withTables();
    bench.put64(ROOT, 0n);
    expect(bench.unit.pageRequest({ ...READ, last: false })).toBe(0x39);
    expect(responses).toEqual([]);
  });

  it("is without a record while remapping is off, and in a unit without page requests", () => {
    const off = withTables();
    off.bench.command(TE, false);
    off.bench.invalidations.length = 0;
    refuse(off, READ, PageRequestResult.REFUSED);
    expect(off.bench.read32(0x34)).toBe(0);
    const without = withTables({ pageRequests: false });
    refuse(without, READ, PageRequestResult.REFUSED);
  });
});
