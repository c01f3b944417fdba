import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Bench, capabilitiesOf, DEVICE, LEGACY, ROOT } from "./support/machine.ts";
import type { Answer, Ask } from "./support/machine.ts";
import { oracle } from "./support/oracle.ts";
import type { World } from "./support/oracle.ts";
import { scalableMode } from "./support/oracle-scalable.ts";
import { Random } from "./support/random.ts";
import { CONTEXT_AT, DIRECTORY, LOWER, PASIDS, SCALABLE } from "./support/scalable-machine.ts";
import { same, show } from "./support/soup.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_122);
const RUNS = 30;
const STEPS = 120;

const PAGE = 0x1000n;
const MIB2 = 0x20_0000n;
/** Guest-physical: first-stage tables lie this far above where the second stage puts them. */
const TABLES = 0x4000_0000n;
/** Guest-physical ranges of pages. */
const RANGES = [0x60_0000n, 3n * TABLES, 3n * TABLES + MIB2];

/** A first-stage table, and the two places in host memory where it may be. */
type Copies = readonly [bigint, bigint];
type Tell = () => void;

/** One process of the guest: requests with this PASID; 0 is RID_PASID. */
interface Process {
  readonly pasid: number;
  readonly domain: number;
  /** The tables of level 2 and, for the first and the last MiB of a 2 MiB range each, of level 1. */
  readonly directory: Copies;
  readonly leaves: readonly Copies[];
}

/** A driver with three nested PASIDs in two domains over one second stage. */
class Guest {
  readonly bench: Bench;
  readonly world: World;
  readonly second: bigint;
  /** For the range of first-stage tables, and for each of RANGES: two last-level tables, and the entry for them. */
  readonly regions: readonly { base: bigint; tables: readonly bigint[]; entry: bigint }[];
  readonly processes: readonly Process[];
  /**
   * The last change moved several first-stage tables: a walk may find some where they were, and some
   * where they are.
   */
  mixes = false;
  private readonly random: Random;

  constructor(random: Random) {
    this.random = random;
    const capabilities = { ...LEGACY, ...SCALABLE };
    this.bench = new Bench({ capabilities, ttm: 1, iotlbSlots: random.of([1, 16, 8192]) });
    const { bench } = this;
    this.world = {
      capabilities: capabilitiesOf(capabilities),
      hostAddressWidth: 46,
      majorVersion: 1,
      enabled: true,
      root: ROOT,
      ttm: 1,
      ssirwe: false,
      protectedRanges: [],
      read: (address) => bench.read(address),
      write: () => false,
    };
    bench.write(ROOT, LOWER | 1n);
    bench.write(CONTEXT_AT, DIRECTORY | 0xdn);
    bench.write(DIRECTORY, PASIDS | 1n);
    this.second = bench.page();
    this.regions = [TABLES, ...RANGES].map((base) => {
      const tables = [bench.page(), bench.page()];
      return { base, tables, entry: bench.map(this.second, 4, base, tables[0]! | 3n, 2) };
    });
    this.processes = [
      { pasid: 0, domain: 5 },
      { pasid: 0x21, domain: 5 },
      { pasid: 7, domain: 6 },
    ].map((names) => this.process(names));
    for (const { base, tables } of this.regions.slice(1)) {
      for (let i = 0n; i < 16n; i += 1n) {
        for (const table of tables) bench.write(table + 8n * i, this.secondLeaf());
      }
      expect(base % MIB2).toBe(0n);
    }
  }

  /** Two places for a first-stage table; the last-level tables of the second stage know one each. */
  private copies(): Copies {
    const pair: Copies = [this.bench.page(), this.bench.page()];
    const { tables } = this.regions[0]!;
    pair.forEach((copy, i) => {
      this.bench.write(tables[i]! + (pair[0] >> 9n), copy | 3n);
    });
    return pair;
  }

  private process(names: { pasid: number; domain: number }): Process {
    const [top, upper, directory] = [this.copies(), this.copies(), this.copies()];
    const leaves = [this.copies(), this.copies()];
    const process = { ...names, directory, leaves };
    this.store(top, 0n, [TABLES | upper[0] | 0x27n]);
    this.store(upper, 0n, [TABLES | directory[0] | 0x27n]);
    leaves.forEach((leaf, i) => {
      this.store(directory, BigInt(i), [TABLES | leaf[0] | 0x27n]);
      for (let page = 0n; page < 16n; page += 1n) {
        this.store(leaf, page, [this.firstLeaf(), this.firstLeaf()]);
      }
    });
    const at = PASIDS + 64n * BigInt(names.pasid);
    this.bench.write(at, this.second | 0xc9n, 0x80_0000n | BigInt(names.domain), TABLES | top[0]);
    return process;
  }

  /** Writes an entry of a first-stage table in both places. */
  private store([first, second]: Copies, index: bigint, values: readonly bigint[]): void {
    this.bench.write(first + 8n * index, values[0]!);
    this.bench.write(second + 8n * index, values.at(-1)!);
  }

  private firstLeaf(): bigint {
    if (this.random.chance(15)) return 0n;
    const page = this.random.of(RANGES) + PAGE * this.random.bits(4);
    return page | BigInt(this.random.of([0x67, 0x67, 0x65]));
  }

  private secondLeaf(): bigint {
    if (this.random.chance(15)) return 0n;
    return (this.random.bits(34) << 12n) | BigInt(this.random.of([3, 3, 3, 1, 2]));
  }

