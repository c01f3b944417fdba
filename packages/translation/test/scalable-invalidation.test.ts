import { describe, expect, it } from "vitest";
import type { Bench } from "./support/machine.ts";
import { at, CONTEXT_AT, DIRECTORY, FIRST_STAGE, firstEntry } from "./support/scalable-machine.ts";
import { NESTED, PASID, PASID_AT, PASIDS, PASS_THROUGH } from "./support/scalable-machine.ts";
import { scalableBench, SECOND_STAGE, secondEntry } from "./support/scalable-machine.ts";
import { withPasid } from "./support/scalable-machine.ts";

const DOMAIN = 5;
const OTHER = 6;
/** RID_PASID. */
const OWN = 0;

type Act = (engine: Bench["engine"]) => void;

const globally: Act = (engine) => {
  engine.invalidateIotlbGlobal();
};
const domain =
  (did: number): Act =>
  (engine) => {
    engine.invalidateIotlbDomain(did);
  };
/** Type 2, page form: 2^order pages. */
const pages =
  (did: number, page: number, order = 0, leafOnly = false): Act =>
  (engine) => {
    engine.invalidateIotlbPages(did, 0, page, order, leafOnly);
  };
/** Type 6. */
const pasid =
  (did: number, which: number): Act =>
  (engine) => {
    engine.invalidatePasidIotlb(did, which);
  };
const pasidPages =
  (did: number, which: number, page: number, order = 0, leafOnly = false): Act =>
  (engine) => {
    engine.invalidatePasidIotlbPages(did, which, 0, page, order, leafOnly);
  };

/** Whether a cached translation is gone after `act`; the tables say something else by then. */
function isDropped(
  entry: readonly bigint[],
  leaf: bigint,
  act: Act,
  ask: { address: bigint; pasid?: number } = at,
): boolean {
  const bench = scalableBench(entry);
  const before = bench.ask(ask).out;
  bench.write(leaf, (bench.read(leaf) & 0xfffn) | 0x7_7000n);
  expect(bench.ask(ask).out).toBe(before);
  act(bench.engine);
  return bench.ask(ask).out !== before;
}

describe("VT-d 6.5.2.3, IOTLB invalidation in scalable mode (type 2)", () => {
  it.each<[string, Act, boolean, boolean]>([
    ["global", globally, true, true],
    ["the domain", domain(DOMAIN), true, true],
    ["another domain", domain(OTHER), false, false],
    ["the page", pages(DOMAIN, 0x1000), true, true],
    ["the page, leaf only", pages(DOMAIN, 0x1000, 0, true), true, true],
    ["16 pages with it", pages(DOMAIN, 0, 4), true, true],
    ["a page of another domain", pages(OTHER, 0x1000), false, false],
    // a second-stage address says nothing about what went through a first stage: all of it goes
    ["another page", pages(DOMAIN, 0x5000), false, true],
  ])("%s", (_name, act, second, first) => {
    expect(isDropped(SECOND_STAGE, secondEntry(1), act)).toBe(second);
    expect(isDropped(FIRST_STAGE, firstEntry(1), act)).toBe(first);
    expect(isDropped(NESTED, firstEntry(1), act)).toBe(first);
  });

  it.each<[string, Act, boolean]>([
    ["the page", pages(1, 0x1000), true],
    ["another page of the same 1 GiB", pages(1, 0x7000_0000 & 0x3fff_ffff), true],
    ["another domain", domain(2), false],
  ])("pass-through: %s", (_name, act, dropped) => {
    const bench = scalableBench(PASS_THROUGH);
    expect(bench.ask(at).out).toBe(at.address);
    const { walks } = bench.engine.counters;
    act(bench.engine);
    bench.ask(at);
    expect(bench.engine.counters.walks - walks).toBe(dropped ? 1 : 0);
  });

  it("nested: a change of the second stage under a cached first-stage table", () => {
    const bench = scalableBench(NESTED);
    bench.ask(at);
    bench.write(secondEntry(1) - 8n + (0x9000n >> 9n), 0x5_5003n);
    bench.write(0x5_5008n, 0x1_2067n);
    bench.write(0x5_5010n, 0x1_2067n);
    bench.engine.invalidateIotlbPages(DOMAIN, 0, 0x9000, 0, false);
    expect(bench.reason({ address: 0x2000n })).toBe(0);
  });
});

