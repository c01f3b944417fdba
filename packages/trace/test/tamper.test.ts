import { describe, expect, it } from "vitest";
import type { ComparisonClass } from "../src/comparison.ts";
import type { Trace, TraceEvent } from "../src/format.ts";
import { isClean, replayTrace } from "../src/report.ts";
import type { TraceReport } from "../src/report.ts";
import { fixture } from "./fixture.ts";

type Kind = TraceEvent["kind"];
type EventOf<K extends Kind> = TraceEvent & { kind: K };

/** The trace up to its first suitable event, that one changed, and the number of that event. */
function tamper<K extends Kind>(
  trace: Trace,
  kind: K,
  suits: (event: EventOf<K>) => boolean,
  change: (event: EventOf<K>) => object,
): { trace: Trace; number: number } {
  const index = trace.events.findIndex(
    (event) => event.kind === kind && suits(event as EventOf<K>),
  );
  expect(index).toBeGreaterThan(0);
  const event = trace.events[index] as EventOf<K>;
  const changed = { ...event, ...change(event) } as TraceEvent;
  return {
    trace: { ...trace, events: [...trace.events.slice(0, index), changed] },
    number: index + 1,
  };
}

const any = (): boolean => true;

async function expectFound<K extends Kind>(
  of: ComparisonClass,
  kind: K,
  suits: (event: EventOf<K>) => boolean,
  change: (event: EventOf<K>) => object,
): Promise<TraceReport> {
  const tampered = tamper(await fixture("linux612-legacy-strict"), kind, suits, change);
  const report = replayTrace(tampered.trace);
  expect(isClean(report)).toBe(false);
  expect(report[of].different).toBeGreaterThanOrEqual(1);
  expect(report.firstDifference).toMatchObject({ event: tampered.number, class: of });
  return report;
}

describe("a changed event is a difference", () => {
  const allowed = (event: EventOf<"dma">): boolean => event.result.ok;
  const recorded = (event: EventOf<"dma">): boolean => event.frcd.length > 0;

  it("address of an allowed request", async () => {
    await expectFound("dma", "dma", allowed, ({ result }) => ({
      result: { ...result, gpa: (result as { gpa: bigint }).gpa ^ 0x1000n },
    }));
  });

  it("requester", async () => {
    await expectFound("dma", "dma", allowed, () => ({ sid: 0x00f8 }));
  });

  it("reason of a denied request", async () => {
    await expectFound("dma", "dma", recorded, ({ result }) => ({
      result: { ...result, fault: 0x04 },
    }));
  });

  it("decision about a request", async () => {
    await expectFound("dma", "dma", recorded, () => ({
      result: { ok: true, gpa: 0n, mask: 0xfffn, perm: 3 },
    }));
    await expectFound("dma", "dma", allowed, () => ({
      result: { ok: false, fault: 0x05, disabled: false, cached: false },
    }));
    await expectFound("dma", "dma", allowed, () => ({
      result: { ok: false, fault: undefined, disabled: false, cached: true },
    }));
  });

  it("range of an answer that is smaller than a page of the table", async () => {
    await expectFound("dma", "dma", allowed, ({ result }) => ({
      result: { ...result, mask: 0xffn },
    }));
  });

  it("message of an interrupt", async () => {
    await expectFound("irq", "irq", any, () => ({
      result: { ok: true, message: { address: 0xfee0_1008n, data: 0x4030 } },
    }));
  });

  it("any bit of a fault record but the excepted ones", async () => {
    for (const bit of [0n, 15n, 16n, 27n, 28n, 29n, 30n, 31n, 32n, 39n, 60n, 61n, 62n]) {
      await expectFound("frcd", "dma", recorded, ({ frcd: [record] }) => ({
        frcd: [{ ...record!, high: record!.high ^ (1n << bit) }],
      }));
    }
    await expectFound("frcd", "dma", recorded, ({ frcd: [record] }) => ({
      frcd: [{ ...record!, low: record!.low ^ 0x1000n }],
    }));
  });

  it("a fault record that is missing, or one too many", async () => {
    await expectFound("frcd", "dma", recorded, () => ({ frcd: [] }));
    await expectFound("frcd", "dma", allowed, () => ({ frcd: [{ index: 0, high: 0n, low: 0n }] }));
  });

  it("message of the unit", async () => {
    await expectFound("msi", "dma", recorded, ({ msi: [message] }) => ({
      msi: [{ ...message!, data: message!.data ^ 1 }],
    }));
    await expectFound("msi", "dma", recorded, ({ msi: [message] }) => ({
      msi: [{ ...message!, address: message!.address | (1n << 40n) }],
    }));
    await expectFound("msi", "dma", recorded, () => ({ msi: [] }));
  });

  it("status word", async () => {
    const writing = (event: EventOf<"mmio-write">): boolean => event.writes.length > 0;
    await expectFound("memWrite", "mmio-write", writing, ({ writes: [write] }) => ({
      writes: [{ ...write!, bytes: Uint8Array.of(3, 0, 0, 0) }],
    }));
    await expectFound("memWrite", "mmio-write", writing, ({ writes: [write] }) => ({
      writes: [{ ...write!, address: write!.address + 4n }],
    }));
    await expectFound("memWrite", "mmio-write", writing, () => ({ writes: [] }));
  });

  it("register that the guest read", async () => {
    await expectFound("mmioRead", "mmio-read", any, ({ value }) => ({ value: value ^ 1n }));
    const inRecord = (event: EventOf<"mmio-read">): boolean => event.offset === 0x22c;
    for (const bit of [0n, 7n, 28n, 29n, 30n, 31n]) {
      await expectFound("mmioRead", "mmio-read", inRecord, ({ value }) => ({
        value: value ^ (1n << bit),
      }));
    }
  });

  it("register block at the end", async () => {
    await expectFound("registers", "registers", any, ({ values }) => ({
      values: new Map(values).set(0x20, 0x1000n),
    }));
    await expectFound("registers", "registers", any, ({ values }) => ({
      values: new Map(values).set(0xff8, 1n),
    }));
  });
});

describe("a missing event is noticed", () => {
  const without = (trace: Trace, drop: (event: TraceEvent) => boolean): Trace => ({
    ...trace,
    events: trace.events.filter((event) => !drop(event)),
  });

  it("register writes that enable translation, remapping or the queue", async () => {
    const trace = await fixture("linux612-legacy-strict");
    for (const offset of [0x18, 0x20, 0x90, 0xb8]) {
      const report = replayTrace(
        without(trace, (event) => event.kind === "mmio-write" && event.offset === offset),
      );
      expect(isClean(report), `offset ${offset}`).toBe(false);
    }
  });

  it("memory that the reference read: the unit reads zeros and says so", async () => {
    const trace = await fixture("linux612-legacy-strict");
    const first = trace.events.findIndex((event) => event.kind === "irq");
    const blind = { ...trace.events[first]!, reads: [] };
    const report = replayTrace({ ...trace, events: trace.events.with(first, blind) });
    expect(report.unknownReads).toEqual({
      count: expect.any(Number) as number,
      first: "0x1200010",
    });
    expect(report.firstDifference).toMatchObject({ event: first + 1, class: "irq" });
  });
});
