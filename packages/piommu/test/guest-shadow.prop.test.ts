import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createPhysicalDevice } from "../src/index.ts";
import type { PageType } from "../src/index.ts";
import { guestHost, OFFSET, reach } from "./support/guest-host.ts";
import type { GuestHost, GuestHostOptions } from "./support/guest-host.ts";
import { GuestKernel } from "./support/guest-kernel.ts";
import { GuestOracle, PASS_DOMAIN } from "./support/guest-oracle.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_122);

/** Source-ids, host and guest. */
const DEVICES = [
  [0x0300, 0x10],
  [0x0308, 0x18],
  [0x0400, 0x20],
] as const;
/** Input pages that are looked at: three 2 MiB blocks, and guest frames for those without shadow. */
const PROBES = [
  0, 1, 2, 511, 512, 513, 1023, 0x40000, 0x40001, 0x40005, 0x7ff, 0x800, 0x801, 0xa00,
];
/** Guest frames that the host changes; the tables of the guest lie below. */
const FIRST_GFN = 0x800;
const GFNS = 0x400;

interface Real extends GuestHost {
  readonly kernel: GuestKernel;
  readonly roots: readonly number[];
  /** Frames that the host used before there was a guest. */
  readonly framesBefore: number;
  /** Accesses of devices in flight. */
  readonly tickets: number[];
  /** Frames that are not yet to be used again. */
  readonly held: Set<number>;
}

type Step = (oracle: GuestOracle, real: Real) => void;

let executed = 0;

/** What the guest, its devices or the host do next. */
class Command implements fc.Command<GuestOracle, Real> {
  readonly #name: string;
  readonly #step: Step;

  constructor(name: string, step: Step) {
    this.#name = name;
    this.#step = step;
  }

  check(): boolean {
    return true;
  }

  run(oracle: GuestOracle, real: Real): void {
    executed += 1;
    const before = guestView(oracle);
    const unswitched = oracle.unswitched();
    this.#step(oracle, real);
    finish(oracle, real, before, unswitched);
    checkReach(oracle, real);
  }

  toString(): string {
    return this.#name;
  }
}

/** What the guest's side makes of each page that is looked at, to read. */
function guestView(oracle: GuestOracle): number[] {
  return DEVICES.flatMap(([, virtual]) => PROBES.map((dfn) => oracle.gfnOf(virtual, dfn, 1)));
}

/**
 * Lets the driver end its work in small steps. In between the host changes the p2m; whatever a
 * device reaches then is what the guest's tables said before or say now, by the context entry of before
 * or of now, after the p2m of now.
 */
function finish(
  oracle: GuestOracle,
  real: Real,
  before: readonly number[],
  unswitched: ReturnType<GuestOracle["unswitched"]>,
): void {
  const after = guestView(oracle);
  for (let rounds = 0; real.driver.pending; rounds++) {
    expect(rounds).toBeLessThan(100_000);
    real.driver.run(5);
    if (rounds > 8) continue;
    const changed = FIRST_GFN + (rounds % 3);
    real.p2m.map(changed, 0x100 + rounds, 1, "ram");
    oracle.p2m.set(changed, { mfn: 0x100 + rounds, rights: 3 });
    oracle.dirty.delete(changed);
    for (const [i, [sourceId, virtual]] of DEVICES.entries()) {
      for (const [j, dfn] of PROBES.entries()) {
        const found = reach(real.physical, sourceId, dfn);
        const place = i * PROBES.length + j;
        const gfns = [before[place]!, after[place]!, unswitched(virtual, dfn, 1)];
        const allowed = gfns.map((gfn) => oracle.frame(gfn, 1));
        expect([-1, ...allowed]).toContain(found);
      }
    }
  }
  // only accesses in flight hold the guest's invalidation back now
  if (real.tickets.length > 0) return;
  expect(real.kernel.complete).toBe(true);
  expect(real.kernel.translation).toBe(oracle.translation);
}