describe("VT-d 6.5.2.4, PASID-based IOTLB invalidation (type 6)", () => {
  it.each<[string, Act, boolean]>([
    ["the PASID", pasid(DOMAIN, OWN), true],
    ["another PASID", pasid(DOMAIN, PASID), false],
    ["the PASID of another domain", pasid(OTHER, OWN), false],
    ["the page", pasidPages(DOMAIN, OWN, 0x1000), true],
    ["the page, leaf only", pasidPages(DOMAIN, OWN, 0x1000, 0, true), true],
    ["2 MiB with it", pasidPages(DOMAIN, OWN, 0, 9), true],
    ["1 GiB with it", pasidPages(DOMAIN, OWN, 0, 18), true],
    ["another page", pasidPages(DOMAIN, OWN, 0x2000), false],
    ["the page of another PASID", pasidPages(DOMAIN, PASID, 0x1000), false],
    ["the page of another domain", pasidPages(OTHER, OWN, 0x1000), false],
  ])("first stage and nested: %s", (_name, act, dropped) => {
    expect(isDropped(FIRST_STAGE, firstEntry(1), act)).toBe(dropped);
    expect(isDropped(NESTED, firstEntry(1), act)).toBe(dropped);
  });

  it("the PASID form covers second-stage translations, the page form does not", () => {
    expect(isDropped(SECOND_STAGE, secondEntry(1), pasid(DOMAIN, OWN))).toBe(true);
    const page = pasidPages(DOMAIN, OWN, 0x1000);
    expect(isDropped(SECOND_STAGE, secondEntry(1), page)).toBe(false);
  });

  it("a page of the upper half", () => {
    const bench = scalableBench(FIRST_STAGE);
    for (const table of [0x6000n, 0x7000n, 0x8000n]) {
      bench.write(table + 8n * 511n, bench.read(table));
    }
    bench.write(0x9000n + 8n * 511n, 0x5_5067n);
    const top = { address: 0xffff_ffff_ffff_f000n };
    expect(bench.ask(top).out).toBe(0x5_5000n);
    bench.write(0x9000n + 8n * 511n, 0x6_6067n);
    expect(bench.ask(top).out).toBe(0x5_5000n);
    bench.engine.invalidatePasidIotlbPages(DOMAIN, OWN, -1, 0x3fff_f000, 0, true);
    expect(bench.ask(top).out).toBe(0x6_6000n);
  });

  it("two PASIDs are invalidated apart", () => {
    const bench = scalableBench(FIRST_STAGE);
    const before = bench.ask(at).out;
    expect(bench.ask(withPasid).out).toBe(before);
    bench.write(firstEntry(1), 0x7_7067n);
    bench.engine.invalidatePasidIotlb(DOMAIN, PASID);
    expect(bench.ask(at).out).toBe(before);
    expect(bench.ask(withPasid).out).toBe(0x7_7234n);
    bench.engine.invalidatePasidIotlbPages(DOMAIN, OWN, 0, 0x1000, 0, false);
    expect(bench.ask(at).out).toBe(0x7_7234n);
  });
});

