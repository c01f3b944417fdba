import fc from "fast-check";
import { ALL_PASIDS, NO_PASID } from "@viommu/plugin";
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
import { ABSENT, BROKEN, DTE, firstStage, nested, PASIDE } from "./support/pasid-entry.ts";
import { PASS_THROUGH, secondStage } from "./support/pasid-entry.ts";
import { deviceOf, pasidOf, requester, ScalableOracle } from "./support/scalable-oracle.ts";
import type { PasidEntry } from "./support/scalable-oracle.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_122);

const SOURCES = [0x0300, 0x0308, 0x0400] as const;
const VIRTUALS = [0x10, 0x18, 0x120] as const;
/** Devices with a translation cache. */
const CACHING: readonly number[] = [0x0300, 0x0400];
/** PASIDs of requests, all that have entries; 2 and 5 are RID_PASIDs, too. */
const PASIDS = [NO_PASID, 1, 2, 5, 70] as const;
/** Input pages that are looked at, of first stages and of second stages. */
const PROBES = [1, 0x800, 0x801, 0x802, 0xa00, 0x40000, 0x40001];
/** A and D of first-stage entries. */
const ACCESSED = 1n << 5n;
const DIRTY = 1n << 6n;
/** How many entries were looked at for A and D. */
let flagged = 0;
/** Roots 0 and 1 are of second stages, 2 and 3 of first stages. */
const FIRST = 2;

interface ScalableReal extends Real {
  readonly directories: readonly number[];
  /** Where each physical device is in the guest. */
  readonly places: Map<number, number>;
  /** The guest invalidates the IOTLB after each change of an entry. */
  readonly tidy: boolean;
}

type Next = Step<ScalableOracle, ScalableReal>;

/** For each requester of each device, what `see` tells of the pages looked at. */
function requests(
  real: ScalableReal,
  see: (sourceId: number, pasid: number, id: number, page: number) => void,
): void {
  for (const sourceId of SOURCES) {
    const virtual = real.places.get(sourceId);
    for (const pasid of PASIDS) {
      const id = virtual === undefined ? -1 : requester(virtual, pasid);
      // a device that the guest has not is looked at shortly
      for (const page of id < 0 ? [0x800] : PROBES) see(sourceId, pasid, id, page);
    }
  }
}

function view(oracle: ScalableOracle, real: ScalableReal): Map<string, number[]> {
  const seen = new Map<string, number[]>();
  requests(real, (_sourceId, _pasid, id, page) => {
    if (id >= 0) seen.set(`${id} ${page}`, oracle.gfnsOf(id, page, 1));
  });
  return seen;
}

/** Pages of second stages that requests can come to, directly or by a first stage. */
const SECOND_PAGES = [...PROBES, 0x803, 0xa01, 0xa02];

/**
 * While the driver works, a request reaches what the guest's tables said before or say now, by the
 * entries of before or of now.
 */
const watch: Watch<ScalableOracle, ScalableReal> = (oracle, real) => {
  const before = view(oracle, real);
  const unswitched = oracle.unswitchedGfns();
  const shadows = oracle.shadowsAt(SECOND_PAGES);
  return () => {
    let round = 0;
    finish(oracle, real, () => {
      let place = 0;
      round += 1;
      requests(real, (sourceId, pasid, id, page) => {
        place += 1;
        if ((place + round) % 4 > 0) return; // another quarter each time
        const gfns = [...(before.get(`${id} ${page}`) ?? []), ...unswitched(id, page, 1)];
        if (id >= 0) {
          gfns.push(...oracle.gfnsOf(id, page, 1), ...oracle.gfnsOf(id, page, 1, shadows));
        }
        const allowed = gfns.map((gfn) => oracle.frame(gfn, 1));
        expect([-1, ...allowed]).toContain(
          reach(real.deviceOf(sourceId), sourceId, page, 1, pasid),
        );
      });
    });
    checkReach(oracle, real);
  };
};

