import { Access, DmaRequest, MapResult, NO_PASID } from "@viommu/plugin";
import type { PagingSpace, PhysicalMapping } from "@viommu/plugin";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PageOracle } from "./support/page-oracle.ts";
import { FULL, LEGACY, unitHost } from "./support/unit-host.ts";
import type { UnitHost } from "./support/unit-host.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_122);
const DEVICE = 0x0010;
const LEVELS = 4;

/** Addresses close to each other and at the borders of tables. */
const dfns = fc
  .tuple(
    fc.constantFrom(0, 1, 2, 511, 512),
    fc.constantFrom(0, 1, 511),
    fc.constantFrom(0, 1, 2, 255, 256, 511),
  )
  .map(([gib, mib, page]) => gib * 2 ** 18 + mib * 2 ** 9 + page);
const frames = fc.constantFrom(0, 0x200, 0x4_0000, 0x12_0000, 0x8_0000, 0x3ff, 0x301);

type Step =
  | { readonly does: "map"; dfn: number; mfn: number; order: number; flags: number }
  | { readonly does: "unmap"; dfn: number; order: number }
  | { readonly does: "flush" | "track" | "untrack" | "detach" }
  | { readonly does: "dirty"; dfn: number; order: number }
  | { readonly does: "write"; pick: number; offset: number };

const steps = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      does: fc.constant("map" as const),
      dfn: dfns,
      mfn: frames,
      order: fc.constantFrom(0, 0, 0, 9, 18),
      flags: fc.constantFrom(1, 2, 3, 3, 7),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      does: fc.constant("unmap" as const),
      dfn: dfns,
      order: fc.constantFrom(0, 0, 1, 4, 8, 9, 10, 17, 18, 19, 27, 36),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      does: fc.constant("write" as const),
      pick: fc.nat(1000),
      offset: fc.constantFrom(0, 0, 1, 511),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      does: fc.constant("dirty" as const),
      dfn: dfns,
      order: fc.constantFrom(0, 3, 9, 12, 18, 36),
    }),
  },
  {
    weight: 7,
    arbitrary: fc.record({
      does: fc.constantFrom(
        "flush" as const,
        "flush",
        "flush",
        "flush",
        "track",
        "untrack",
        "detach",
      ),
    }),
  },
);

/** A space and its oracle. */
class Run {
  readonly oracle = new PageOracle();
  readonly space: PagingSpace;
  flushed = true;
  tracking = false;
  private readonly host: UnitHost;
  private readonly quota: number;
  private readonly canTrack: boolean;

  constructor(host: UnitHost, quota: number) {
    this.host = host;
    this.quota = quota;
    this.canTrack = host.unit.info.dirtyTracking;
    this.space = host.unit.createPagingSpace({ frameQuota: quota });
    host.unit.attach(DEVICE, NO_PASID, this.space);
  }

  step(step: Step): void {
    switch (step.does) {
      case "map":
        this.map(aligned(step.dfn, step.order), aligned(step.mfn, step.order), step);
        break;
      case "unmap":
        this.unmap(aligned(step.dfn, step.order), step.order);
        break;
      case "write":
        this.write(step.pick, step.offset);
        break;
      case "dirty":
        this.dirty(aligned(step.dfn, step.order), step.order);
        break;
      case "flush":
        this.space.flush();
        this.flushed = true;
        expect(this.space.frames).toBe(1 + this.oracle.tables(LEVELS));
        break;
      case "track":
      case "untrack":
        this.track(step.does === "track");
        break;
      case "detach":
        this.host.unit.attach(DEVICE, NO_PASID, this.host.unit.blocking);
        this.host.unit.attach(DEVICE, NO_PASID, this.space);
        this.flushed = true; // a detach invalidates the domain
        break;
    }
    expect(this.space.frames).toBeLessThanOrEqual(this.quota);
  }

  /** What `lookup` and, after a flush, the device finds at a page. */
  check(dfn: number): void {
    const page = this.oracle.find(dfn);
    const found: PhysicalMapping = { mfn: 0, order: 0, flags: 0 };
    expect(this.space.lookup(dfn, found)).toBe(page !== undefined);
    if (page !== undefined) {
      const { mfn, order, flags } = page;
      expect(found).toEqual({ mfn: mfn + (dfn - page.dfn), order, flags });
    }
    if (!this.flushed) return;
    for (const access of [Access.READ, Access.WRITE]) {
      // reads fill the caches; writes would leave marks
      const request = this.ask(dfn, access, access === Access.WRITE);
      const isOpen = page !== undefined && (page.flags & access) !== 0;
      expect(request === null).toBe(!isOpen);
      if (request === null || page === undefined) continue;
      expect(request.outHi * 2 ** 18 + (request.outLo >>> 12)).toBe(page.mfn + (dfn - page.dfn));
      expect((request.granted & Access.SNOOP) !== 0).toBe((page.flags & 4) !== 0);
    }
  }