describe("VT-d 6.5.2.2, PASID-cache invalidation; 6.5.2.1, context-cache", () => {
  it.each<[string, Act, boolean, boolean]>([
    [
      "global",
      (engine) => {
        engine.invalidatePasidCacheGlobal();
      },
      true,
      true,
    ],
    [
      "the domain",
      (engine) => {
        engine.invalidatePasidCacheDomain(DOMAIN);
      },
      true,
      true,
    ],
    [
      "another domain",
      (engine) => {
        engine.invalidatePasidCacheDomain(OTHER);
      },
      false,
      false,
    ],
    [
      "the PASID",
      (engine) => {
        engine.invalidatePasidCachePasid(DOMAIN, PASID);
      },
      false,
      true,
    ],
    [
      "RID_PASID",
      (engine) => {
        engine.invalidatePasidCachePasid(DOMAIN, OWN);
      },
      true,
      false,
    ],
    [
      "of another domain",
      (engine) => {
        engine.invalidatePasidCachePasid(OTHER, PASID);
      },
      false,
      false,
    ],
    [
      "context, global",
      (engine) => {
        engine.invalidateContextGlobal();
      },
      true,
      true,
    ],
    [
      "context, any domain",
      (engine) => {
        engine.invalidateContextDomain(OTHER);
      },
      true,
      true,
    ],
    [
      "context, the device",
      (engine) => {
        engine.invalidateContextDevice(0, 0x10, 0);
      },
      true,
      true,
    ],
    [
      "context, by function mask",
      (engine) => {
        engine.invalidateContextDevice(0, 0x17, 7);
      },
      true,
      true,
    ],
    [
      "context, another device",
      (engine) => {
        engine.invalidateContextDevice(0, 0x11, 0);
      },
      false,
      false,
    ],
  ])("%s", (_name, act, own, other) => {
    const bench = scalableBench(FIRST_STAGE);
    bench.ask(at);
    bench.ask(withPasid);
    bench.ask({ ...withPasid, access: 9 });
    bench.write(PASIDS, 0n);
    bench.write(PASID_AT, 0n);
    act(bench.engine);
    expect(bench.reason(at)).toBe(own ? 0x59 : 0);
    expect(bench.reason(withPasid)).toBe(other ? 0x59 : 0);
  });

  it("an entry that leads elsewhere finds nothing that was cached for the old one", () => {
    const bench = scalableBench(FIRST_STAGE);
    const before = bench.ask(withPasid).out;
    bench.write(PASID_AT, ...SECOND_STAGE);
    bench.engine.invalidatePasidCachePasid(DOMAIN, PASID);
    expect(bench.ask(withPasid).out).not.toBe(before);
  });

  it("a fault is not cached: a PASID that becomes present needs no invalidation", () => {
    const bench = scalableBench([0n, 0n, 0n]);
    expect(bench.reason(withPasid)).toBe(0x59);
    bench.write(PASID_AT, ...FIRST_STAGE);
    expect(bench.reason(withPasid)).toBe(0);
    bench.write(CONTEXT_AT, DIRECTORY | 0xfn);
    bench.write(firstEntry(1) + 8n, 0x1_3067n);
    expect(bench.reason({ ...withPasid, address: 0x2000n })).toBe(0);
  });

  it("stays bounded, however many PASIDs a device uses", { timeout: 60_000 }, () => {
    const bench = scalableBench(FIRST_STAGE, {}, [[CONTEXT_AT, DIRECTORY | 0xe0dn]]);
    // all entries of the directory lead to the same PASID table
    for (let i = 0n; i < 512n; i += 1n) bench.write(0x10_0000n + 8n * i, PASIDS | 1n);
    const [low, high, first] = FIRST_STAGE as [bigint, bigint, bigint];
    for (let i = 0n; i < 64n; i += 1n) bench.write(PASIDS + 64n * i, low, high, first | 1n);
    for (const device of [0n, 32n]) bench.write(CONTEXT_AT + device, 0x10_0e0dn);
    for (let i = 1; i < 32_768; i += 1) {
      for (const access of [1, 9]) expect(bench.reason({ ...at, pasid: i, access })).toBe(0);
    }
    const { contextFetches } = bench.engine.counters;
    // 65,534 ways are cached; some more, and the cache begins again
    for (let i = 1; i < 9; i += 1) bench.reason({ ...at, sourceId: 0x11, pasid: i });
    expect(bench.reason({ ...at, pasid: 77 })).toBe(0);
    expect(bench.engine.counters.contextFetches).toBe(contextFetches + 9);
    bench.engine.invalidatePasidCacheGlobal();
    expect(bench.reason({ ...at, pasid: 77 })).toBe(0);
  });
});