function checkReach(oracle: ScalableOracle, real: ScalableReal): void {
  const wrong: string[] = [];
  requests(real, (sourceId, pasid, id, page) => {
    let isReached = false;
    for (const need of [1, 2]) {
      const gfns = id < 0 ? [-1] : oracle.gfnsOf(id, page, need);
      const allowed = gfns.map((gfn) => oracle.frame(gfn, need));
      // most pages that can't be read can't be written; those that are, `wrote` finds
      if (need === 2 && !isReached && allowed.every((mfn) => mfn < 0)) continue;
      const found = reach(real.deviceOf(sourceId), sourceId, page, need, pasid);
      isReached = found >= 0;
      if (isReached) checkFlags(oracle, real, id, page, ACCESSED);
      if (allowed.includes(found)) continue;
      const where = `${sourceId.toString(16)} ${pasid} ${page.toString(16)} ${need}`;
      wrong.push(`${where}: ${found}, allowed ${allowed.join()}`);
    }
  });
  expect(wrong).toEqual([]);
}

/** The guest's first stage tells of an access, if its entry can't be cached from before. */
function checkFlags(
  oracle: ScalableOracle,
  real: ScalableReal,
  id: number,
  page: number,
  flags: bigint,
): void {
  const root = oracle.certainRoot(id, page);
  if (root < 0) return;
  flagged += 1;
  expect(real.kernel.firstEntry(real.roots[root]!, page) & flags).toBe(flags);
}

const domain = fc.constantFrom(1, 2);
const table = fc.nat(1);
const large = (starts: number[]): fc.Arbitrary<{ page: number; pages: number }> =>
  fc.constantFrom(...starts).map((page) => ({ page, pages: 512 }));
const single = fc
  .constantFrom(0x800, 0x801, 0x802, 0x9ff, 0xa00, 0x40000, 0x40001)
  .map((page) => ({ page, pages: 1 }));
const pageOfSecond = fc.oneof(single, single, large([0x800, 0xa00, 0x40000]));
const pageOfFirst = fc.oneof(single, single, single, large([0x800, 0x40000]));
const gfn = fc.oneof(
  fc.integer({ min: FIRST_GFN, max: FIRST_GFN + 3 }),
  fc.constantFrom(0xa00, 0x5000),
);

const mappedSecond: fc.Arbitrary<Next> = fc
  .tuple(table, pageOfSecond, gfn, fc.constantFrom(1, 2, 3, 3))
  .map(([index, { page, pages }, to, rights]) =>
    step(`second ${index} ${page}+${pages} -> ${to} ${rights}`, (oracle, real) => {
      const first = pages === 1 ? to : Math.floor(to / 512) * 512;
      real.kernel.map(real.roots[index]!, page, first, pages === 1 ? 1 : 2, BigInt(rights));
      oracle.map(index, page, pages, first, rights);
    }),
  );
const unmappedSecond: fc.Arbitrary<Next> = fc
  .tuple(table, pageOfSecond)
  .map(([index, { page, pages }]) =>
    step(`second ${index} ${page}+${pages} unmapped`, (oracle, real) => {
      real.kernel.unmap(real.roots[index]!, page, pages === 1 ? 1 : 2);
      oracle.unmap(index, page, pages);
    }),
  );
const mappedFirst: fc.Arbitrary<Next> = fc
  .tuple(table, pageOfFirst, gfn, fc.boolean())
  .map(([index, { page, pages }, to, writable]) =>
    step(`first ${index} ${page}+${pages} -> ${to} ${writable}`, (oracle, real) => {
      const first = pages === 1 ? to : Math.floor(to / 512) * 512;
      const level = pages === 1 ? 1 : 2;
      real.kernel.mapFirst(real.roots[FIRST + index]!, page, first, writable ? 7n : 5n, level);
      oracle.map(FIRST + index, page, pages, first, writable ? 3 : 1);
    }),
  );
const unmappedFirst: fc.Arbitrary<Next> = fc
  .tuple(table, pageOfFirst)
  .map(([index, { page, pages }]) =>
    step(`first ${index} ${page}+${pages} unmapped`, (oracle, real) => {
      real.kernel.unmapFirst(real.roots[FIRST + index]!, page, pages === 1 ? 1 : 2);
      oracle.unmap(FIRST + index, page, pages);
    }),
  );

