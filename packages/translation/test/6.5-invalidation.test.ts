import { describe, expect, it } from "vitest";
import { Bench, CONTEXT, DEVICE, secondStageBench } from "./support/machine.ts";

const hi = (address: bigint): number => Number(address >> 30n);
const lo = (address: bigint): number => Number(address & 0x3fff_ffffn);

function dropPages(bench: Bench, did: number, at: bigint, order: number, leafOnly = true): void {
  bench.engine.invalidateIotlbPages(did, hi(at), lo(at), order, leafOnly);
}

/** A bench with three pages cached: 4 KiB at 1 MiB, 2 MiB at 4 MiB, 1 GiB at 1 GiB. */
function filledBench() {
  const made = secondStageBench();
  const { bench, root, levels } = made;
  const slots = [
    bench.map(root, levels, 0x10_0000n, 0x9000n | 3n),
    bench.map(root, levels, 0x40_0000n, 0x60_0083n, 2),
    bench.map(root, levels, 0x4000_0000n, 0x8000_0083n, 3),
  ] as const;
  const pages = [0x10_0000n, 0x40_0000n, 0x4000_0000n] as const;
  for (const page of pages) expect(bench.reason({ address: page + 0x123n })).toBe(0);
  /** Unmaps all; the reasons that follow: 0 means still cached. */
  const unmapped = (): number[] => {
    for (const slot of slots) bench.write(slot, 0n);
    return pages.map((page) => bench.reason({ address: page + 0x456n }));
  };
  return { ...made, slots, pages, unmapped };
}

describe("VT-d 6.5.2.3, IOTLB invalidation", () => {
  it("without invalidation cached pages stay", () => {
    expect(filledBench().unmapped()).toEqual([0, 0, 0]);
  });

  it("global and domain-selective invalidation drop pages of all sizes", () => {
    for (const drop of [
      (bench: Bench) => {
        bench.engine.invalidateIotlbGlobal();
      },
      (bench: Bench) => {
        bench.engine.invalidateIotlbDomain(5);
      },
      (bench: Bench) => {
        bench.engine.invalidateAll();
      },
      (bench: Bench) => {
        bench.engine.invalidatePasidIotlb(5, -1);
      },
    ]) {
      const { bench, unmapped } = filledBench();
      drop(bench);
      expect(unmapped()).toEqual([6, 6, 6]);
    }
  });

  it("another domain's invalidation drops nothing", () => {
    const { bench, unmapped } = filledBench();
    bench.engine.invalidateIotlbDomain(6);
    dropPages(bench, 6, 0n, 52);
    dropPages(bench, 6, 0x10_0000n, 0);
    bench.engine.invalidateContextDomain(6);
    expect(unmapped()).toEqual([0, 0, 0]);
  });

  it.each([
    [0x10_0000n, 0, [6, 0, 0]],
    [0x10_1000n, 0, [0, 0, 0]],
    [0x10_1fffn, 1, [6, 0, 0]], // low bits of the address are masked
    [0x40_0000n, 0, [0, 6, 0]],
    [0x5f_f000n, 0, [0, 6, 0]], // any page of the 2 MiB
    [0x7fff_f000n, 0, [0, 0, 6]],
    [0n, 8, [0, 0, 0]],
    [0n, 9, [6, 0, 0]],
    [0x40_0000n, 9, [0, 6, 0]],
    [0n, 10, [6, 6, 6]], // beyond 512 pages the whole space
    [0n, 18, [6, 6, 6]],
    [0n, 63, [6, 6, 6]],
    [(1n << 57n) | 0x10_0000n, 0, [6, 0, 0]], // address bits beyond MGAW are ignored
  ])("page-selective: address %s, AM %s", (address, order, reasons) => {
    const { bench, unmapped } = filledBench();
    bench.engine.invalidateIotlbPages(5, Number(address >> 30n), lo(address), order, true);
    expect(unmapped()).toEqual(reasons);
  });

  it("more permission needs no invalidation after a denial", () => {
    const { bench, root, levels } = secondStageBench();
    const slot = bench.map(root, levels, 0x1000n, 0x9001n);
    expect(bench.reason({ address: 0x1000n })).toBe(0);
    expect(bench.reason({ address: 0x1000n, access: 2 })).toBe(5);
    expect(bench.faults).toHaveLength(1);
    bench.write(slot, 0x9003n);
    expect(bench.reason({ address: 0x1000n, access: 2 })).toBe(0);
  });

  it("IH = 0 drops the paging structures above the range, IH = 1 may keep them", () => {
    for (const leafOnly of [false, true]) {
      const { bench, root, levels } = secondStageBench();
      const leaf = bench.map(root, levels, 0x1000n, 0x9003n);
      bench.map(root, levels, 0x2000n, 0x9003n);
      bench.reason({ address: 0x1000n });
      // another table for the same 2 MiB
      const other = bench.page();
      bench.write(other + 8n, 0x7003n, 0x7003n);
      const slot = bench.map(root, levels, 0n, other | 3n, 2);
      expect(bench.read(slot)).toBe(other | 3n);
      dropPages(bench, 5, 0x2000n, 0, leafOnly);
      expect(bench.ask({ address: 0x2000n }).out).toBe(leafOnly ? 0x9000n : 0x7000n);
      expect(bench.read(leaf)).toBe(0x9003n);
    }
  });

  it("a fault is never taken out of cached paging structures", () => {
    const { bench, root, levels } = secondStageBench();
    bench.map(root, levels, 0x1000n, 0x9003n);
    bench.map(root, levels, 0x3000n, 0n);
    bench.reason({ address: 0x1000n });
    const other = bench.page();
    bench.write(other + 24n, 0x7003n);
    bench.map(root, levels, 0n, other | 3n, 2);
    // the old table says no, the new one yes
    expect(bench.ask({ address: 0x3000n }).out).toBe(0x7000n);
  });

  it("drops the paging structures of a walk that ended in a fault", () => {
    const { bench, root, levels } = secondStageBench();
    bench.map(root, levels, 0x1000n, 0n);
    expect(bench.reason({ address: 0x1000n })).toBe(6); // nothing in the IOTLB
    const other = bench.page();
    bench.write(other + 8n, 0x7003n);
    const old = bench.map(root, levels, 0x1000n, 0x9003n);
    expect(old).not.toBe(other + 8n);
    bench.map(root, levels, 0n, other | 3n, 2);
    bench.engine.invalidateIotlbDomain(5);
    expect(bench.ask({ address: 0x1000n }).out).toBe(0x7000n);
  });

  it("covers all spaces of a domain, and bounds the work for many", () => {
    const bench = new Bench();
    const roots: bigint[] = [];
    for (let i = 0; i < 40; i += 1) {
      const root = bench.page();
      roots.push(root);
      bench.context(root | 1n, 0x502n, 8 + i);
      bench.map(root, 4, 0x20_0000n, 0x9003n);
      bench.reason({ address: 0x20_0000n, sourceId: 8 + i });
    }
    for (const order of [0, 5]) {
      const page = order === 0 ? 0x9003n : 0x7003n;
      for (const root of roots) bench.map(root, 4, 0x20_0000n, page ^ 0x3_0000n);
      dropPages(bench, 5, 0x20_0000n, order);
      for (let i = 0; i < 40; i += 1) {
        const { out } = bench.ask({ address: 0x20_0000n, sourceId: 8 + i });
        expect(out).toBe((page ^ 0x3_0000n) & ~0xfffn);
      }
    }
  });
});

