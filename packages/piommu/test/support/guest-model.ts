import fc from "fast-check";
import { expect } from "vitest";
import type { PageType } from "../../src/index.ts";
import { OFFSET } from "./guest-host.ts";
import type { GuestHost } from "./guest-host.ts";
import type { GuestKernel } from "./guest-kernel.ts";
import type { GuestOracle } from "./guest-oracle.ts";

/** Guest frames that the host changes; the tables of the guest lie below. */
export const FIRST_GFN = 0x800;
const GFNS = 0x400;
/** Rounds of unfinished work in which the host interferes. */
const BUSY_ROUNDS = 8;

/** What a model is compared with. */
export interface Real extends GuestHost {
  readonly kernel: GuestKernel;
  readonly roots: readonly number[];
  /** Frames that the host used before there was a guest. */
  readonly framesBefore: number;
  /** Accesses of devices in flight. */
  readonly tickets: number[];
  /** Frames that are not yet to be used again. */
  readonly held: Set<number>;
}

/** What the host's steps change in a model. */
type HostSide = Pick<GuestOracle, "p2m" | "dirty" | "tracking">;

/** What the guest, its devices or the host do next, in the model and in reality. */
export interface Step<M = GuestOracle, R = Real> {
  readonly name: string;
  readonly run: (oracle: M, real: R) => void;
}

export function step<M, R>(name: string, run: Step<M, R>["run"]): Step<M, R> {
  return { name, run };
}

/** Called before a step; the returned function checks what is reached after it. */
export type Watch<M, R> = (oracle: M, real: R) => () => void;

class Command<M extends object, R> implements fc.Command<M, R> {
  readonly #step: Step<M, R>;
  readonly #watch: Watch<M, R>;

  constructor(next: Step<M, R>, watch: Watch<M, R>) {
    this.#step = next;
    this.#watch = watch;
  }

  check(): boolean {
    return true;
  }

  run(oracle: M, real: R): void {
    const checkAfter = this.#watch(oracle, real);
    this.#step.run(oracle, real);
    checkAfter();
  }

  toString(): string {
    return this.#step.name;
  }
}

/** What is explored, and how often. */
export interface Exploration<M, R> {
  readonly begin: () => { model: M; real: R };
  readonly steps: fc.Arbitrary<Step<M, R>>[];
  readonly watch: Watch<M, R>;
  readonly seed: number;
  readonly runs: number;
}

