import { hiFromBigint, loFromBigint } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { CONTEXT_FLAGS, ENTRY, entry, HOST_ADDRESS } from "./support/host-permission-machine.ts";
import { HPT_DOMAIN, hptFields, HPTE, L1, L4 } from "./support/host-permission-machine.ts";
import { passes, permission, permissionBench } from "./support/host-permission-machine.ts";
import type { Bench } from "./support/machine.ts";
import { CONTEXT_AT, DIRECTORY, PASIDS } from "./support/scalable-machine.ts";

const READ = { address: HOST_ADDRESS, addressType: 2, access: 1 };
const WRITE = { ...READ, access: 2 };

/** Invalidations that cover a page of the table of {@link HPT_DOMAIN}. */
const pages = ({ engine }: Bench, order: number, address = HOST_ADDRESS): void => {
  const [hi, lo] = [hiFromBigint(address), loFromBigint(address)];
  engine.invalidateHostPermissionsPages(HPT_DOMAIN, hi, lo, order);
};
const invalidations: [string, (bench: Bench, level: number) => void][] = [
  [
    "a global one",
    ({ engine }) => {
      engine.invalidateHostPermissionsGlobal();
    },
  ],
  [
    "one of the domain",
    ({ engine }) => {
      engine.invalidateHostPermissionsDomain(HPT_DOMAIN);
    },
  ],
  [
    "one of the page",
    (bench, level) => {
      pages(bench, [0, 0, 9, 18, 29][level]!);
    },
  ],
  [
    "one of more pages, by the first one",
    (bench, level) => {
      const order = [0, 5, 13, 21, 30][level]!;
      const shift = BigInt(order + 12);
      pages(bench, order, (HOST_ADDRESS >> shift) << shift);
    },
  ],
  [
    "one of more pages, by the last one",
    (bench, level) => {
      const order = [0, 5, 13, 21, 30][level]!;
      pages(bench, order, HOST_ADDRESS | ((1n << BigInt(order + 12)) - 1n));
    },
  ],
  [
    "one whose address has bits beyond the host width",
    (bench, level) => {
      pages(bench, [0, 0, 9, 18, 29][level]!, HOST_ADDRESS | (1n << 50n));
    },
  ],
];

describe("VT-d 6.5.2.7: after an invalidation the new tables count", () => {
  it.each(invalidations)("%s, once permissions are taken away", (_name, invalidate) => {
    for (const level of [1, 2, 3] as const) {
      const bench = permissionBench({}, entry(ENTRY[level], permission(level, 3n)));
      expect(bench.ask(WRITE)).toEqual(passes(9 * level + 3));
      for (const [rights, read, write] of [
        [1n, 0, 0xa4],
        [0n, 0xa5, 0xa4],
        [2n, 0xa5, 0],
      ] as const) {
        for (const [at, value] of entry(ENTRY[level], permission(level, rights))) {
          bench.write(at, value);
        }
        invalidate(bench, level);
        expect([bench.reason(READ), bench.reason(WRITE)]).toEqual([read, write]);
      }
    }
  });

  it.each(invalidations)("%s, once tables are put in and taken out", (_name, invalidate) => {
    for (const level of [4, 3, 2] as const) {
      const bench = permissionBench();
      const table = bench.read(ENTRY[level] + 8n);
      expect(bench.ask(WRITE)).toEqual(passes(12));
      bench.write(ENTRY[level] + 8n, 0n);
      invalidate(bench, level);
      expect(bench.reason(WRITE)).toBe(0xa4);
      bench.write(ENTRY[level] + 8n, table);
      invalidate(bench, level);
      expect(bench.ask(WRITE)).toEqual(passes(12));
      // a large page comes in place of the small ones
      if (level === 4) continue;
      const [at, value] = entry(ENTRY[level], permission(level, 1n, L1))[0]!;
      bench.write(at, value);
      invalidate(bench, level);
      expect(bench.ask(READ)).toEqual(passes(9 * level + 3, 0x21));
      expect(bench.reason(WRITE)).toBe(0xa4);
    }
  });

  it.each(invalidations)("%s, for all devices that share the table", (_name, invalidate) => {
    const bench = permissionBench({}, [[CONTEXT_AT + 32n, DIRECTORY | CONTEXT_FLAGS | HPTE]]);
    const asked = [WRITE, { ...WRITE, sourceId: 0x11 }];
    for (const ask of asked) expect(bench.ask(ask)).toEqual(passes(12));
    for (const [at, value] of entry(ENTRY[1], permission(1, 1n))) bench.write(at, value);
    invalidate(bench, 1);
    for (const ask of asked) expect(bench.reason(ask)).toBe(0xa4);
  });

  it.each<[string, (bench: Bench) => void]>([
    [
      "global",
      ({ engine }) => {
        engine.invalidatePasidCacheGlobal();
      },
    ],
    [
      "of a domain",
      ({ engine }) => {
        engine.invalidatePasidCacheDomain(5);
      },
    ],
    [
      "of a PASID",
      ({ engine }) => {
        engine.invalidatePasidCachePasid(5, 0);
      },
    ],
  ])("another HPTPTR counts after a PASID cache invalidation, %s", (_name, invalidate) => {
    const bench = permissionBench();
    expect(bench.ask(WRITE)).toEqual(passes(12));
    for (const [at, value] of hptFields(PASIDS, 0x14_0000n, 8)) bench.write(at, value);
    invalidate(bench);
    bench.engine.invalidateHostPermissionsDomain(HPT_DOMAIN);
    expect(bench.reason(WRITE)).toBe(0xa4);
    for (const [at, value] of hptFields(PASIDS, L4)) bench.write(at, value);
    invalidate(bench);
    bench.engine.invalidateHostPermissionsDomain(8);
    expect(bench.ask(WRITE)).toEqual(passes(12));
  });

  it("HPTE counts after the invalidations that a change of a context entry takes", () => {
    const bench = permissionBench({}, entry(ENTRY[4], 0n));
    const { engine } = bench;
    for (const [flags, reason] of [
      [HPTE, 0xa4],
      [0n, 0],
      [HPTE, 0xa4],
    ] as const) {
      bench.write(CONTEXT_AT, DIRECTORY | CONTEXT_FLAGS | flags);
      engine.invalidateContextDevice(0, 0x10, 0);
      engine.invalidatePasidCacheDomain(5);
      engine.invalidateIotlbDomain(5);
      expect(bench.reason(WRITE)).toBe(reason);
      expect(bench.reason(WRITE)).toBe(reason);
    }
  });
});