const order = fc.constantFrom(0, 0, 1, 9, 18);
const iotlb: fc.Arbitrary<Next> = fc
  .tuple(domain, fc.constantFrom(...PROBES), order, fc.nat(5))
  .map(([id, page, size, what]) =>
    step(`iotlb ${id} ${page} ${size} ${what}`, (oracle, real) => {
      const first = page - (page % 2 ** size);
      if (what === 0) real.kernel.iotlbGlobal();
      else if (what === 1) real.kernel.iotlbDomain(id);
      else real.kernel.iotlbPages(id, first, size);
      landed(oracle, real);
      if (what === 0) oracle.iotlb(null);
      else if (what === 1) oracle.iotlb(id);
      else oracle.iotlb(id, first, 2 ** size);
    }),
  );
const pasidIotlb: fc.Arbitrary<Next> = fc
  .tuple(
    domain,
    fc.constantFrom(1, 2, 5, 70),
    fc.constantFrom(...PROBES),
    order,
    fc.nat(2),
    fc.boolean(),
  )
  .map(([id, pasid, page, size, what, leafOnly]) =>
    step(`pasid iotlb ${id} ${pasid} ${page} ${size} ${what} ${leafOnly}`, (oracle, real) => {
      const first = page - (page % 2 ** size);
      if (what === 0) real.kernel.pasidIotlb(id, pasid);
      else real.kernel.pasidIotlbPages(id, pasid, first, size, leafOnly);
      landed(oracle, real);
      const range = what === 0 ? null : { first, pages: 2 ** size, leafOnly };
      oracle.pasidIotlb(id, pasid, range);
    }),
  );

const deviceTlb: fc.Arbitrary<Next> = fc
  .tuple(
    fc.constantFrom(...VIRTUALS),
    fc.constantFrom(ALL_PASIDS, ...PASIDS),
    fc.constantFrom(...PROBES),
    order,
  )
  .map(([sourceId, pasid, page, size]) =>
    step(`device-TLB ${sourceId} ${pasid} ${page} ${size}`, (oracle, real) => {
      toldDevice(oracle, real, sourceId, pasid, page, size);
    }),
  );

function toldDevice(
  oracle: ScalableOracle,
  real: ScalableReal,
  sourceId: number,
  pasid: number,
  page: number,
  size: number,
): void {
  const first = page - (page % 2 ** size);
  real.kernel.deviceTlb(sourceId, pasid, first, size);
  landed(oracle, real);
  oracle.deviceTlb(sourceId, pasid === ALL_PASIDS ? null : pasid, first, 2 ** size);
}

/** A page of a first stage in use changes, and just this is invalidated, in the device too or not. */
const remapped: fc.Arbitrary<Next> = fc
  .tuple(fc.nat(20), single, gfn, fc.boolean(), fc.nat(3))
  .map(([choice, { page }, to, leafOnly, how]) =>
    step(`remap ${choice} ${page} -> ${to} ${leafOnly} ${how}`, (oracle, real) => {
      const used = [...oracle.seen].flatMap(([id, context]) =>
        context.kind === "first" ? [{ id, pasid: pasidOf(id), context }] : [],
      );
      if (used.length === 0) return;
      const { context, id, pasid } = used[choice % used.length]!;
      const { domainId, root } = context;
      real.kernel.mapFirst(real.roots[root]!, page, to);
      oracle.map(root, page, 1, to, 3);
      const named = pasid === NO_PASID ? 2 : pasid;
      real.kernel.pasidIotlbPages(domainId, named, page, 0, leafOnly);
      landed(oracle, real);
      oracle.pasidIotlb(domainId, named, { first: page, pages: 1, leafOnly });
      if (how > 0) toldDevice(oracle, real, deviceOf(id), pasid, page, 0);
    }),
  );

