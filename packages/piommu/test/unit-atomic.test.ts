import { Access, DmaRequest, InterruptRequest, MapFlag, NO_PASID } from "@viommu/plugin";
import type { DeviceSpace, DmaRemapper, NestedSpace, PagingSpace } from "@viommu/plugin";
import type { TranslationEngine } from "@viommu/translation";
import { describe, expect, it } from "vitest";
import type { PhysicalUnit } from "../src/index.ts";
import { coldUnit } from "./support/cold-unit.ts";
import { buildFirstStage } from "./support/first-stage.ts";
import { ObservedMemory } from "./support/observed-memory.ts";
import { FULL, hostMemory, LEGACY, RW, TABLE_FRAMES, unitHost } from "./support/unit-host.ts";
import type { UnitHost } from "./support/unit-host.ts";

const DEVICE = 0x0123;
const ALIAS = 0x0200;
const NEIGHBOUR = 0x0124;
const DFN = 0x100;

interface Observed extends UnitHost {
  readonly observed: ObservedMemory;
  /** What the tables say, without caches. */
  readonly cold: TranslationEngine;
}

function observedHost(profile: typeof FULL): Observed {
  const memory = hostMemory();
  const observed = new ObservedMemory(memory);
  const devices = [{ sourceId: DEVICE, aliases: [ALIAS] }];
  const host = unitHost(profile, { memory: observed, devices });
  return { ...host, memory, observed, cold: coldUnit(host.unit, observed, TABLE_FRAMES + 1) };
}

/** Where the DMA of a device ends up: a frame, or that it is blocked. */
function answer(remapper: DmaRemapper, sourceId: number, pasid: number): string {
  const request = new DmaRequest();
  Object.assign(request, { sourceId, pasid, access: Access.READ, hi: 0, lo: DFN * 4096 });
  const result = remapper.translate(request);
  return result === 0 ? `frame ${request.outHi * 2 ** 18 + (request.outLo >>> 12)}` : "blocked";
}

/** The same from the unit, and from one without caches. */
function reach({ cold, unit }: Observed, sourceId: number, pasid: number): readonly string[] {
  cold.invalidateAll();
  return [answer(unit.dmaRemapper, sourceId, pasid), answer(cold, sourceId, pasid)];
}

/** A space that maps DFN to a frame. */
function paging(unit: PhysicalUnit, mfn: number, nestingParent = false): PagingSpace {
  const space = unit.createPagingSpace({ frameQuota: 20, nestingParent });
  space.map(DFN, mfn, 0, RW);
  return space;
}

/** A nested space that maps DFN to a frame; its tables lie at guest frames `table` and up. */
function nested(host: Observed, parent: PagingSpace, table: number, mfn: number): NestedSpace {
  for (let i = 0; i < 8; i += 1) parent.map(table + i, table + i, 0, RW);
  parent.map(mfn, mfn, 0, RW);
  parent.flush();
  const rootFrame = buildFirstStage(host.memory, table, [[DFN, mfn]]);
  return host.unit.createNestedSpace(parent, {
    rootFrame,
    levels: 4,
    supervisor: false,
    writeProtect: false,
    extendedAccessed: false,
  });
}

/** Does something; at each write on the way, each requester is where it was or where it will be. */
function expectAtomic(host: Observed, pasids: readonly number[], act: () => void): void {
  const { observed } = host;
  const requesters = pasids.flatMap((pasid) =>
    [DEVICE, ALIAS, NEIGHBOUR].map((sourceId) => ({ sourceId, pasid })),
  );
  const seen = requesters.map(() => new Set<string>());
  const look = (): void => {
    requesters.forEach(({ sourceId, pasid }, i) => {
      for (const state of reach(host, sourceId, pasid)) seen[i]!.add(state);
    });
  };
  const settled = (): readonly string[] =>
    requesters.map(({ sourceId, pasid }) => {
      const [warm, cold] = reach(host, sourceId, pasid);
      expect(warm).toBe(cold);
      return warm!;
    });
  const before = settled();
  observed.writes = 0;
  observed.afterWrite = look;
  act();
  observed.afterWrite = null;
  expect(observed.writes).toBeGreaterThan(0);
  const after = settled();
  requesters.forEach((requester, i) => {
    const allowed = [before[i]!, after[i]!];
    const others = [...seen[i]!].filter((state) => !allowed.includes(state));
    expect({ ...requester, before: before[i], after: after[i], others }).toMatchObject({
      others: [],
    });
  });
}