describe("VT-d 6.5.2.1, context-cache invalidation", () => {
  /** Devices 10h to 17h, 18h and 0110h with one root each, all cached; then all made absent. */
  function devices(did: (sourceId: number) => bigint) {
    const bench = new Bench();
    const ids = [0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x110];
    for (const id of ids) bench.context(0x9n, (did(id) << 8n) | 3n, id);
    for (const id of ids) expect(bench.reason({ address: 0n, sourceId: id })).toBe(0);
    for (const id of ids) bench.context(0n, 0n, id);
    const forgotten = (): number[] =>
      ids.filter((sourceId) => bench.reason({ address: 0x1000n, sourceId }) !== 0);
    return { bench, ids, forgotten };
  }

  it("without invalidation, or after that of the IOTLB, entries stay", () => {
    const { bench, forgotten } = devices(() => 5n);
    bench.engine.invalidateIotlbGlobal();
    bench.engine.invalidateIotlbDomain(5);
    expect(forgotten()).toEqual([]);
  });

  it("global", () => {
    const { bench, ids, forgotten } = devices(() => 5n);
    bench.engine.invalidateContextGlobal();
    expect(forgotten()).toEqual(ids);
  });

  it("domain-selective", () => {
    const { bench, forgotten } = devices((id) => (id % 2 === 0 ? 5n : 6n));
    bench.engine.invalidateContextDomain(6);
    expect(forgotten()).toEqual([0x11, 0x13, 0x15, 0x17]);
  });

  it.each([
    [0, [0x15]],
    [4, [0x11, 0x15]],
    [6, [0x11, 0x13, 0x15, 0x17]],
    [7, [0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17]],
  ])("device-selective, function bits %s ignored", (mask, expected) => {
    const { bench, forgotten } = devices(() => 5n);
    bench.engine.invalidateContextDevice(5, 0x15, mask);
    expect(forgotten()).toEqual(expected);
  });

  it("PASID-cache invalidations drop the ways of a domain, too", () => {
    for (const drop of [
      (bench: Bench) => {
        bench.engine.invalidatePasidCacheGlobal();
      },
      (bench: Bench) => {
        bench.engine.invalidatePasidCacheDomain(5);
      },
    ]) {
      const { bench, ids, forgotten } = devices(() => 5n);
      drop(bench);
      expect(forgotten()).toEqual(ids);
    }
  });

  it("an entry that was not present needs no invalidation", () => {
    const bench = new Bench();
    expect(bench.reason({ address: 0n })).toBe(1);
    bench.context(0x9n, 0x502n);
    expect(bench.reason({ address: 0n })).toBe(0);
  });

  it("a device moved to another domain no longer uses the old pages", () => {
    const { bench, root, levels } = secondStageBench();
    bench.map(root, levels, 0x1000n, 0x9003n);
    bench.reason({ address: 0x1000n });
    const other = bench.page();
    bench.map(other, levels, 0x1000n, 0x7003n);
    bench.write(CONTEXT + 16n * BigInt(DEVICE), other | 1n, 0x602n);
    expect(bench.ask({ address: 0x1000n }).out).toBe(0x9000n); // until it is told
    bench.engine.invalidateContextDevice(5, DEVICE, 0);
    bench.engine.invalidateIotlbDomain(5);
    expect(bench.ask({ address: 0x1000n }).out).toBe(0x7000n);
  });

  it("devices of one domain share what is cached, and one may leave", () => {
    const bench = new Bench();
    const root = bench.page();
    bench.context(root | 1n, 0x502n, 0x10);
    bench.context(root | 1n, 0x502n, 0x18);
    const slot = bench.map(root, 4, 0x1000n, 0x9003n);
    bench.reason({ address: 0x1000n, sourceId: 0x10 });
    bench.reason({ address: 0x2000n, sourceId: 0x18 }); // attached, nothing found
    bench.write(slot, 0n);
    expect(bench.reason({ address: 0x1000n, sourceId: 0x18 })).toBe(0);
    bench.engine.invalidateContextDevice(5, 0x10, 0);
    expect(bench.reason({ address: 0x1000n, sourceId: 0x18 })).toBe(0);
    bench.engine.invalidateIotlbDomain(5);
    expect(bench.reason({ address: 0x1000n, sourceId: 0x18 })).toBe(6);
  });
});

