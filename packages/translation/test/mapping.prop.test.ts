import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Bench, capabilitiesOf, LEGACY } from "./support/machine.ts";
import type { Answer, Ask } from "./support/machine.ts";
import { legacyMode } from "./support/oracle-legacy.ts";
import { oracle } from "./support/oracle.ts";
import type { World } from "./support/oracle.ts";
import { Random } from "./support/random.ts";
import { same, show } from "./support/soup.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_122);
const RUNS = 60;
const STEPS = 150;

const MIB2 = 0x20_0000n;
const GIB = 0x4000_0000n;
/** What a guest maps: some ranges of 2 MiB, and some of 1 GiB. */
const SLOTS = [0n, MIB2, 7n * MIB2, GIB - MIB2, 5n * GIB, 511n * GIB];
const GIBS = [GIB, 4n * GIB];

/** A guest's driver: two devices in domain 5, one in domain 6; it invalidates what it changes. */
class Guest {
  readonly bench: Bench;
  readonly random: Random;
  readonly world: World;
  readonly roots: readonly bigint[];
  /** Of each domain: the ranges, each with its own last-level table and the entry for it. */
  readonly ranges: readonly { base: bigint; table: bigint; entry: bigint }[][];
  /** Devices by source-id, and the index of their domain (0: id 5, 1: id 6). */
  readonly devices = new Map([
    [0x10, 0],
    [0x18, 0],
    [0x108, 1],
  ]);

  constructor(random: Random) {
    this.random = random;
    const bench = new Bench({ iotlbSlots: random.of([1, 16, 8192]) });
    this.bench = bench;
    this.world = {
      capabilities: capabilitiesOf(LEGACY),
      hostAddressWidth: 46,
      majorVersion: 1,
      enabled: true,
      root: 0x1000n,
      ttm: 0,
      ssirwe: false,
      protectedRanges: [],
      read: (address) => bench.memory.read64(Number(address)),
      write: () => false,
    };
    this.roots = [bench.page(), bench.page()];
    this.ranges = this.roots.map((root) =>
      SLOTS.map((base) => {
        const table = bench.page();
        return { base, table, entry: bench.map(root, 4, base, table | 3n, 2) };
      }),
    );
    for (const [sourceId, domain] of this.devices) this.attach(sourceId, domain);
  }

  attach(sourceId: number, domain: number): void {
    this.devices.set(sourceId, domain);
    const { bench, roots } = this;
    bench.write(
      0x1000n + 16n * BigInt(sourceId >> 8),
      (0x2000n + BigInt(sourceId >> 8) * 0x1000n) | 1n,
    );
    const table = 0x2000n + BigInt(sourceId >> 8) * 0x1000n;
    const entry = table + 16n * BigInt(sourceId & 0xff);
    bench.write(entry, roots[domain]! | 1n, BigInt(domain + 5) * 256n + 2n);
  }

  /** A page or nothing, as an entry. */
  leaf(size: bigint): bigint {
    const { random } = this;
    if (random.chance(25)) return 0n;
    const ps = size > 0x1000n ? 0x80n : 0n;
    return ((random.bits(40) / size) * size) | ps | BigInt(random.of([1, 2, 3, 3, 3]));
  }

  invalidate(domain: number, address: bigint, order: number, leafOnly: boolean): void {
    const { engine } = this.bench;
    const did = domain + 5;
    switch (this.random.below(12)) {
      case 0:
        engine.invalidateIotlbDomain(did);
        break;
      case 1:
        engine.invalidateIotlbGlobal();
        break;
      default:
        engine.invalidateIotlbPages(
          did,
          Number(address >> 30n),
          Number(address & 0x3fff_ffffn),
          order,
          leafOnly,
        );
    }
  }

  /** Changes something; the returned function tells the unit. */
  change(): () => void {
    const { bench, random, roots } = this;
    const domain = random.below(2);
    const { base, table, entry } = random.of(this.ranges[domain]!);
    switch (random.below(10)) {
      case 0: {
        bench.write(entry, this.leaf(MIB2));
        return () => {
          this.invalidate(domain, base, 9, false);
        };
      }
      case 1: {
        const at = random.of(GIBS);
        bench.map(roots[domain]!, 4, at, this.leaf(GIB), 3);
        return () => {
          this.invalidate(domain, at, 18, false);
        };
      }
      case 2: {
        const sourceId = random.of([...this.devices.keys()]);
        const old = this.devices.get(sourceId)!;
        this.attach(sourceId, random.below(2));
        return () => {
          bench.engine.invalidateContextDevice(old + 5, sourceId, 0);
          bench.engine.invalidateIotlbDomain(old + 5);
        };
      }
      default:
        return this.changePages(domain, base, table, entry);
    }
  }

  /** 2^order pages of 4 KiB, first of all the table for them where a large page was. */
  private changePages(domain: number, base: bigint, table: bigint, entry: bigint): () => void {
    const { bench, random } = this;
    const order = random.of([0, 0, 0, 1, 3, 9]);
    const pages = 1n << BigInt(order);
    const first = (random.bits(random.of([1, 9])) / pages) * pages;
    for (let i = first; i < first + pages; i += 1n) bench.write(table + 8n * i, this.leaf(0x1000n));
    const isTable = bench.read(entry) === (table | 3n);
    bench.write(entry, table | 3n);
    return () => {
      if (isTable) this.invalidate(domain, base + (first << 12n), order, true);
      else this.invalidate(domain, base, 9, false);
    };
  }

  ask(): Ask {
    const { random } = this;
    const base = random.chance(90) ? random.of(SLOTS) : random.of(GIBS);
    const address = base + (random.chance(50) ? random.bits(13) : random.bits(21));
    return {
      sourceId: random.of([...this.devices.keys()]),
      access: random.of([1, 1, 2, 3]),
      address,
    };
  }

  expected(ask: Ask): Answer {
    return oracle(this.world, ask, { 0: legacyMode });
  }
}

describe("a guest that changes its tables", () => {
  it(
    "gets old or new answers until it invalidates, new ones afterwards",
    { timeout: 120_000 },
    () => {
      fc.assert(
        fc.property(fc.integer(), (number) => {
          const guest = new Guest(new Random(number));
          for (let step = 0; step < STEPS; step += 1) {
            const asks = Array.from({ length: 6 }, () => guest.ask());
            const before = asks.map((ask) => guest.expected(ask));
            const tell = guest.change();
            asks.forEach((ask, i) => {
              const answer = guest.bench.ask(ask);
              const now = guest.expected(ask);
              if (!same(answer, before[i]) && !same(answer, now)) {
                throw new Error(
                  `${show(ask)}: ${show(answer)}, not ${show(before[i])} or ${show(now)}`,
                );
              }
            });
            tell();
            for (const ask of [...asks, ...asks, guest.ask(), guest.ask()]) {
              const answer = guest.bench.ask(ask);
              const now = guest.expected(ask);
              if (!same(answer, now))
                throw new Error(`${show(ask)}: ${show(answer)}, not ${show(now)}`);
            }
          }
        }),
        { seed, numRuns: RUNS, endOnFailure: true },
      );
      expect.assertions(0);
    },
  );
});