describe("attach (VT-d 6.2.2, 9.3, 9.6): a request sees the old space or the new one", () => {
  it.each([
    ["legacy", LEGACY],
    ["scalable", FULL],
  ])("for every pair of spaces, in %s mode", (mode, profile) => {
    const host = observedHost(profile);
    const { unit } = host;
    const spaces: DeviceSpace[] = [unit.blocking, unit.identity];
    spaces.push(paging(unit, 5), paging(unit, 6));
    if (mode === "scalable") {
      const parent = paging(unit, 7, true);
      spaces.push(nested(host, parent, 0x200, 8), nested(host, parent, 0x210, 9));
      spaces.push(nested(host, paging(unit, 7, true), 0x220, 10));
    }
    const pasids = mode === "scalable" ? [NO_PASID, 1, 5] : [NO_PASID];
    if (mode === "scalable") unit.attach(DEVICE, 5, spaces.at(-1)!);
    unit.attach(NEIGHBOUR, NO_PASID, spaces[2]!);
    for (const pasid of pasids) {
      for (const from of spaces) {
        for (const to of spaces) {
          unit.attach(DEVICE, pasid, from);
          if (from === to) continue;
          expectAtomic(host, pasids, () => {
            unit.attach(DEVICE, pasid, to);
          });
        }
      }
    }
  });

  it("when a larger PASID directory takes over", () => {
    const host = observedHost(FULL);
    const { unit } = host;
    const one = paging(unit, 5);
    const other = paging(unit, 6);
    unit.attach(DEVICE, NO_PASID, one);
    unit.attach(DEVICE, 70, one);
    for (const pasid of [200, 0x7fff, 0x8000, 0xf_ffff, 0x4_0000]) {
      expectAtomic(host, [NO_PASID, 70, pasid], () => {
        unit.attach(DEVICE, pasid, other);
      });
    }
    for (const pasid of [NO_PASID, 0x7fff, 0xf_ffff, 200, 0x4_0000, 70, 0x8000]) {
      expectAtomic(host, [NO_PASID, 70, 200, 0x7fff], () => {
        unit.attach(DEVICE, pasid, unit.blocking);
      });
    }
  });

  it("when dirty tracking goes on and off", () => {
    const host = observedHost(FULL);
    const { unit } = host;
    const parent = paging(unit, 5, true);
    const above = nested(host, parent, 0x200, 8);
    unit.attach(DEVICE, NO_PASID, parent);
    unit.attach(DEVICE, 3, above);
    unit.attach(NEIGHBOUR, NO_PASID, parent);
    for (const on of [true, false, true]) {
      expectAtomic(host, [NO_PASID, 3], () => {
        parent.setDirtyTracking(on);
      });
    }
  });
});