describe("VT-d 6.6, root table pointer", () => {
  it("a new one drops everything", () => {
    const { bench, unmapped } = filledBench();
    bench.latch(0x1000n);
    expect(unmapped()).toEqual([6, 6, 6]);
  });
});

describe("many address spaces", () => {
  it("more than there are tags: nothing old comes back", { timeout: 60_000 }, () => {
    const { bench, root, levels } = secondStageBench();
    const slot = bench.map(root, levels, 0x1000n, 0x9003n);
    const ask = { address: 0x1000n };
    for (let round = 0; round < 0x2_0010; round += 1) {
      // each invalidation takes a tag; 131071 of them there are
      if (round % 0x4000 === 0) {
        const page = BigInt(round + 0x1000) << 12n;
        bench.write(slot, page | 3n);
        bench.engine.invalidateIotlbDomain(5);
        expect(bench.ask(ask).out).toBe(page);
      }
      bench.reason(ask);
      bench.engine.invalidateIotlbGlobal();
    }
    bench.write(slot, 0x7003n);
    expect(bench.ask(ask).out).toBe(0x7000n);
  });

  it("a guest that moves a device for ever does not fill memory", () => {
    const bench = new Bench();
    const root = bench.page();
    bench.map(root, 4, 0x1000n, 0x9003n);
    for (let did = 0n; did < 3000n; did += 1n) {
      bench.context(root | 1n, (did << 8n) | 2n);
      expect(bench.reason({ address: 0x1000n })).toBe(0);
      bench.engine.invalidateContextDevice(Number(did), DEVICE, 0);
    }
    const internals = bench.engine as unknown as { domains: { domains: Map<number, unknown> } };
    expect(internals.domains.domains.size).toBe(1); // the engine's own
  });

  it("source-ids in the ten thousands", () => {
    const bench = new Bench();
    for (let bus = 0n; bus < 256n; bus += 1n) bench.write(0x1000n + 16n * bus, CONTEXT | 1n);
    for (let devfn = 0n; devfn < 256n; devfn += 1n)
      bench.write(CONTEXT + 16n * devfn, 0x9n, 0x503n);
    for (let round = 0; round < 2; round += 1) {
      for (let sourceId = 0; sourceId < 0x1_0000; sourceId += 1) {
        const { result } = bench.ask({ address: 0x1000n, sourceId });
        if (result !== 0) expect(sourceId).toBe(-1);
      }
      bench.engine.invalidateContextDomain(5);
    }
    expect(bench.faults).toEqual([]);
  });
});
