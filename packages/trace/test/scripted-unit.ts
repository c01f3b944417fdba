import type { DmaRequest, GuestMemory, InterruptRequest, InterruptSink } from "@viommu/plugin";
import type { Comparison } from "../src/comparison.ts";
import { readTrace } from "../src/reader.ts";
import { Replayer } from "../src/replayer.ts";
import type { ReplayUnit } from "../src/replay-unit.ts";
import { HEADER, plain, text } from "./lines.ts";

const FSTS = 0x34;
const FRCD = 0x220;

/** A unit that says and does what a test tells it to. */
export class ScriptedUnit implements ReplayUnit {
  readonly size = 0x1000;
  readonly words = new Map<number, number>();
  /** "translate", "probe", "remap", "irq-probe": what was asked, in order. */
  readonly calls: string[] = [];
  readonly memory: GuestMemory;
  readonly sink: InterruptSink;
  /** Answers a DMA request: fills the output, returns the result code. */
  onDma: (request: DmaRequest) => number = () => 0;
  onIrq: (request: InterruptRequest) => number = () => 0;
  /** What a translation, a remapping or a register write does besides. */
  effect: () => void = () => undefined;
  pending = false;

  constructor(memory: GuestMemory, sink: InterruptSink) {
    this.memory = memory;
    this.sink = sink;
  }

  readonly dma = {
    segment: 0,
    translate: (request: DmaRequest): number => {
      this.calls.push("translate");
      this.effect();
      return this.onDma(request);
    },
    probe: (request: DmaRequest): number => {
      this.calls.push("probe");
      return this.onDma(request);
    },
    enter: (): number => 0,
    leave: (): void => undefined,
  };

  readonly interrupts = {
    segment: 0,
    remap: (request: InterruptRequest): number => {
      this.calls.push("remap");
      this.effect();
      return this.onIrq(request);
    },
    probe: (request: InterruptRequest): number => {
      this.calls.push("irq-probe");
      return this.onIrq(request);
    },
  };

  run(): number {
    this.pending = false;
    this.effect();
    return 1;
  }

  reset(): void {
    this.words.clear();
  }

  read(offset: number, size: number, out: Int32Array): void {
    out[0] = this.words.get(offset) ?? 0;
    out[1] = size === 8 ? (this.words.get(offset + 4) ?? 0) : 0;
  }

  write(offset: number, size: number, low: number, high: number): void {
    this.words.set(offset, low);
    if (size === 8) this.words.set(offset + 4, high);
    this.effect();
  }

  /** Puts a value into 8 bytes of registers. */
  set(offset: number, value: bigint): void {
    this.words.set(offset, Number(value & 0xffff_ffffn) | 0);
    this.words.set(offset + 4, Number(value >> 32n) | 0);
  }

  /** Writes fault record 0, as a fault does. */
  record(high: bigint, low: bigint): void {
    this.set(FRCD, low);
    this.set(FRCD + 8, high);
    this.words.set(FSTS, 2);
  }
}

/** Events that put the scripted unit into a mode before the event under test. */
export const SCALABLE = [
  { e: "mmio-write", offset: "0x20", size: 8, value: "0x1000400" },
  { e: "mmio-write", offset: "0x18", size: 4, value: "0x40000000" },
];

/**
 * Replays lines on a scripted unit, prepared before the last one; returns what was compared there.
 */
export async function lastOf(
  events: readonly object[],
  prepare: (unit: ScriptedUnit) => void,
  header: object = HEADER,
): Promise<{ comparisons: Comparison[]; unit: ScriptedUnit }> {
  const trace = await readTrace(plain(text(events, header)));
  let unit!: ScriptedUnit;
  const replayer = new Replayer(trace.header, (_, memory, sink) => {
    unit = new ScriptedUnit(memory, sink);
    return unit;
  });
  trace.events.slice(0, -1).forEach((event) => replayer.perform(event));
  prepare(unit);
  unit.calls.length = 0;
  return { comparisons: replayer.perform(trace.events.at(-1)!), unit };
}

/** "dma equal, frcd accepted(name)": comparisons on one line. */
export function verdicts(comparisons: readonly Comparison[]): string {
  return comparisons
    .map(({ class: of, verdict, deviations }) =>
      deviations.length === 0 ? `${of} ${verdict}` : `${of} ${verdict}(${deviations.join("+")})`,
    )
    .join(", ");
}