  /** Changes one entry; the returned function tells the unit. */
  change(): Tell {
    this.mixes = false;
    switch (this.random.below(7)) {
      case 0:
        return this.changeDirectory();
      case 1:
        return this.moveTable();
      case 2:
        return this.changeSecondTable();
      case 3:
      case 4:
        return this.changeSecondPage();
      default:
        return this.changePage();
    }
  }

  private changePage(): Tell {
    const process = this.random.of(this.processes);
    const half = this.random.below(2);
    const page = this.random.bits(4);
    const copies = process.leaves[half]!;
    this.bench.write(this.random.of(copies) + 8n * page, this.firstLeaf());
    return () => {
      // either half may use the table
      this.tellFirst(process, page * PAGE, 0, true);
      this.tellFirst(process, MIB2 + page * PAGE, 0, true);
    };
  }

  private changeDirectory(): Tell {
    const process = this.random.of(this.processes);
    const half = this.random.bits(1);
    const target = this.random.of([...process.leaves.map(([table]) => TABLES | table | 0x27n), 0n]);
    this.store(process.directory, half, [target]);
    return () => {
      this.tellFirst(process, half * MIB2, 9, false);
    };
  }

  /** Another place in host memory for one first-stage table. */
  private moveTable(): Tell {
    const process = this.random.of(this.processes);
    const copies = this.random.of([process.directory, ...process.leaves]);
    for (const table of this.regions[0]!.tables) {
      const place = this.random.chance(90) ? this.random.of(copies) | 3n : 0n;
      this.bench.write(table + (copies[0] >> 9n), place);
    }
    return () => {
      this.tellSecond(TABLES + copies[0], 0, true);
    };
  }

  private changeSecondPage(): Tell {
    const { base, tables } = this.random.of(this.regions.slice(1));
    const page = this.random.bits(4);
    for (const table of tables) this.bench.write(table + 8n * page, this.secondLeaf());
    return () => {
      this.tellSecond(base + page * PAGE, 0, true);
    };
  }

  private changeSecondTable(): Tell {
    const { base, tables, entry } = this.random.of(this.regions);
    this.mixes = base === TABLES;
    this.bench.write(entry, this.random.chance(90) ? this.random.of(tables) | 3n : 0n);
    return () => {
      this.tellSecond(base, 9, false);
    };
  }

  /** What software does after a change of the first stage (VT-d 6.5.2.4). */
  private tellFirst(
    { domain, pasid }: Process,
    address: bigint,
    order: number,
    leaf: boolean,
  ): void {
    const { engine } = this.bench;
    if (this.random.chance(25)) engine.invalidatePasidIotlb(domain, pasid);
    else engine.invalidatePasidIotlbPages(domain, pasid, 0, Number(address), order, leaf);
  }

  /** After a change of the second stage (VT-d 6.5.2.3), in all domains that use it. */
  private tellSecond(address: bigint, order: number, leaf: boolean): void {
    const { engine } = this.bench;
    const choice = this.random.below(6);
    if (choice === 0) {
      engine.invalidateIotlbGlobal();
      return;
    }
    const [hi, lo] = [Number(address >> 30n), Number(address & 0x3fff_ffffn)];
    for (const did of [5, 6]) {
      if (choice === 1) engine.invalidateIotlbDomain(did);
      else engine.invalidateIotlbPages(did, hi, lo, order, leaf);
    }
  }

  ask(): Ask {
    const { pasid } = this.random.of(this.processes);
    return {
      sourceId: DEVICE,
      pasid: pasid === 0 ? -1 : pasid,
      addressType: this.random.chance(90) ? 0 : 1,
      access: this.random.of([1, 1, 2, 3]),
      address: this.random.bits(1) * MIB2 + this.random.bits(16),
    };
  }

  expected(ask: Ask): Answer {
    return oracle(this.world, ask, { 1: scalableMode });
  }
}

describe("a guest that changes nested tables", () => {
  it(
    "gets old or new answers until it invalidates, new ones afterwards; faults are always new",
    { timeout: 120_000 },
    () => {
      fc.assert(
        fc.property(fc.integer(), (number) => {
          const guest = new Guest(new Random(number));
          for (let step = 0; step < STEPS; step += 1) {
            const asks = Array.from({ length: 8 }, () => guest.ask());
            const before = asks.map((ask) => guest.expected(ask));
            const tell = guest.change();
            asks.forEach((ask, i) => {
              const answer = guest.bench.ask(ask);
              const now = guest.expected(ask);
              const mayBeOld = answer.result === 0 && ask.addressType === 0;
              const isOld = mayBeOld && (guest.mixes || same(answer, before[i]));
              if (!same(answer, now) && !isOld) {
                throw new Error(
                  `${show(ask)}: ${show(answer)}, not ${show(before[i])} or ${show(now)}`,
                );
              }
            });
            tell();
            for (const ask of [...asks, ...asks, guest.ask(), guest.ask()]) {
              const answers = [guest.bench.probe(ask), guest.bench.ask(ask)];
              const now = guest.expected(ask);
              for (const answer of answers) {
                if (same(answer, now)) continue;
                throw new Error(`${show(ask)}: ${show(answer)}, not ${show(now)}`);
              }
            }
          }
        }),
        { seed, numRuns: RUNS, endOnFailure: true },
      );
    },
  );
});
