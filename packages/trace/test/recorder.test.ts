import { DmaRequest, InterruptRequest } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { askDma, askIrq } from "../src/answers.ts";
import type { Trace } from "../src/format.ts";
import { readTrace } from "../src/reader.ts";
import { Recorder } from "../src/recorder.ts";
import { createReplayUnit, readRegister } from "../src/replay-unit.ts";
import { replayTrace } from "../src/report.ts";
import { TraceMemory } from "../src/trace-memory.ts";
import { packTrace, writeTrace } from "../src/writer.ts";
import { FIXTURES, fixture } from "./fixture.ts";
import { HEADER, plain, text } from "./lines.ts";

/** Lets a recorded guest run again on a unit with a recorder around it. */
function recordAgain({ header, events }: Trace): Trace {
  const memory = new TraceMemory();
  const recorder = new Recorder({ header, memory, sink: { deliver: () => undefined } });
  const unit = recorder.record(createReplayUnit(header, recorder.memory, recorder.sink));
  for (const event of events.slice(1)) {
    memory.storeReads(event.reads);
    if (event.kind === "mmio-write") {
      const { offset, size, value } = event;
      unit.write(offset, size, Number(value & 0xffff_ffffn) | 0, Number(value >> 32n) | 0);
    }
    if (event.kind === "mmio-read") readRegister(unit, event.offset, event.size);
    if (event.kind === "dma") askDma(unit, event, "translate");
    if (event.kind === "irq") askIrq(unit, event, event.sid ?? header.ioapic!.sid, "remap");
  }
  return recorder.finish();
}

describe("recorder", () => {
  it.each(FIXTURES)("records %s again: the replay is equal in everything", async (name) => {
    const original = await fixture(name);
    const recorded = recordAgain(original);
    expect(recorded.events.map(({ kind }) => kind)).toEqual(
      original.events.map(({ kind }) => kind),
    );
    const report = replayTrace(await readTrace(plain(writeTrace(recorded))));
    expect(report).not.toHaveProperty("firstDifference");
    expect(report).not.toHaveProperty("unknownReads");
    expect(report.deviations).toEqual([]);
    expect(report.dma.equal).toBe(replayTrace(original).dma.total);
  });

  it("keeps what was in memory before an event, not what the event wrote itself", () => {
    const memory = new TraceMemory();
    memory.storeReads([{ address: 0x1000n, bytes: Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0) }]);
    const recorder = new Recorder({ header: header(), memory, sink: { deliver: () => undefined } });
    const unit = createReplayUnit(header(), recorder.memory, recorder.sink);
    const recorded = recorder.record(unit);
    const word = new Int32Array(1);
    recorder.memory.writeWord(0, 0x1000, 5);
    recorder.memory.readWords(0, 0x1000, 1, word);
    recorder.memory.readWords(0, 0x1004, 1, word);
    recorder.memory.readWords(0, 0x1004, 1, word);
    recorded.read(0, 4, new Int32Array(2));
    expect(recorder.finish().events[1]).toMatchObject({
      kind: "mmio-read",
      value: 0x10n,
      reads: [{ address: 0x1004n, bytes: Uint8Array.of(2, 0, 0, 0) }],
      writes: [{ address: 0x1000n, bytes: Uint8Array.of(5, 0, 0, 0) }],
    });
  });

  it("leaves out what the format has no place for", () => {
    const memory = new TraceMemory();
    const recorder = new Recorder({ header: header(), memory, sink: { deliver: () => undefined } });
    const unit = recorder.record(createReplayUnit(header(), recorder.memory, recorder.sink));
    const request = new DmaRequest();
    request.addressType = 1;
    unit.dma.translate(request);
    unit.dma.probe(request);
    unit.interrupts.probe(new InterruptRequest());
    unit.read(0, 1, new Int32Array(2));
    expect(recorder.finish().events.map(({ kind }) => kind)).toEqual(["reset", "registers"]);
  });
});

function header(): Trace["header"] {
  const { unit } = HEADER;
  return {
    name: "test",
    guest: { os: "", version: "", vcpus: 1, cmdline: "" },
    reference: { name: "viommu", version: "" },
    unit: {
      base: BigInt(unit.base),
      cap: BigInt(unit.cap),
      ecap: BigInt(unit.ecap),
      ver: Number(unit.ver),
      addressWidth: 48,
    },
    devices: [],
    ioapic: undefined,
    workload: "",
  };
}

describe("writer", () => {
  it.each(FIXTURES)("writes %s as it was read", async (name) => {
    const trace = await fixture(name);
    expect(await readTrace(await packTrace(trace))).toEqual(trace);
  });

  it("writes every optional member", async () => {
    const lines = [
      { e: "other", reads: [["0x0", null]], writes: [["0x0", null]] },
      {
        e: "dma",
        sid: "0x0010",
        pasid: "0x21",
        iova: "0x1000",
        access: "none",
        index: 1,
        result: { ok: false, fault: "0x05", disabled: true },
      },
      {
        e: "dma",
        sid: "0x0010",
        pasid: null,
        iova: "0x1000",
        access: "rw",
        result: { ok: false, cached: true },
      },
      { e: "irq", sid: null, addr: "0xfee00000", data: "0x1", result: { ok: true } },
    ];
    const trace = await readTrace(plain(text(lines)));
    const written = writeTrace(trace).trim().split("\n").slice(1);
    expect(written.map((line) => JSON.parse(line) as unknown)).toEqual(lines);
  });
});
