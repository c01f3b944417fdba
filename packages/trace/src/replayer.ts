import { ViommuError } from "@viommu/plugin";
import { decodeCapabilities } from "@viommu/vtd-spec";
import { askDma, askIrq, message } from "./answers.ts";
import { compareMessages, compareRecords, compareWrites } from "./compare-effects.ts";
import { compareBlock, compareRead } from "./compare-registers.ts";
import { compareDma, compareIrq } from "./compare-requests.ts";
import type { Comparison } from "./comparison.ts";
import { DEVIATIONS } from "./deviations.ts";
import { QUEUE_ERROR } from "./deviations-registers.ts";
import { requesterOf } from "./remapping-entry.ts";
import type { DmaEvent, IrqEvent, Message, TraceEvent, TraceHeader } from "./format.ts";
import { FaultRecordWatch } from "./fault-record-watch.ts";
import { ReplayContext } from "./replay-context.ts";
import { writeRegister } from "./replay-unit.ts";
import type { UnitFactory } from "./replay-unit.ts";
import { TraceMemory } from "./trace-memory.ts";

/** Performs the events of one trace on one unit, in order, and compares. */
export class Replayer {
  readonly context: ReplayContext;
  readonly #messages: Message[] = [];
  readonly #records: FaultRecordWatch;

  constructor(header: TraceHeader, createUnit: UnitFactory) {
    const memory = new TraceMemory();
    const unit = createUnit(header, memory, {
      deliver: (upper, address, data) => this.#messages.push(message(upper, address, data)),
    });
    const capabilities = decodeCapabilities(header.unit.cap, header.unit.ecap);
    this.context = new ReplayContext(header, capabilities, memory, unit);
    this.#records = new FaultRecordWatch(unit, capabilities);
  }

  /**
   * Performs the next event of the trace and returns its comparisons: at most one of each class, none
   * where both sides have nothing to show.
   */
  perform(event: TraceEvent): Comparison[] {
    const { context } = this;
    const { memory } = context;
    memory.storeReads(event.reads);
    memory.prepareWrites(event.writes);
    const released = event.kind === "mmio-write" && context.heldQueue.prepare(event);
    const answer = this.#act(event);
    const comparisons = [
      answer,
      compareWrites(event, memory.takeWrites(), context, released ? [QUEUE_ERROR] : []),
      compareRecords(event.frcd, this.#records.take(), context),
      compareMessages(event.msi, this.#messages.splice(0), context),
    ];
    memory.storeWrites(event.writes);
    return comparisons.filter((entry) => entry !== undefined);
  }

  #act(event: TraceEvent): Comparison | undefined {
    const { context } = this;
    switch (event.kind) {
      case "reset":
        context.unit.reset();
        context.noteReset();
        return undefined;
      case "mmio-write":
        writeRegister(context.unit, event.offset, event.size, event.value);
        context.noteWrite(event);
        return undefined;
      case "mmio-read":
        return compareRead(event, context);
      case "dma":
        return this.#dma(event);
      case "irq":
        return this.#irq(event);
      case "registers":
        return compareBlock(event, context);
      case "other":
        return undefined;
    }
  }

  #dma(event: DmaEvent): Comparison {
    const { context } = this;
    for (const { name, dma } of DEVIATIONS) {
      const found = dma?.(event, context);
      if (found !== undefined) return compareDma(event, found.answer, context, { ...found, name });
    }
    return compareDma(event, askDma(context.unit, event, "translate"), context);
  }

  #irq(event: IrqEvent): Comparison {
    const { context } = this;
    for (const { name, irq } of DEVIATIONS) {
      const found = irq?.(event, context);
      if (found !== undefined) return compareIrq(event, found.answer, context, { ...found, name });
    }
    const answer = askIrq(context.unit, event, requesterOf(event, context), "remap");
    return compareIrq(event, answer, context);
  }
}

/** The event with this number (the first one is 1). Throws ERR_VIOMMU_TRACE_NUMBER. */
export function eventNumber(events: readonly TraceEvent[], number: number): TraceEvent {
  const event = events[number - 1];
  if (event !== undefined) return event;
  throw new ViommuError(
    "ERR_VIOMMU_TRACE_NUMBER",
    `there is no event ${number}; the events of this trace are numbered from 1 to ${events.length}`,
  );
}
