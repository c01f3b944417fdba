import { Offset } from "@viommu/vtd-spec";
import { explainDma } from "./explain-dma.ts";
import { explainIrq } from "./explain-irq.ts";
import { queueError, queueState, showDescriptors } from "./explain-queue.ts";
import { showRegisters } from "./explain-registers.ts";
import { ExplainedTables } from "./explain-tables.ts";
import type { Explanation, Story } from "./explanation.ts";
import type { MmioEvent, RegistersEvent, Trace, TraceEvent } from "./format.ts";
import type { ReplayContext } from "./replay-context.ts";
import { createReplayUnit, profileOf } from "./replay-unit.ts";
import type { UnitFactory } from "./replay-unit.ts";
import { eventNumber, Replayer } from "./replayer.ts";
import { hex, writesText } from "./text.ts";

/**
 * Replays a trace up to one event (the first one is 1) and shows the walk behind it: each entry read,
 * with its fields, where it faulted and why. Throws ERR_VIOMMU_TRACE_NUMBER.
 */
export function explainEvent(
  trace: Trace,
  number: number,
  createUnit: UnitFactory = createReplayUnit,
): Explanation {
  const event = eventNumber(trace.events, number);
  const replayer = new Replayer(trace.header, createUnit);
  for (const earlier of trace.events.slice(0, number - 1)) replayer.perform(earlier);
  const { context } = replayer;
  context.memory.storeReads(event.reads);
  const tables = new ExplainedTables(
    context.memory,
    context.capabilities,
    profileOf(trace.header).hostAddressWidth,
  );
  const finish = explain(event, context, tables);
  const comparisons = replayer.perform(event);
  return {
    trace: trace.header.name,
    event: number,
    line: event.line,
    kind: event.kind,
    ...finish(),
    steps: tables.steps,
    comparisons,
  };
}

/** Looks at the state before the event; the result is called after it. */
function explain(event: TraceEvent, context: ReplayContext, tables: ExplainedTables): () => Story {
  switch (event.kind) {
    case "dma": {
      const story = explainDma(event, context, tables);
      return () => story;
    }
    case "irq": {
      const story = explainIrq(event, context, tables);
      return () => story;
    }
    case "mmio-write":
      return explainWrite(event, context, tables);
    case "mmio-read":
      showRegisters(tables, event.offset, event.size, event.value);
      return () => ({
        request: `the guest reads ${event.size} bytes at register offset ${hex(event.offset)}`,
        verdict: `the trace has ${hex(event.value)}`,
      });
    case "registers":
      showBlock(event, tables);
      return () => ({
        request: "the recorder reads the whole register block",
        verdict: `${event.values.size} groups of 8 bytes are not 0`,
      });
    case "reset":
      return () => ({ request: "the unit is reset", verdict: "power-on state, nothing enabled" });
    case "other":
      return () => ({
        request: "the trace makes memory known",
        verdict: `read: ${writesText(event.reads)}; written: ${writesText(event.writes)}`,
      });
  }
}

function explainWrite(
  event: MmioEvent,
  context: ReplayContext,
  tables: ExplainedTables,
): () => Story {
  const { offset, size, value } = event;
  showRegisters(tables, offset, size, value);
  const queue = queueState(context.unit);
  const tail = offset === Offset.IQT ? Number(value & 0x7_fff0n) : queue.head;
  const count = showDescriptors(tables, queue, tail);
  return () => {
    const done = count === 0 ? "written" : `${count} descriptors are to be performed`;
    const error = queueError(context.unit);
    return {
      request: `the guest writes ${hex(value)} (${size} bytes) at register offset ${hex(offset)}`,
      verdict: error === undefined ? done : `${done}; ${error}`,
    };
  };
}

function showBlock(event: RegistersEvent, tables: ExplainedTables): void {
  for (const [offset, value] of event.values) showRegisters(tables, offset, 8, value);
}
