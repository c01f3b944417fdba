import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { guestHost, reach } from "./support/guest-host.ts";
import type { GuestHostOptions } from "./support/guest-host.ts";
import { GuestKernel } from "./support/guest-kernel.ts";
import {
  explore,
  fillP2m,
  finish,
  FIRST_GFN,
  flown,
  landAll,
  landed,
  p2mMapped,
  p2mTyped,
  p2mUnmapped,
  step,
  tracked,
} from "./support/guest-model.ts";
import type { Real, Step, Watch } from "./support/guest-model.ts";
import { GuestOracle, PASS_DOMAIN } from "./support/guest-oracle.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_122);

/** Source-ids, host and guest. */
const DEVICES = [
  [0x0300, 0x10],
  [0x0308, 0x18],
  [0x0400, 0x20],
] as const;
/** Devices with a translation cache: the guest does not know of it. */
const CACHING = [0x0300, 0x0400];
/** Input pages that are looked at: three 2 MiB blocks, and guest frames for those without shadow. */
const PROBES = [
  0, 1, 2, 511, 512, 513, 1023, 0x40000, 0x40001, 0x40005, 0x7ff, 0x800, 0x801, 0xa00,
];
/** What the guest's side makes of each page that is looked at, to read. */
function guestView(oracle: GuestOracle): number[] {
  return DEVICES.flatMap(([, virtual]) => PROBES.map((dfn) => oracle.gfnOf(virtual, dfn, 1)));
}

/**
 * While the driver works, a device reaches what the guest's tables said before or say now, by the
 * context entry of before or of now.
 */
const watch: Watch<GuestOracle, Real> = (oracle, real) => {
  const before = guestView(oracle);
  const unswitched = oracle.unswitched();
  return () => {
    const after = guestView(oracle);
    finish(oracle, real, () => {
      for (const [i, [sourceId, virtual]] of DEVICES.entries()) {
        for (const [j, dfn] of PROBES.entries()) {
          const place = i * PROBES.length + j;
          const gfns = [before[place]!, after[place]!, unswitched(virtual, dfn, 1)];
          const allowed = gfns.map((gfn) => oracle.frame(gfn, 1));
          expect([-1, ...allowed]).toContain(reach(real.deviceOf(sourceId), sourceId, dfn));
        }
      }
    });
    checkReach(oracle, real);
  };
};

function checkReach(oracle: GuestOracle, { deviceOf }: Real): void {
  const found: string[] = [];
  const wanted: string[] = [];
  for (const [sourceId, virtual] of DEVICES) {
    for (const dfn of PROBES) {
      for (const need of [1, 2]) {
        const place = `${sourceId.toString(16)} ${dfn.toString(16)} ${need} `;
        found.push(place + String(reach(deviceOf(sourceId), sourceId, dfn, need)));
        wanted.push(place + String(oracle.reach(virtual, dfn, need)));
      }
    }
  }
  expect(found).toEqual(wanted);
}

const root = fc.nat(1);
const domain = fc.constantFrom(1, 2);
const device = fc.nat(DEVICES.length - 1);
const page = fc.oneof(
  fc.constantFrom(...PROBES).map((dfn) => ({ dfn, pages: 1 })),
  fc.constantFrom(0, 512, 0x40000, 0x800).map((dfn) => ({ dfn, pages: 512 })),
);
const rights = fc.constantFrom(1, 2, 3, 3);
const frame = fc.oneof(fc.integer({ min: FIRST_GFN, max: FIRST_GFN + 7 }), fc.constant(0x5000));

const mapped: fc.Arbitrary<Step> = fc
  .tuple(root, page, frame, rights)
  .map(([index, { dfn, pages }, gfn, flags]) =>
    step(`map ${index} ${dfn}+${pages} -> ${gfn} ${flags}`, (oracle, real) => {
      const first = pages === 1 ? gfn : Math.floor(gfn / 512) * 512;
      real.kernel.map(real.roots[index]!, dfn, first, pages === 1 ? 1 : 2, BigInt(flags));
      oracle.map(index, dfn, pages, first, flags);
    }),
  );
const unmapped: fc.Arbitrary<Step> = fc.tuple(root, page).map(([index, { dfn, pages }]) =>
  step(`unmap ${index} ${dfn}+${pages}`, (oracle, real) => {
    real.kernel.unmap(real.roots[index]!, dfn, pages === 1 ? 1 : 2);
    oracle.unmap(index, dfn, pages);
  }),
);

const invalidated: fc.Arbitrary<Step> = fc
  .tuple(domain, fc.constantFrom(...PROBES), fc.constantFrom(0, 0, 1, 9, 18), fc.nat(5))
  .map(([id, dfn, order, what]) =>
    step(`invalidate ${id} ${dfn} ${order} ${what}`, (oracle, real) => {
      const first = dfn - (dfn % 2 ** order);
      if (what === 0) {
        real.kernel.iotlbGlobal();
        landed(oracle, real);
        oracle.iotlb(null);
      } else if (what === 1) {
        real.kernel.iotlbDomain(id);
        landed(oracle, real);
        oracle.iotlb(id);
      } else {
        real.kernel.iotlbPages(id, first, order);
        landed(oracle, real);
        oracle.iotlb(id, first, 2 ** order);
      }
    }),
  );

