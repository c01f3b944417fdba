import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Access, DmaRequest, hiFromNumber, loFromNumber, toNumber } from "@viommu/plugin";
import { AtcResult, createAtc } from "@viommu/memory";
import { AtsRemapper, mappingOf, PAGE } from "./support/ats-remapper.ts";
import type { Mapping } from "./support/ats-remapper.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_251_122);
const DEVICE = 0x18;
const GIB = 2 ** 30;
const PASIDS = [-1, 0, 1];

const pasid = fc.constantFrom(...PASIDS);
/** Few places, so that steps meet: pages of two neighbours of 2 MiB below and above a GiB border. */
const place = fc
  .tuple(
    fc.constantFrom(0, 2 ** 21, GIB - 2 ** 21, GIB),
    fc.constantFrom(0, 1, 7, 8, 511),
    fc.integer({ min: 0, max: PAGE - 1 }),
  )
  .map(([base, page, offset]) => base + page * PAGE + offset);
const access = fc.constantFrom(Access.READ, Access.WRITE, Access.ATOMIC, Access.NONE);

const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("map" as const),
      pasid,
      place,
      to: fc.integer({ min: 0, max: 15 }),
      shift: fc.constantFrom(12, 12, 15, 21, 30),
      rights: fc.constantFrom(0, 1, 2, 3, 3),
    }),
  },
  {
    weight: 14,
    arbitrary: fc.record({ kind: fc.constant("access" as const), pasid, place, access }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("invalidate" as const),
      pasid: fc.constantFrom(...PASIDS, -2),
      place,
      order: fc.constantFrom(0, 0, 1, 1, 3, 9, 18, 27, 52),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("enter" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("leave" as const), which: fc.nat() }) },
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** All tables that there ever were, and when each address was invalidated. */
class History {
  readonly tables: Mapping[][] = [[]];
  readonly #invalidations: { table: number; pasid: number; from: number; size: number }[] = [];

  get now(): Mapping[] {
    return this.tables.at(-1)!;
  }

  invalidated(owner: number, address: number, order: number): void {
    const size = 2 ** (12 + order);
    const from = Math.floor(address / size) * size;
    this.#invalidations.push({ table: this.tables.length - 1, pasid: owner, from, size });
  }

  /** What the tables since the last invalidation of an address say. */
  since(owner: number, address: number): (Mapping | undefined)[] {
    const last = this.#invalidations.findLast(
      (one) =>
        (one.pasid === -2 || one.pasid === owner) &&
        address >= one.from &&
        address < one.from + one.size,
    );
    return this.tables.slice(last?.table ?? 0).map((table) => mappingOf(table, owner, address));
  }
}

const allows = (mapping: Mapping | undefined, need: number): mapping is Mapping =>
  mapping !== undefined && (mapping.rights & Access.ATOMIC) !== 0 && (need & ~mapping.rights) === 0;

describe("an address translation cache", () => {
  it("gives nothing that no table since the last invalidation would have given", () => {
    let hits = 0;
    let stale = 0;
    const run = (steps: readonly Step[], entries: number): void => {
      const remapper = new AtsRemapper();
      const history = new History();
      let owed = 0;
      const running: { ticket: number; holds: number }[] = [];
      const agent = { deviceTlbCompleted: () => (owed -= 1), pageRequest: () => undefined };
      const atc = createAtc({ remapper, agent, entries });
      const request = new DmaRequest();
      request.sourceId = DEVICE;
      /** Invalidations that wait for an access which is not later than they are. */
      const waiting = () => running.reduce((sum, one) => Math.max(sum, one.holds), 0);

      for (const one of steps) {
        switch (one.kind) {
          case "map": {
            const size = 2 ** one.shift;
            const from = Math.floor(one.place / size) * size;
            const mapping = { ...one, from, to: one.to * 2 ** 30 };
            history.tables.push([...history.now, mapping]);
            remapper.mappings = history.now;
            break;
          }
          case "access": {
            Object.assign(request, { pasid: one.pasid, access: one.access });
            request.hi = hiFromNumber(one.place);
            request.lo = loFromNumber(one.place);
            remapper.take();
            const result = atc.translate(request);
            const fresh = mappingOf(history.now, one.pasid, one.place);
            const asked = remapper.take().some((text) => text.startsWith("translation"));
            if (result === 0) {
              const out = toNumber(request.outHi, request.outLo);
              const candidates = asked ? [fresh] : history.since(one.pasid, one.place);
              expect(
                candidates.some(
                  (mapping) =>
                    allows(mapping, one.access) && mapping.to + one.place - mapping.from === out,
                ),
              ).toBe(true);
              if (!asked) hits += 1;
              if (!asked && !allows(fresh, one.access)) stale += 1;
            } else {
              expect(result).toBe(AtcResult.NO_PERMISSION);
              expect(asked).toBe(true);
              expect(allows(fresh, one.access)).toBe(false);
            }
            break;
          }
          case "invalidate": {
            const answer = atc.invalidate(
              DEVICE,
              one.pasid,
              hiFromNumber(one.place),
              loFromNumber(one.place),
              one.order,
            );
            history.invalidated(one.pasid, one.place, one.order);
            expect(answer).toBe(running.length === 0 ? "done" : "pending");
            if (answer === "pending") {
              owed += 1;
              for (const access of running) access.holds += 1;
            }
            break;
          }
          case "enter":
            running.push({ ticket: atc.enter(), holds: 0 });
            break;
          case "leave": {
            if (running.length === 0) break;
            const [ended] = running.splice(one.which % running.length, 1);
            atc.leave(ended!.ticket);
            break;
          }
        }
        expect(owed).toBe(waiting());
        expect(atc.pending.invalidations).toBe(owed);
        expect(remapper.inFlight.size).toBe(running.length);
      }
      for (const { ticket } of running) atc.leave(ticket);
      expect(owed).toBe(0);
    };
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 40, maxLength: 120 }),
        fc.constantFrom(1, 8, 256),
        run,
      ),
      { seed, numRuns: 800 },
    );
    // the steps do reach what is to be shown
    expect(hits).toBeGreaterThan(1000);
    expect(stale).toBeGreaterThan(20);
  });
});
