import { PAGE } from "./domain-pages.ts";
import type { SavedDomain, SaveSink } from "./domain.ts";
import { DomainSave } from "./save-domain.ts";
import type { SaveFigures } from "./save-domain.ts";

/** How a running domain is taken away. Time is counted in steps of the domain. */
export interface MigrationOptions {
  /** Lets the domain run; returns the steps done, fewer when it has come to its end. */
  readonly run: (steps: number) => number;
  /** What the way to the other side takes in one step. */
  readonly bytesPerStep: number;
  /** With so few pages left the domain is stopped. */
  readonly fewPages: number;
  /** Rounds while it runs, at most. */
  readonly mostRounds: number;
}

/** How a migration went. */
export interface MigrationFigures extends SaveFigures {
  /** Pages of each round while the domain ran. */
  readonly rounds: readonly number[];
  /** Why it was stopped: few pages were left, they did not become fewer, it was over, or the limit. */
  readonly stoppedBy: "converged" | "no progress" | "end" | "round limit";
  /** Pages that were written while it stood still. */
  readonly lastPages: number;
  /** Steps that it ran during the rounds, and would have run while it stood still. */
  readonly stepsMeanwhile: number;
  readonly downtimeSteps: number;
}

/**
 * Live migration: writes all pages while the domain runs on, then, again and again, those that were
 * written meanwhile, until they are few; then it is stopped, and the rest and its state follow. What
 * comes out is a save like any other. The domain must not run afterwards.
 */
export function migrateDomain(
  domain: SavedDomain,
  sink: SaveSink,
  options: MigrationOptions,
): MigrationFigures {
  const { run, bytesPerStep, fewPages, mostRounds } = options;
  const stepsFor = (bytes: number): number => Math.ceil(bytes / bytesPerStep);
  const save = new DomainSave(domain, sink);
  const rounds: number[] = [];
  let stepsMeanwhile = 0;
  const stopReason = (ran: boolean): MigrationFigures["stoppedBy"] | null => {
    if (!ran) return "end";
    if (save.dirty <= fewPages) return "converged";
    if (rounds.length >= 2 && save.dirty >= rounds.at(-1)!) return "no progress";
    return rounds.length >= mostRounds ? "round limit" : null;
  };
  let stoppedBy: MigrationFigures["stoppedBy"] | null = mostRounds > 0 ? null : "round limit";
  while (stoppedBy === null) {
    const before = save.written;
    rounds.push(save.round());
    const wanted = Math.max(1, stepsFor(save.written - before));
    const steps = run(wanted);
    stepsMeanwhile += steps;
    stoppedBy = stopReason(steps === wanted);
  }
  const lastPages = save.dirty;
  const figures = save.finish();
  const downtimeSteps = stepsFor(lastPages * PAGE + figures.stateBytes);
  return { ...figures, rounds, stoppedBy, lastPages, stepsMeanwhile, downtimeSteps };
}
