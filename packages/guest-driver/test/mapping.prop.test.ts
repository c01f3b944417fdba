import { Access } from "@viommu/plugin";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ProfileOptions } from "@viommu/vtd";
import type { TableMode } from "../src/index.ts";
import { BUFFERS, GIB, Machine, MIB } from "./support/machine.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_260_802);
const PAGE = 4096n;
const DEVICES = [0x0010, 0x0018, 0x0320] as const;
const READ_WRITE = Access.READ | Access.WRITE;

/** What a device may reach, one line for each page: slow and obvious. */
class Ledger {
  readonly #pages = new Map<bigint, { target: bigint; access: number }>();

  map(iova: bigint, target: bigint, pages: bigint, access: number): void {
    for (let i = 0n; i < pages; i += 1n) {
      this.#pages.set(iova / PAGE + i, { target: target + i * PAGE, access });
    }
  }

  unmap(iova: bigint, pages: bigint): void {
    for (let i = 0n; i < pages; i += 1n) this.#pages.delete(iova / PAGE + i);
  }

  /** The address reached, or null. */
  reach(iova: bigint, access: number): number | null {
    const page = this.#pages.get(iova / PAGE);
    if (page === undefined || (access & ~page.access) !== 0) return null;
    return Number(page.target + (iova % PAGE));
  }
}

type Step =
  | { do: "map"; device: number; size: number; large: boolean; at: number; access: number }
  | { do: "unmap"; device: number; which: number }
  | { do: "dma"; device: number; which: number; offset: number; access: number }
  | { do: "move"; device: number };

const device = fc.nat(DEVICES.length - 1);
const access = fc.constantFrom(Access.READ, Access.WRITE, READ_WRITE);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("map" as const),
      device,
      size: fc.integer({ min: 1, max: 40 }),
      large: fc.integer({ min: 0, max: 5 }).map((n) => n === 0),
      at: fc.nat(1000),
      access,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("unmap" as const), device, which: fc.nat(1000) }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("dma" as const),
      device,
      which: fc.nat(1000),
      offset: fc.nat(50 * 4096),
      access,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("move" as const), device }) },
);

/** Runs the steps with one domain for each device; checks each DMA against the ledger. */
function run(profile: ProfileOptions, mode: TableMode, steps: readonly Step[]): void {
  const machine = new Machine({ units: [{ profile }] });
  const driver = machine.start({ interruptEntries: 256, mode });
  for (const sourceId of DEVICES) driver.attach({ sourceId });
  for (const sourceId of DEVICES) driver.detach({ sourceId });
  const before = driver.counters.pages; // with the context tables, which stay
  const spaces = DEVICES.map((sourceId) => ({
    domain: driver.attach({ sourceId }),
    ledger: new Ledger(),
    live: [] as { iova: number; pages: number }[],
    /** Addresses that were mapped once: they are tried again. */
    known: [0xffff_f000],
  }));
  for (const action of steps) {
    const sourceId = DEVICES[action.device]!;
    const space = spaces[action.device]!;
    switch (action.do) {
      case "map": {
        const pages = action.large ? action.size * 128 : action.size;
        const target = action.large ? GIB + action.at * MIB : BUFFERS + action.at * 4096;
        const iova = space.domain.map(target, pages * 4096, action.access);
        // what a first-stage entry lets write can be read, too
        const readable = space.domain.format.stage === "first" ? Access.READ : 0;
        const granted = action.access | readable;
        space.ledger.map(BigInt(iova), BigInt(target), BigInt(pages), granted);
        space.live.push({ iova, pages });
        space.known.push(iova);
        break;
      }
      case "unmap": {
        const [gone] = space.live.splice(action.which % (space.live.length + 1), 1);
        if (gone === undefined) break;
        space.domain.unmap(gone.iova);
        space.ledger.unmap(BigInt(gone.iova), BigInt(gone.pages));
        break;
      }
      case "dma": {
        const iova = space.known[action.which % space.known.length]! + action.offset;
        const reached = machine.dma(sourceId, iova, action.access);
        const expected = space.ledger.reach(BigInt(iova), action.access);
        if (expected === null) expect(reached).toBeLessThan(0);
        else expect(reached).toBe(expected);
        break;
      }
      case "move": {
        driver.detach({ sourceId });
        space.domain = driver.attach({ sourceId });
        space.ledger = new Ledger();
        space.live = [];
      }
    }
  }
  for (const sourceId of DEVICES) driver.detach({ sourceId });
  expect(driver.counters.pages).toBe(before);
}

describe("in strict mode a device reaches what is mapped, and nothing that was unmapped", () => {
  it.each<[string, ProfileOptions, TableMode]>([
    ["a unit of today", {}, "legacy"],
    ["small pages only, 39 bits", { pageSizes: ["4K"], addressWidths: [39] }, "legacy"],
    ["caching mode", { cachingMode: true }, "legacy"],
    ["no page-selective invalidation", { pageSelectiveInvalidation: false }, "legacy"],
    ["no queue", { queuedInvalidation: false }, "legacy"],
    ["scalable mode there, not used", { scalableMode: true }, "legacy"],
    ["first stage", { scalableMode: true }, "scalable"],
    ["first stage, 5 levels", { scalableMode: true, fiveLevelFirstStage: true }, "scalable"],
    [
      "first stage alone, without 1 GiB",
      { scalableMode: true, secondStage: false, firstStage1GPages: false },
      "scalable",
    ],
    ["second stage alone", { scalableMode: true, firstStage: false }, "scalable"],
    [
      "second stage with caching mode",
      { scalableMode: true, firstStage: false, cachingMode: true },
      "scalable",
    ],
  ])("%s", (_name, profile, mode) => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 150 }), (steps) => {
        run(profile, mode, steps);
      }),
      { seed, numRuns: 25 },
    );
  });
});