/** Ways to tell of a changed PASID entry or context entry, or not to. */
function told(oracle: ScalableOracle, real: ScalableReal, how: number, what: Told): void {
  const { domainId, pasid, sourceId } = what;
  if (how === 0) return;
  if (how === 1) {
    real.kernel.contextGlobal();
    oracle.evaluateDevices();
  } else if (how === 2) {
    real.kernel.contextDevice(sourceId, 0);
    oracle.evaluateDevices([sourceId]);
  } else if (how === 3) {
    real.kernel.pasidCache();
    oracle.evaluateDevices();
  } else if (how === 4) {
    real.kernel.pasidCache(domainId);
    oracle.evaluateDevices();
  } else {
    real.kernel.pasidCache(domainId, pasid);
    oracle.evaluatePasid(pasid);
  }
  if (real.tidy) {
    real.kernel.iotlbGlobal();
    oracle.iotlb(null);
  }
  landed(oracle, real);
}

interface Told {
  readonly domainId: number;
  readonly pasid: number;
  readonly sourceId: number;
}

type Kind = "absent" | "broken" | "pass" | "second" | "first" | "nested";
const kind = fc.constantFrom<Kind>(
  "absent",
  "broken",
  "pass",
  "second",
  "second",
  "first",
  "first",
  "first",
  "nested",
  "nested",
  "nested",
);

function entryOf(
  what: Kind,
  domainId: number,
  first: number,
  second: number,
  roots: readonly number[],
): [PasidEntry, readonly bigint[]] {
  const below = roots[second]!;
  const above = roots[FIRST + first]!;
  switch (what) {
    case "absent":
      return [{ kind: "none" }, ABSENT];
    case "broken":
      return [{ kind: "broken" }, BROKEN];
    case "pass":
      return [{ kind: "pass" }, PASS_THROUGH];
    case "second":
      return [{ kind: "shadow", domainId, root: second }, secondStage(below, domainId)];
    case "first":
      return [
        { kind: "first", domainId, root: FIRST + first, second: -1 },
        firstStage(above, domainId),
      ];
    case "nested":
      return [
        { kind: "first", domainId, root: FIRST + first, second },
        nested(above, below, domainId),
      ];
  }
}

const pasidEntry: fc.Arbitrary<Next> = fc
  .tuple(fc.nat(1), fc.constantFrom(1, 2, 2, 5, 5, 70), kind, domain, table, table, fc.nat(6))
  .map(([index, pasid, what, domainId, first, second, how]) =>
    step(
      `pasid entry ${index} ${pasid} ${what} ${domainId} ${first} ${second} ${how}`,
      (oracle, real) => {
        const [entry, words] = entryOf(what, domainId, first, second, real.roots);
        real.kernel.setPasid(real.directories[index]!, pasid, words);
        oracle.directories.get(index)!.set(pasid, entry);
        told(oracle, real, how, { domainId, pasid, sourceId: VIRTUALS[0] });
      },
    ),
  );

const contextEntry: fc.Arbitrary<Next> = fc
  .tuple(
    fc.constantFrom(...VIRTUALS),
    fc.constantFrom(-1, 0, 0, 0, 1, 1, 1),
    fc.constantFrom(true, true, true, false),
    fc.constantFrom(true, true, true, false),
    fc.constantFrom(2, 2, 5),
    fc.nat(3),
  )
  .map(([sourceId, index, withPasid, caches, ridPasid, how]) =>
    step(
      `context ${sourceId} ${index} ${withPasid} ${caches} ${ridPasid} ${how}`,
      (oracle, real) => {
        if (index < 0) {
          real.kernel.clearScalableContext(sourceId);
          oracle.entries.delete(sourceId);
        } else {
          const flags = (withPasid ? PASIDE : 0) | (caches ? DTE : 0);
          const { directories, kernel } = real;
          kernel.setScalableContext(sourceId, directories[index]!, flags, ridPasid);
          oracle.entries.set(sourceId, {
            directory: index,
            withPasid,
            ridPasid,
            deviceTlb: caches,
          });
        }
        told(oracle, real, how, { domainId: 1, pasid: ridPasid, sourceId });
      },
    ),
  );

const switched: fc.Arbitrary<Next> = fc
  .nat(7)
  .map((n) => n > 0)
  .map((on) =>
    step(`translation ${on}`, (oracle, real) => {
      const isChange = oracle.translation !== on;
      real.kernel.setTranslation(on);
      landAll(real);
      if (isChange) oracle.setTranslation(on);
    }),
  );
