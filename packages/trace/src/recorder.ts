import { Access, AddressType, toBigint } from "@viommu/plugin";
import type {
  DmaRemapper,
  DmaRequest,
  GuestMemory,
  InterruptRemapper,
  InterruptRequest,
  InterruptSink,
} from "@viommu/plugin";
import { dmaAnswer, irqAnswer, message } from "./answers.ts";
import type { DmaAnswer, IrqAnswer } from "./answers.ts";
import { FaultRecordWatch } from "./fault-record-watch.ts";
import type { DeniedResult, EventBase, Message, Trace, TraceEvent, TraceHeader } from "./format.ts";
import { RecordingMemory } from "./recording-memory.ts";
import { readRegister, writeRegister } from "./replay-unit.ts";
import type { ReplayUnit } from "./replay-unit.ts";
import { decodeCapabilities } from "@viommu/vtd-spec";

/** What a recorder stands between: the unit on one side, memory and interrupts on the other. */
export interface RecorderOptions {
  readonly header: TraceHeader;
  readonly memory: GuestMemory;
  /** Where the unit's own messages go. */
  readonly sink: InterruptSink;
}

/**
 * Records a run of a unit as a trace. The unit is built with `memory` and `sink` of the recorder; the
 * machine then uses the recorder's registers, DMA and interrupts instead of the unit's. Format 1 has
 * no place for translation requests, nor for execute and privileged requests: these pass unrecorded.
 */
export class Recorder {
  readonly memory: GuestMemory;
  readonly sink: InterruptSink;
  readonly #header: TraceHeader;
  readonly #recording: RecordingMemory;
  readonly #messages: Message[] = [];
  readonly #events: TraceEvent[] = [];
  #unit: ReplayUnit | undefined;
  #records: FaultRecordWatch | undefined;

  constructor({ header, memory, sink }: RecorderOptions) {
    this.#header = header;
    this.#recording = new RecordingMemory(memory);
    this.memory = this.#recording;
    this.sink = {
      deliver: (upper, address, data) => {
        this.#messages.push(message(upper, address, data));
        sink.deliver(upper, address, data);
      },
    };
  }

  /** Takes the unit, resets it, and gives it back with every access recorded. */
  record(unit: ReplayUnit): ReplayUnit {
    const { cap, ecap } = this.#header.unit;
    this.#unit = unit;
    this.#records = new FaultRecordWatch(unit, decodeCapabilities(cap, ecap));
    const recorded: ReplayUnit = {
      size: unit.size,
      pending: false,
      run: () => 0,
      reset: () => {
        unit.reset();
        this.#events.push({ kind: "reset", ...this.#take() });
      },
      read: (offset, size, out) => {
        unit.read(offset, size, out);
        this.#noteAccess("mmio-read", offset, size, out[0]!, out[1]!);
      },
      write: (offset, size, low, high) => {
        const value = qword(low, high);
        if (size === 4 || size === 8) writeRegister(unit, offset, size, value);
        else unit.write(offset, size, low, high);
        this.#noteAccess("mmio-write", offset, size, low, high);
      },
      dma: this.#dma(unit.dma),
      interrupts: this.#interrupts(unit.interrupts),
    };
    recorded.reset();
    return recorded;
  }

  /** The trace so far, with the register block as its last event. */
  finish(): Trace {
    const values = new Map<number, bigint>();
    const unit = this.#unit;
    for (let offset = 0; unit !== undefined && offset < unit.size; offset += 8) {
      const value = readRegister(unit, offset, 8);
      if (value !== 0n) values.set(offset, value);
    }
    const last: TraceEvent = { kind: "registers", values, ...this.#take() };
    const events = [...this.#events, last].map((event, i) => ({ ...event, line: i + 2 }));
    return { header: this.#header, events };
  }

  #dma(dma: DmaRemapper): DmaRemapper {
    return {
      segment: dma.segment,
      probe: (request) => dma.probe(request),
      enter: () => dma.enter(),
      leave: (ticket) => {
        dma.leave(ticket);
      },
      translate: (request) => {
        const result = dma.translate(request);
        this.#noteDma(request, dmaAnswer(request, result));
        return result;
      },
    };
  }

  #interrupts(interrupts: InterruptRemapper): InterruptRemapper {
    return {
      segment: interrupts.segment,
      probe: (request) => interrupts.probe(request),
      remap: (request) => {
        const result = interrupts.remap(request);
        this.#noteIrq(request, irqAnswer(request, result));
        return result;
      },
    };
  }

  #noteAccess(
    kind: "mmio-read" | "mmio-write",
    offset: number,
    size: number,
    low: number,
    high: number,
  ): void {
    const effects = this.#take();
    if (size !== 4 && size !== 8) return;
    const value = size === 4 ? BigInt(low >>> 0) : qword(low, high);
    this.#events.push({ kind, ...effects, offset, size, value });
  }

  #noteDma(request: DmaRequest, answer: DmaAnswer): void {
    const effects = this.#take();
    const { sourceId: sid, pasid, addressType, access, hi, lo, suppressed } = request;
    const beyondFormat = access & (Access.EXECUTE | Access.PRIVILEGED);
    if (addressType === AddressType.TRANSLATION_REQUEST || beyondFormat !== 0) return;
    this.#events.push({
      kind: "dma",
      ...effects,
      sid,
      pasid,
      iova: toBigint(hi, lo),
      access,
      index: addressType === AddressType.TRANSLATED ? 1 : 0,
      result: answer.ok
        ? { ok: true, gpa: answer.gpa, mask: answer.mask, perm: answer.granted & Access.ATOMIC }
        : denied(answer.fault, suppressed),
    });
  }

  #noteIrq(request: InterruptRequest, answer: IrqAnswer): void {
    const { sourceId: sid, upper, address, data, suppressed } = request;
    this.#events.push({
      kind: "irq",
      ...this.#take(),
      sid,
      addr: qword(address, upper),
      data: data >>> 0,
      result: answer.ok ? answer : denied(answer.fault, suppressed),
    });
  }

  /** What the event just performed has left behind; the line is given at the end. */
  #take(): EventBase {
    const records = this.#records?.take() ?? [];
    return {
      line: 0,
      ...this.#recording.take(),
      frcd: records.map(({ index, record }) => ({
        index,
        high: record >> 64n,
        low: record & 0xffff_ffff_ffff_ffffn,
      })),
      msi: this.#messages.splice(0),
    };
  }
}

function denied(fault: number | undefined, disabled: boolean): DeniedResult {
  return { ok: false, fault, disabled, cached: false };
}

function qword(low: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}