function checkReach(oracle: GuestOracle, { physical }: Real): void {
  const found: string[] = [];
  const wanted: string[] = [];
  for (const [sourceId, virtual] of DEVICES) {
    for (const dfn of PROBES) {
      for (const need of [1, 2]) {
        const place = `${sourceId.toString(16)} ${dfn.toString(16)} ${need} `;
        found.push(place + String(reach(physical, sourceId, dfn, need)));
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

const mapped = fc.tuple(root, page, frame, rights).map(
  ([index, { dfn, pages }, gfn, flags]) =>
    new Command(`map ${index} ${dfn}+${pages} -> ${gfn} ${flags}`, (oracle, real) => {
      const first = pages === 1 ? gfn : Math.floor(gfn / 512) * 512;
      real.kernel.map(real.roots[index]!, dfn, first, pages === 1 ? 1 : 2, BigInt(flags));
      oracle.map(index, dfn, pages, first, flags);
    }),
);
const unmapped = fc.tuple(root, page).map(
  ([index, { dfn, pages }]) =>
    new Command(`unmap ${index} ${dfn}+${pages}`, (oracle, real) => {
      real.kernel.unmap(real.roots[index]!, dfn, pages === 1 ? 1 : 2);
      oracle.unmap(index, dfn, pages);
    }),
);

const invalidated = fc
  .tuple(domain, fc.constantFrom(...PROBES), fc.constantFrom(0, 0, 1, 9, 18), fc.nat(5))
  .map(
    ([id, dfn, order, what]) =>
      new Command(`invalidate ${id} ${dfn} ${order} ${what}`, (oracle, real) => {
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

const context = fc.tuple(device, fc.nat(3), root, domain, fc.nat(2)).map(
  ([index, kind, table, id, how]) =>
    new Command(`context ${index} ${kind} ${table} ${id} ${how}`, (oracle, real) => {
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

const switched = fc.boolean().map(
  (on) =>
    new Command(`translation ${on}`, (oracle, real) => {
      const isChange = oracle.translation !== on;
      real.kernel.setTranslation(on);
      landAll(real);
      if (isChange) oracle.setTranslation(on);
    }),
);
const rootSet = fc.constant(
  new Command("root pointer", (oracle, real) => {
    real.kernel.setRoot(0x10);
    landAll(real);
    oracle.everything();
  }),
);

const TYPE_RIGHTS: Readonly<Record<PageType, number>> = {
  ram: 3,
  "read-only": 1,
  "log-dirty": 3,
  mmio: 0,
  foreign: 0,
};
const type = fc.constantFrom<PageType>("ram", "ram", "read-only", "log-dirty", "mmio", "foreign");
const run = fc.oneof(
  fc.tuple(fc.integer({ min: FIRST_GFN, max: FIRST_GFN + 7 }), fc.integer({ min: 1, max: 5 })),
  fc.constantFrom([FIRST_GFN, 512], [FIRST_GFN + 512, 512], [FIRST_GFN, GFNS] as [number, number]),
);

const p2mMapped = fc.tuple(run, fc.nat(0xb00), type).map(
  ([[gfn, count], at, kind]) =>
    new Command(`p2m map ${gfn}+${count} -> ${at} ${kind}`, (oracle, real) => {
      const mfn = count >= 512 ? Math.floor(at / 512) * 512 : at;
      const old = framesOf(oracle, gfn, count);
      if (!real.p2m.map(gfn, mfn, count, kind, releaseOf(real))) hold(real, old);
      for (let i = 0; i < count; i++) {
        oracle.p2m.set(gfn + i, { mfn: mfn + i, rights: TYPE_RIGHTS[kind] });
        oracle.dirty.delete(gfn + i);
      }
    }),
);
const p2mUnmapped = run.map(
  ([gfn, count]) =>
    new Command(`p2m unmap ${gfn}+${count}`, (oracle, real) => {
      const old = framesOf(oracle, gfn, count);
      if (!real.p2m.unmap(gfn, count, releaseOf(real))) hold(real, old);
      for (let i = 0; i < count; i++) {
        oracle.p2m.delete(gfn + i);
        oracle.dirty.delete(gfn + i);
      }
    }),
);
const p2mTyped = fc.tuple(run, type).map(
  ([[gfn, count], kind]) =>
    new Command(`p2m type ${gfn}+${count} ${kind}`, (oracle, real) => {
      real.p2m.setType(gfn, count, kind);
      for (let i = gfn; i < gfn + count; i++) {
        const known = oracle.p2m.get(i);
        if (known === undefined) continue;
        oracle.p2m.set(i, { mfn: known.mfn, rights: TYPE_RIGHTS[kind] });
        if (TYPE_RIGHTS[kind] === 0) oracle.dirty.delete(i);
      }
    }),
);

const moved = device.map(
  (index) =>
    new Command(`move ${index}`, (oracle, real) => {
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

const wrote = fc.tuple(device, fc.constantFrom(...PROBES), fc.nat(0xff)).map(
  ([index, dfn, value]) =>
    new Command(`dma ${index} ${dfn}`, (oracle, real) => {
      const [sourceId, virtual] = DEVICES[index]!;
      const mfn = oracle.reach(virtual, dfn, 2);
      const result = createPhysicalDevice(real.physical, sourceId).dma.write(
        dfn * 4096 + 8,
        Uint8Array.of(value),
      );
      expect(result === 0).toBe(mfn >= 0);
      if (mfn < 0) return;
      expect(real.host.chunks[0]![mfn * 1024 + 2]! & 0xff).toBe(value);
      if (oracle.tracking) oracle.dirty.add(oracle.gfnOf(virtual, dfn, 2));
    }),
);

const tracked = fc.nat(2).map(
  (what) =>
    new Command(`tracking ${what}`, (oracle, real) => {
      if (what < 2) {
        real.driver.setDirtyTracking(what === 1);
        if (oracle.tracking !== (what === 1)) oracle.dirty.clear();
        oracle.tracking = what === 1;
        return;
      }
      const told = new Set<number>();
      real.driver.readAndClearDirty(FIRST_GFN, GFNS, (gfn) => void told.add(gfn));
      for (const gfn of oracle.dirty) if (gfn >= FIRST_GFN) expect(told).toContain(gfn);
      oracle.dirty.clear();
      real.driver.readAndClearDirty(FIRST_GFN, GFNS, (gfn) => {
        throw new Error(`${gfn} is told of twice`);
      });
    }),
);

/** An access begins: a change must not be complete before it has ended. */
const flown = fc.boolean().map(
  (on) =>
    new Command(`in flight ${on}`, (_oracle, real) => {
      if (on) real.tickets.push(real.physical.dmaRemapper.enter());
      else landAll(real);
    }),
);

/** Accesses in flight hold back an invalidation that was begun after them; then they end. */
function landed(oracle: GuestOracle, real: Real): void {
  if (real.tickets.length > 0 && oracle.seen.size > 0) expect(real.kernel.complete).toBe(false);
  landAll(real);
}

/** Accesses in flight end; then nothing that was taken away is held any more. */
function landAll(real: Real): void {
  if (real.tickets.length === 0) return;
  for (const ticket of real.tickets.splice(0)) real.physical.dmaRemapper.leave(ticket);
  expect(real.held.size).toBe(0);
}

function hold(real: Real, frames: readonly number[]): void {
  expect(real.tickets.length).toBeGreaterThan(0);
  for (const mfn of frames) real.held.add(mfn);
}

function releaseOf(real: Real): () => void {
  return () => {
    real.held.clear();
  };
}

function framesOf(oracle: GuestOracle, gfn: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => oracle.p2m.get(gfn + i)?.mfn ?? -1);
}

function begin(options: GuestHostOptions): { model: GuestOracle; real: Real } {
  const base = guestHost({ ...options, assign: false });
  const kernel = new GuestKernel(base.memory, base.unit);
  const roots = [kernel.table(), kernel.table()];
  const model = new GuestOracle();
  for (const index of roots.keys()) model.tables.set(index, new Map());
  for (let gfn = 0; gfn < 0x1000; gfn++) model.p2m.set(gfn, { mfn: gfn + OFFSET, rights: 3 });
  // context tables are made once
  for (const [sourceId] of DEVICES) {
    base.physical.attach(sourceId, -1, base.physical.identity);
    base.physical.attach(sourceId, -1, base.physical.blocking);
  }
  const framesBefore = base.frames.used - base.driver.main.frames;
  return { model, real: { ...base, kernel, roots, framesBefore, tickets: [], held: new Set() } };
}

const base = [
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

function explore(options: GuestHostOptions, kinds: fc.Arbitrary<Command>[], runs: number): number {
  executed = 0;
  fc.assert(
    fc.property(fc.commands(kinds, { maxCommands: 160, size: "max" }), (commands) => {
      let last: Real | null = null;
      fc.modelRun(() => {
        const setup = begin(options);
        last = setup.real;
        return setup;
      }, commands);
      end(last!);
    }),
    { seed, numRuns: runs },
  );
  return executed;
}

/** All frames come back. */
function end(real: Real): void {
  landAll(real);
  real.driver.close();
  while (real.driver.pending) real.driver.run(16);
  expect(real.driver.report().frames).toBe(0);
  expect(real.frames.used).toBe(real.framesBefore);
}

describe("a guest's devices under random changes", () => {
  it("reach p2m after the guest's tables as of the last invalidation, and nothing else", () => {
    const scalable = {
      physical: { scalableMode: true, secondStageAccessedDirty: true },
      p2m: { dmaToLogDirty: true },
    };
    const count = explore(scalable, [...base, tracked, wrote], 200);
    expect(count).toBeGreaterThan(12_000);
  });

  it("do so when the work is done in small steps, on a host of legacy mode", () => {
    const stepwise = { driver: { inlineBudget: 3 }, p2m: { dmaToLogDirty: true } };
    const count = explore(stepwise, base, 150);
    expect(count).toBeGreaterThan(9_000);
  });
});