const context: fc.Arbitrary<Step> = fc
  .tuple(device, fc.nat(3), root, domain, fc.nat(2))
  .map(([index, kind, table, id, how]) =>
    step(`context ${index} ${kind} ${table} ${id} ${how}`, (oracle, real) => {
      const virtual = DEVICES[index]![1];
      if (kind === 0) {
        real.kernel.clearContext(virtual);
        oracle.contexts.delete(virtual);
      } else if (kind === 1) {
        real.kernel.setContext(virtual, 0, PASS_DOMAIN, 2);
        oracle.contexts.set(virtual, { kind: "pass" });
      } else {
        real.kernel.setContext(virtual, real.roots[table]!, id);
        oracle.contexts.set(virtual, { kind: "shadow", domainId: id, root: table });
      }
      if (how === 0) {
        real.kernel.contextGlobal();
        landAll(real);
        oracle.evaluate([...oracle.seen.keys()]);
      } else if (how === 1) {
        real.kernel.contextDevice(virtual, id);
        landAll(real);
        if (oracle.seen.has(virtual)) oracle.evaluate([virtual]);
      } else {
        real.kernel.contextDomain(id);
        landAll(real);
        oracle.contextDomain(id);
      }
    }),
  );

const switched: fc.Arbitrary<Step> = fc.boolean().map((on) =>
  step(`translation ${on}`, (oracle, real) => {
    const isChange = oracle.translation !== on;
    real.kernel.setTranslation(on);
    landAll(real);
    if (isChange) oracle.setTranslation(on);
  }),
);
const rootSet: fc.Arbitrary<Step> = fc.constant(
  step("root pointer", (oracle, real) => {
    real.kernel.setRoot(0x10);
    landAll(real);
    oracle.everything();
  }),
);

const moved: fc.Arbitrary<Step> = device.map((index) =>
  step(`move ${index}`, (oracle, real) => {
    const [sourceId, virtualSourceId] = DEVICES[index]!;
    if (oracle.seen.has(virtualSourceId)) {
      real.driver.unassign(sourceId);
      oracle.unassign(virtualSourceId);
    } else {
      real.driver.assign({ sourceId, virtualSourceId, unit: real.unit });
      oracle.assign(virtualSourceId);
    }
  }),
);

const wrote: fc.Arbitrary<Step> = fc
  .tuple(device, fc.constantFrom(...PROBES), fc.nat(0xff))
  .map(([index, dfn, value]) =>
    step(`dma ${index} ${dfn}`, (oracle, real) => {
      const [sourceId, virtual] = DEVICES[index]!;
      const mfn = oracle.reach(virtual, dfn, 2);
      const result = real.deviceOf(sourceId).dma.write(dfn * 4096 + 8, Uint8Array.of(value));
      expect(result === 0).toBe(mfn >= 0);
      if (mfn < 0) return;
      expect(real.host.chunks[0]![mfn * 1024 + 2]! & 0xff).toBe(value);
      if (oracle.tracking) oracle.dirty.add(oracle.gfnOf(virtual, dfn, 2));
    }),
  );

function begin(options: GuestHostOptions): { model: GuestOracle; real: Real } {
  const base = guestHost({ deviceTlbs: CACHING, ...options, assign: false });
  const kernel = new GuestKernel(base.memory, base.unit);
  const roots = [kernel.table(), kernel.table()];
  const model = new GuestOracle();
  for (const index of roots.keys()) model.tables.set(index, new Map());
  fillP2m(model);
  // context tables are made once
  for (const [sourceId] of DEVICES) {
    base.physical.attach(sourceId, -1, base.physical.identity);
    base.physical.attach(sourceId, -1, base.physical.blocking);
  }
  const framesBefore = base.frames.used - base.driver.main.frames;
  return { model, real: { ...base, kernel, roots, framesBefore, tickets: [], held: new Set() } };
}

const base: fc.Arbitrary<Step>[] = [
  mapped,
  mapped,
  mapped,
  unmapped,
  invalidated,
  invalidated,
  context,
  context,
  switched,
  rootSet,
  p2mMapped,
  p2mUnmapped,
  p2mTyped,
  moved,
  wrote,
  flown,
];

describe("a guest's devices under random changes", () => {
  it("reach p2m after the guest's tables as of the last invalidation, and nothing else", () => {
    const scalable = {
      physical: { scalableMode: true, secondStageAccessedDirty: true },
      p2m: { dmaToLogDirty: true },
    };
    const count = explore({
      begin: () => begin(scalable),
      steps: [...base, tracked, wrote],
      watch,
      seed,
      runs: 200,
    });
    expect(count).toBeGreaterThan(12_000);
  });

  it("do so when the work is done in small steps, on a host of legacy mode", () => {
    const stepwise = { driver: { inlineBudget: 3 }, p2m: { dmaToLogDirty: true } };
    const count = explore({
      begin: () => begin(stepwise),
      steps: base,
      watch,
      seed,
      runs: 150,
    });
    expect(count).toBeGreaterThan(9_000);
  });
});