  end(): void {
    const { frames, unit } = this.host;
    unit.attach(DEVICE, NO_PASID, unit.blocking);
    this.space.destroy();
    expect(this.space.frames).toBe(0);
    expect(frames.used).toBe(FIXED[unit.info.dirtyTracking ? 1 : 0]);
  }

  private map(dfn: number, mfn: number, { order, flags }: { order: number; flags: number }): void {
    const missing = this.oracle.missing(dfn, order, true, LEVELS);
    const fits = 1 + this.oracle.tables(LEVELS) + missing <= this.quota;
    const expected = fits ? MapResult.MAPPED : MapResult.NO_FRAMES;
    expect(this.space.map(dfn, mfn, order, flags)).toBe(expected);
    if (!fits) return;
    this.oracle.map(dfn, mfn, order, flags);
    this.flushed = false;
  }

  private unmap(dfn: number, order: number): void {
    const missing = this.oracle.missing(dfn, order, false, LEVELS);
    const fits = 1 + this.oracle.tables(LEVELS) + missing <= this.quota;
    const expected = fits ? MapResult.MAPPED : MapResult.NO_FRAMES;
    expect(this.space.unmap(dfn, order)).toBe(expected);
    const whole = this.oracle.find(dfn);
    if (fits) this.oracle.unmap(dfn, order);
    else this.oracle.unmap(whole!.dfn, whole!.order);
    this.flushed = false;
  }

  private write(pick: number, offset: number): void {
    const pages = [...this.oracle.pages.values()];
    const page = pages[pick % pages.length];
    if (!this.flushed || page === undefined) return;
    const dfn = page.dfn + (offset % 2 ** page.order);
    if (this.ask(dfn, Access.WRITE, false) !== null && this.tracking) page.dirty = true;
  }

  private dirty(dfn: number, order: number): void {
    if (!this.tracking) return;
    const told: { dfn: number; order: number }[] = [];
    this.space.readAndClearDirty(dfn, order, (page, pageOrder) => {
      told.push({ dfn: page, order: pageOrder });
    });
    const expected = this.oracle.within(dfn, order).filter((page) => page.dirty);
    expect(told).toEqual(expected.map((page) => ({ dfn: page.dfn, order: page.order })));
    for (const page of expected) page.dirty = false;
  }

  private track(on: boolean): void {
    if (!this.canTrack) return;
    this.space.setDirtyTracking(on);
    if (on !== this.tracking) {
      for (const page of this.oracle.pages.values()) page.dirty = false;
      this.flushed = true;
    }
    this.tracking = on;
  }

  private ask(dfn: number, access: number, probe: boolean): DmaRequest | null {
    const request = new DmaRequest();
    const [hi, lo] = [Math.floor(dfn / 2 ** 18), (dfn % 2 ** 18) * 4096];
    Object.assign(request, { sourceId: DEVICE, access, hi, lo });
    const { dmaRemapper } = this.host.unit;
    const result = probe ? dmaRemapper.probe(request) : dmaRemapper.translate(request);
    return result === 0 ? request : null;
  }
}

/** Frames of a unit without spaces: root table, interrupt table, and the spare of scalable mode. */
const FIXED = [2, 3];

function aligned(frame: number, order: number): number {
  return frame - (frame % 2 ** order);
}

describe("a paging space under random use", () => {
  it.each([
    ["legacy", LEGACY],
    ["scalable", FULL],
  ])("maps what was asked for, in as few tables as it takes, %s mode", (_mode, profile) => {
    fc.assert(
      fc.property(
        fc.array(steps, { minLength: 20, maxLength: 100, size: "max" }),
        fc.constantFrom(3, 6, 12, 1000),
        (commands, quota) => {
          const run = new Run(unitHost({ ...profile, addressWidths: [48] }), quota);
          const touched = new Set([0, 1]);
          for (const command of commands) {
            run.step(command);
            if ("dfn" in command) {
              const order = "order" in command ? command.order : 0;
              const first = aligned(command.dfn, order);
              for (const dfn of [first, first - 1, first + 2 ** order - 1, first + 2 ** order]) {
                if (dfn >= 0 && dfn < 2 ** 36) touched.add(dfn);
              }
            }
            for (const dfn of touched) run.check(dfn);
          }
          run.end();
        },
      ),
      { seed, numRuns: 60 },
    );
  });
});