/** Random interleavings of steps; returns how many steps there were. All frames come back in the end. */
export function explore<M extends object, R extends Real>(what: Exploration<M, R>): number {
  const { begin, runs, seed, steps, watch } = what;
  let executed = 0;
  const counting: Watch<M, R> = (oracle, real) => {
    executed += 1;
    return watch(oracle, real);
  };
  const kinds = steps.map((kind) => kind.map((next) => new Command(next, counting)));
  fc.assert(
    fc.property(fc.commands(kinds, { maxCommands: 160, size: "max" }), (commands) => {
      let last: R | null = null;
      fc.modelRun(() => {
        const setup = begin();
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

/** The frames of a guest as `guestHost` maps them. */
export function fillP2m(oracle: HostSide): void {
  for (let gfn = 0; gfn < 0x1000; gfn++) oracle.p2m.set(gfn, { mfn: gfn + OFFSET, rights: 3 });
}

/**
 * Lets the driver end its work in small steps. In between the host changes the p2m, and `check` is
 * called: whatever a device reaches then is after the p2m of now.
 */
export function finish(oracle: GuestOracle, real: Real, check: () => void): void {
  for (let rounds = 0; real.driver.pending; rounds++) {
    expect(rounds).toBeLessThan(100_000);
    real.driver.run(rounds > BUSY_ROUNDS ? 100 : 5);
    if (rounds > BUSY_ROUNDS) continue;
    const changed = FIRST_GFN + (rounds % 3);
    real.p2m.map(changed, 0x100 + rounds, 1, "ram");
    oracle.p2m.set(changed, { mfn: 0x100 + rounds, rights: 3 });
    oracle.dirty.delete(changed);
    check();
  }
  // only accesses in flight hold the guest's invalidation back now
  if (real.tickets.length > 0) return;
  expect(real.kernel.complete).toBe(true);
  expect(real.kernel.translation).toBe(oracle.translation);
}

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

/** The host maps guest frames anew. */
export const p2mMapped: fc.Arbitrary<Step<HostSide>> = fc
  .tuple(run, fc.nat(0xb00), type)
  .map(([[gfn, count], at, kind]) =>
    step(`p2m map ${gfn}+${count} -> ${at} ${kind}`, (oracle, real) => {
      const mfn = count >= 512 ? Math.floor(at / 512) * 512 : at;
      const old = framesOf(oracle, gfn, count);
      if (!real.p2m.map(gfn, mfn, count, kind, releaseOf(real))) hold(real, old);
      for (let i = 0; i < count; i++) {
        oracle.p2m.set(gfn + i, { mfn: mfn + i, rights: TYPE_RIGHTS[kind] });
        oracle.dirty.delete(gfn + i);
      }
    }),
  );
/** Frames are taken from the guest. */
export const p2mUnmapped: fc.Arbitrary<Step<HostSide>> = run.map(([gfn, count]) =>
  step(`p2m unmap ${gfn}+${count}`, (oracle, real) => {
    const old = framesOf(oracle, gfn, count);
    if (!real.p2m.unmap(gfn, count, releaseOf(real))) hold(real, old);
    for (let i = 0; i < count; i++) {
      oracle.p2m.delete(gfn + i);
      oracle.dirty.delete(gfn + i);
    }
  }),
);
/** Frames change their type. */
export const p2mTyped: fc.Arbitrary<Step<HostSide>> = fc
  .tuple(run, type)
  .map(([[gfn, count], kind]) =>
    step(`p2m type ${gfn}+${count} ${kind}`, (oracle, real) => {
      real.p2m.setType(gfn, count, kind);
      for (let i = gfn; i < gfn + count; i++) {
        const known = oracle.p2m.get(i);
        if (known === undefined) continue;
        oracle.p2m.set(i, { mfn: known.mfn, rights: TYPE_RIGHTS[kind] });
        if (TYPE_RIGHTS[kind] === 0) oracle.dirty.delete(i);
      }
    }),
  );

/** Dirty tracking starts, stops, or is read. */
export const tracked: fc.Arbitrary<Step<HostSide>> = fc.constantFrom(0, 1, 1, 2, 2, 2).map((what) =>
  step(`tracking ${what}`, (oracle, real) => {
    if (what < 2) {
      real.driver.setDirtyTracking(what === 1);
      if (oracle.tracking !== (what === 1)) {
        oracle.dirty.clear();
        tablesWritten(real);
      }
      oracle.tracking = what === 1;
      return;
    }
    const told = new Set<number>();
    real.driver.readAndClearDirty(FIRST_GFN, GFNS, (gfn) => void told.add(gfn));
    for (const gfn of oracle.dirty) if (gfn >= FIRST_GFN) expect(told).toContain(gfn);
    oracle.dirty.clear();
    real.driver.readAndClearDirty(0, FIRST_GFN, (gfn) => void told.add(gfn));
    const written = tablesWritten(real);
    if (oracle.tracking) for (const gfn of written) expect(told).toContain(gfn);
    real.driver.readAndClearDirty(0, FIRST_GFN + GFNS, (gfn) => {
      throw new Error(`${gfn} is told of twice`);
    });
  }),
);

/**
 * Frames below those that the host changes that devices have written since the last call, and the
 * hardware: A and D bits of the guest's first-stage tables.
 */
function tablesWritten({ host }: Real): number[] {
  const written = host.dirtyPages(OFFSET * 4096, FIRST_GFN * 4096);
  return written.map((address) => address / 4096 - OFFSET);
}

/** An access begins: a change must not be complete before it has ended. */
export const flown: fc.Arbitrary<Step<HostSide>> = fc.boolean().map((on) =>
  step(`in flight ${on}`, (_oracle, real) => {
    if (on) real.tickets.push(real.physical.dmaRemapper.enter());
    else landAll(real);
  }),
);

/** Accesses in flight hold back an invalidation that was begun after them; then they end. */
export function landed(oracle: Pick<GuestOracle, "seen">, real: Real): void {
  if (real.tickets.length > 0 && oracle.seen.size > 0) expect(real.kernel.complete).toBe(false);
  landAll(real);
}

/** Accesses in flight end; then nothing that was taken away is held any more. */
export function landAll(real: Real): void {
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

function framesOf(oracle: HostSide, gfn: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => oracle.p2m.get(gfn + i)?.mfn ?? -1);
}
