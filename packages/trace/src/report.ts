import { COMPARISON_CLASSES } from "./comparison.ts";
import type { Comparison, ComparisonClass } from "./comparison.ts";
import { DEVIATIONS } from "./deviations.ts";
import type { Trace, TraceEvent, TraceHeader } from "./format.ts";
import type { TraceStream } from "./reader.ts";
import { createReplayUnit } from "./replay-unit.ts";
import type { UnitFactory } from "./replay-unit.ts";
import { Replayer } from "./replayer.ts";
import { hex } from "./text.ts";

/** How often a class was compared, and how that ended. */
export interface ClassCounts {
  total: number;
  equal: number;
  /** Explained by a named deviation of the reference. */
  accepted: number;
  different: number;
}

/** The first comparison without an explanation. */
export interface Difference {
  /** Number of the event; the first one is 1. */
  readonly event: number;
  /** Line in the file. */
  readonly line: number;
  readonly class: ComparisonClass;
  readonly expected: string;
  readonly actual: string;
}

/** The outcome of a replay, as `viommu replay --json` prints it. */
export interface TraceReport extends Readonly<Record<ComparisonClass, Readonly<ClassCounts>>> {
  readonly name: string;
  /** Number of events. */
  readonly events: number;
  readonly deviations: readonly {
    readonly name: string;
    readonly count: number;
    readonly why: string;
  }[];
  readonly firstDifference?: Difference;
  /** Reads of bytes that the trace never told (they gave 0); absent when there were none. */
  readonly unknownReads?: { readonly count: number; readonly first: string };
}

/** Called after each event with the number of events done. */
export type Progress = (done: number) => void;

/** How to replay. */
export interface ReplayOptions {
  /** Makes the unit; absent: a `VtdUnit` with CAP, ECAP and VER of the trace. */
  readonly createUnit?: UnitFactory;
  readonly onProgress?: Progress;
}

/** Replays a whole trace on a new unit. */
export function replayTrace(trace: Trace, options: ReplayOptions = {}): TraceReport {
  const tally = new Tally(trace.header, options);
  for (const event of trace.events) tally.add(event);
  return tally.report();
}

/** Replays a trace while it is read. Throws what is wrong with its events. */
export async function replayStream(
  stream: TraceStream,
  options: ReplayOptions = {},
): Promise<TraceReport> {
  const tally = new Tally(stream.header, options);
  for await (const event of stream.events) tally.add(event);
  return tally.report();
}

/** Performs events and counts what their comparisons say. */
class Tally {
  readonly #header: TraceHeader;
  readonly #onProgress: Progress | undefined;
  readonly #replayer: Replayer;
  readonly #counts: Record<ComparisonClass, ClassCounts>;
  readonly #used = new Map<string, number>();
  #events = 0;
  #firstDifference: Difference | undefined;

  constructor(header: TraceHeader, { createUnit = createReplayUnit, onProgress }: ReplayOptions) {
    this.#header = header;
    this.#onProgress = onProgress;
    this.#replayer = new Replayer(header, createUnit);
    this.#counts = Object.fromEntries(
      COMPARISON_CLASSES.map((name) => [name, { total: 0, equal: 0, accepted: 0, different: 0 }]),
    ) as Record<ComparisonClass, ClassCounts>;
  }

  add(event: TraceEvent): void {
    const used = this.#used;
    this.#events += 1;
    for (const comparison of this.#replayer.perform(event)) {
      count(this.#counts[comparison.class], comparison);
      for (const name of comparison.deviations) used.set(name, (used.get(name) ?? 0) + 1);
      if (comparison.verdict !== "different") continue;
      const { class: of, expected, actual } = comparison;
      const { line } = event;
      this.#firstDifference ??= { event: this.#events, line, class: of, expected, actual };
    }
    this.#onProgress?.(this.#events);
  }

  report(): TraceReport {
    const used = this.#used;
    const unknown = this.#replayer.context.memory.unknownReads;
    return {
      name: this.#header.name,
      events: this.#events,
      ...this.#counts,
      deviations: DEVIATIONS.filter(({ name }) => used.has(name)).map(({ name, why }) => ({
        name,
        count: used.get(name)!,
        why,
      })),
      ...(this.#firstDifference && { firstDifference: this.#firstDifference }),
      ...(unknown.first !== undefined && {
        unknownReads: { count: unknown.count, first: hex(unknown.first) },
      }),
    };
  }
}

/** Whether nothing in a report differs. */
export function isClean(report: TraceReport): boolean {
  return COMPARISON_CLASSES.every((name) => report[name].different === 0);
}

function count(counts: ClassCounts, { verdict }: Comparison): void {
  counts.total += 1;
  counts[verdict] += 1;
}