const rootSet: fc.Arbitrary<Next> = fc.constant(
  step("root pointer", (oracle, real) => {
    real.kernel.setRoot(0x10);
    landAll(real);
    oracle.everything();
  }),
);

const moved: fc.Arbitrary<Next> = fc
  .tuple(fc.constantFrom(...SOURCES), fc.constantFrom(-1, ...VIRTUALS, ...VIRTUALS))
  .map(([sourceId, virtualSourceId]) =>
    step(`move ${sourceId.toString(16)} ${virtualSourceId}`, (oracle, real) => {
      const place = real.places.get(sourceId);
      if (place !== undefined) {
        real.driver.unassign(sourceId);
        oracle.unassignDevice(place);
        real.places.delete(sourceId);
      }
      const isTaken = [...real.places.values()].includes(virtualSourceId);
      if (virtualSourceId >= 0 && !isTaken) assign(oracle, real, sourceId, virtualSourceId);
    }),
  );

function assign(
  oracle: ScalableOracle,
  real: ScalableReal,
  sourceId: number,
  virtualSourceId: number,
): void {
  real.driver.assign({ sourceId, virtualSourceId, unit: real.unit });
  oracle.assignDevice(virtualSourceId, CACHING.includes(sourceId));
  real.places.set(sourceId, virtualSourceId);
}

/** A device writes somewhere, or where it can. */
const wrote: fc.Arbitrary<Next> = fc
  .tuple(
    fc.constantFrom(...SOURCES),
    fc.constantFrom(...PASIDS),
    fc.constantFrom(...PROBES),
    fc.integer({ min: 1, max: 0xff }),
  )
  .map(([sourceId, pasid, page, value]) =>
    step(`dma ${sourceId.toString(16)} ${pasid} ${page}`, (oracle, real) => {
      write(oracle, real, { sourceId, pasid, page }, value);
    }),
  );
const wroteWhereItCan: fc.Arbitrary<Next> = fc
  .tuple(fc.nat(1000), fc.integer({ min: 1, max: 0xff }))
  .map(([choice, value]) =>
    step(`dma that can ${choice}`, (oracle, real) => {
      const can: Place[] = [];
      requests(real, (sourceId, pasid, id, page) => {
        const gfns = id < 0 ? [] : oracle.gfnsOf(id, page, 2);
        if (gfns.some((each) => oracle.frame(each, 2) >= 0)) can.push({ sourceId, pasid, page });
      });
      if (can.length > 0) write(oracle, real, can[choice % can.length]!, value);
    }),
  );

interface Place {
  readonly sourceId: number;
  readonly pasid: number;
  readonly page: number;
}

function write(oracle: ScalableOracle, real: ScalableReal, place: Place, value: number): void {
  const { page, pasid, sourceId } = place;
  const virtual = real.places.get(sourceId);
  const gfns = virtual === undefined ? [-1] : oracle.gfnsOf(requester(virtual, pasid), page, 2);
  const frames = gfns.map((each) => oracle.frame(each, 2));
  const at = (mfn: number): number => mfn * 1024 + 2;
  const chunk = real.host.chunks[0]!;
  for (const mfn of frames) if (mfn >= 0) chunk[at(mfn)] = 0;
  const dma = real.deviceOf(sourceId).dmaWith(pasid);
  const result = dma.write(page * 4096 + 8, Uint8Array.of(value));
  if (result !== 0) {
    expect(frames).toContain(-1);
    return;
  }
  const written = frames.filter((mfn) => mfn >= 0 && (chunk[at(mfn)]! & 0xff) === value);
  expect(written).toHaveLength(1);
  if (oracle.tracking && gfns.length === 1) oracle.dirty.add(gfns[0]!);
  checkFlags(oracle, real, requester(virtual!, pasid), page, ACCESSED | DIRTY);
}