describe("map and unmap (VT-d 9.8): a request sees the old mapping or the new one", () => {
  const CHANGES: readonly (readonly [string, (space: PagingSpace) => void])[] = [
    ["a page to another frame", (space) => void space.map(DFN, 0x77, 0, RW)],
    ["a page beyond 4 GiB", (space) => void space.map(DFN, 0x12_3456, 0, RW)],
    ["a 2 MiB page over it", (space) => void space.map(0, 0x600, 9, RW)],
    ["a 1 GiB page over it", (space) => void space.map(0, 0x4_0000, 18, RW)],
    ["nothing", (space) => void space.unmap(DFN, 0)],
    ["nothing, and no tables", (space) => void space.unmap(0, 36)],
    ["a page in its neighbourhood", (space) => void space.map(DFN + 1, 4, 0, RW)],
    ["nothing in its neighbourhood", (space) => void space.unmap(DFN + 1, 0)],
    ["nothing in 16 pages beside it", (space) => void space.unmap(DFN + 16, 4)],
    ["nothing in 2 MiB beside it", (space) => void space.unmap(0x200, 9)],
    ["the same, read-only", (space) => void space.map(DFN, 5, 0, MapFlag.READ)],
  ];
  const BEFORE: readonly (readonly [string, (space: PagingSpace) => void])[] = [
    ["nothing", () => undefined],
    ["a page", (space) => void space.map(DFN, 5, 0, RW)],
    ["a 2 MiB page", (space) => void space.map(0, 0x400, 9, RW)],
    ["a 1 GiB page", (space) => void space.map(0, 0x8_0000, 18, RW)],
  ];
  for (const [was, prepare] of BEFORE) {
    it(`where ${was} was mapped`, () => {
      for (const profile of [LEGACY, FULL]) {
        for (const [, change] of CHANGES) {
          const host = observedHost(profile);
          const space = host.unit.createPagingSpace({ frameQuota: 20 });
          prepare(space);
          host.unit.attach(DEVICE, NO_PASID, space);
          const look = (): readonly string[] => [
            ...reach(host, DEVICE, NO_PASID),
            ...reach(host, ALIAS, NO_PASID),
          ];
          const seen = [look()];
          host.observed.afterWrite = () => seen.push(look());
          change(space);
          host.observed.afterWrite = null;
          space.flush();
          const after = look();
          expect(new Set(after).size).toBe(1);
          expect([seen[0]![0], after[0]]).toEqual(expect.arrayContaining(seen.flat()));
        }
      }
    });
  }

  it("a write of the device at any moment of a split leaves its mark", () => {
    for (const moment of [1, 2, 3, 4]) {
      const { observed, unit } = observedHost(FULL);
      const space = unit.createPagingSpace({ frameQuota: 20 });
      space.map(0, 0x400, 9, RW);
      unit.attach(DEVICE, NO_PASID, space);
      space.setDirtyTracking(true);
      const request = new DmaRequest();
      Object.assign(request, { sourceId: DEVICE, access: Access.WRITE, hi: 0, lo: DFN * 4096 });
      let writes = 0;
      observed.afterWrite = () => {
        writes += 1;
        if (writes === moment) expect(unit.dmaRemapper.translate(request)).toBe(0);
      };
      space.map(7, 3, 0, RW);
      observed.afterWrite = null;
      expect(writes).toBeGreaterThan(2);
      space.flush();
      const dirty: number[] = [];
      space.readAndClearDirty(0, 9, (dfn) => dirty.push(dfn));
      expect(dirty.includes(DFN)).toBe(moment <= writes);
    }
  });
});

describe("entries of 128 bits", () => {
  it("are written whole: context entries (VT-d 9.3) and interrupt entries (VT-d 9.9)", () => {
    const { observed, unit } = observedHost(LEGACY);
    unit.attach(NEIGHBOUR, NO_PASID, paging(unit, 5));
    const other = paging(unit, 6);
    observed.writes = 0;
    for (const space of [other, unit.identity]) unit.attach(NEIGHBOUR, NO_PASID, space);
    const handle = unit.interrupts.allocate(NEIGHBOUR);
    unit.interrupts.program(handle, { kind: "posted", vector: 9, descriptor: 4, urgent: true });
    unit.interrupts.program(handle, null);
    expect(observed.writes).toBe(4);
  });
});

describe("interrupt entries (VT-d 5.1.4): a message goes the old way or the new one", () => {
  it("at every write of program", () => {
    const host = observedHost(FULL);
    const { unit, observed } = host;
    const handle = unit.interrupts.allocate(NEIGHBOUR);
    const common = { logical: false, redirectionHint: false, levelTriggered: false };
    const first = { kind: "remapped", vector: 0x31, destination: 1, deliveryMode: 0 } as const;
    const second = { ...first, vector: 0x41, destination: 0x1_0002 };
    const where = (): string => {
      const request = new InterruptRequest();
      Object.assign(request, { sourceId: NEIGHBOUR, address: 0xfee0_0010 | (handle << 5) });
      const result = unit.interruptRemapper.probe(request);
      return result === 0 ? `${request.messageData & 0xff} to ${request.messageUpper}` : "blocked";
    };
    const targets = [null, { ...first, ...common }, { ...second, ...common }];
    for (const from of targets) {
      for (const to of targets) {
        unit.interrupts.program(handle, from);
        const seen = [where()];
        observed.afterWrite = () => seen.push(where());
        unit.interrupts.program(handle, to);
        observed.afterWrite = null;
        expect([seen[0], where()]).toEqual(expect.arrayContaining(seen));
      }
    }
  });
});