function begin(
  options: GuestHostOptions,
  tidy: boolean,
): { model: ScalableOracle; real: ScalableReal } {
  const profile = { scalableMode: true, passThrough: true, deviceTlb: true } as const;
  const base = guestHost({
    physical: { ...profile, secondStageAccessedDirty: true },
    profile,
    p2m: { dmaToLogDirty: true },
    deviceTlbs: CACHING,
    ...options,
    assign: false,
  });
  const kernel = new GuestKernel(base.memory, base.unit, true);
  const roots = [kernel.table(), kernel.table(), kernel.table(), kernel.table()];
  const directories = [kernel.table(), kernel.table()];
  const model = new ScalableOracle(PASIDS, PROBES);
  for (const index of roots.keys()) model.tables.set(index, new Map());
  for (const index of directories.keys()) model.directories.set(index, new Map());
  fillP2m(model);
  // single pages, so that each has its own D bit
  for (let frame = FIRST_GFN; frame < FIRST_GFN + 8; frame += 2)
    base.p2m.setType(frame, 1, "log-dirty");
  base.p2m.setType(0xa01, 1, "log-dirty");
  const framesBefore = base.frames.used - base.driver.main.frames;
  const parts = { directories, framesBefore, kernel, roots, tidy };
  const real = { ...base, ...parts, tickets: [], held: new Set<number>(), places: new Map() };
  populate(model, real);
  return { model, real };
}

/** A guest that is under way: tables with pages, entries of all kinds, and two devices. */
function populate(model: ScalableOracle, real: ScalableReal): void {
  const { directories, kernel, roots } = real;
  for (const index of [0, 1]) {
    // the guest's tables are where they are, in second stages too
    for (let page = 0; page < 0xc00; page += 512) {
      kernel.map(roots[index]!, page, page, 2);
      model.map(index, page, 512, page, 3);
    }
    for (const [i, page] of [0x800, 0x801, 0xa00, 0x40000].entries()) {
      const to = FIRST_GFN + ((i + index) & 3);
      kernel.mapFirst(roots[FIRST + index]!, page, to);
      model.map(FIRST + index, page, 1, to, 3);
    }
    const kinds: [number, Kind][] = [
      [2, index === 0 ? "first" : "nested"],
      [1, "nested"],
      [5, "second"],
      [70, "first"],
    ];
    for (const [pasid, what] of kinds) {
      const [entry, words] = entryOf(what, 1 + index, index, index, roots);
      kernel.setPasid(directories[index]!, pasid, words);
      model.directories.get(index)!.set(pasid, entry);
    }
  }
  for (const [i, sourceId] of VIRTUALS.entries()) {
    kernel.setScalableContext(sourceId, directories[i & 1]!, PASIDE | DTE, 2);
    const entry = { directory: i & 1, withPasid: true, ridPasid: 2, deviceTlb: true };
    model.entries.set(sourceId, entry);
    if (i < 2) assign(model, real, SOURCES[i]!, sourceId);
  }
  kernel.setTranslation(true);
  while (real.driver.pending) real.driver.run(1000);
  model.setTranslation(true);
  real.driver.setDirtyTracking(true);
  model.tracking = true;
}

const steps: fc.Arbitrary<Next>[] = [
  mappedSecond,
  unmappedSecond,
  mappedFirst,
  mappedFirst,
  unmappedFirst,
  iotlb,
  pasidIotlb,
  deviceTlb,
  remapped,
  remapped,
  pasidEntry,
  pasidEntry,
  pasidEntry,
  contextEntry,
  contextEntry,
  switched,
  switched,
  rootSet,
  p2mMapped,
  p2mMapped,
  p2mUnmapped,
  p2mTyped,
  moved,
  moved,
  wrote,
  wroteWhereItCan,
  wroteWhereItCan,
  tracked,
  tracked,
  flown,
];

describe("devices of a guest in scalable mode under random changes", () => {
  it("reach p2m after the guest's tables as of the last invalidation, and nothing else", () => {
    const count = explore({ begin: () => begin({}, false), steps, watch, seed, runs: 60 });
    expect(count).toBeGreaterThan(4_800);
    expect(flagged).toBeGreaterThan(10_000);
  });

  it("do so when the work is done in small steps", () => {
    const stepwise = { driver: { inlineBudget: 3 } };
    const count = explore({ begin: () => begin(stepwise, true), steps, watch, seed, runs: 45 });
    expect(count).toBeGreaterThan(3_400);
  });
});
