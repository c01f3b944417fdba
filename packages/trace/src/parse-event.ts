import { Access, NO_PASID } from "@viommu/plugin";
import type {
  DeniedResult,
  DmaEvent,
  EventBase,
  IrqEvent,
  MemoryBytes,
  MmioEvent,
  RegistersEvent,
  TraceEvent,
  TraceHeader,
} from "./format.ts";
import { Members } from "./members.ts";
import type { Json } from "./members.ts";

/** Letters of `access` and `result.perm`. */
const ACCESS_LETTERS: Readonly<Record<string, number>> = {
  none: Access.NONE,
  r: Access.READ,
  w: Access.WRITE,
  rw: Access.ATOMIC,
};

type Parser = (members: Members, base: EventBase, header: TraceHeader) => TraceEvent;

const PARSERS: Readonly<Record<string, Parser>> = {
  reset: (_, base) => ({ kind: "reset", ...base }),
  "mmio-read": (members, base) => mmio("mmio-read", members, base),
  "mmio-write": (members, base) => mmio("mmio-write", members, base),
  dma,
  irq,
  registers,
  other: (_, base) => ({ kind: "other", ...base }),
};

/** Reads one line after the header. Throws ERR_VIOMMU_TRACE_EVENT with the line and the member. */
export function parseEvent(line: number, json: Json, header: TraceHeader): TraceEvent {
  const kinds = Object.fromEntries(Object.entries(PARSERS).map(([kind]) => [kind, kind]));
  const kind = new Members(line, json, "event").oneOf("e", kinds);
  const members = new Members(line, json, kind);
  const base: EventBase = {
    line,
    reads: memoryBytes(members, "reads"),
    writes: memoryBytes(members, "writes"),
    frcd: members.tuples("frcd", 3).map((tuple) => ({
      index: tuple.integer("0", 0, 255),
      high: tuple.hex("1"),
      low: tuple.hex("2"),
    })),
    msi: members
      .tuples("msi", 2)
      .map((tuple) => ({ address: tuple.hex("0"), data: tuple.number("1") })),
  };
  return PARSERS[kind]!(members, base, header);
}

function memoryBytes(members: Members, name: string): MemoryBytes[] {
  return members
    .tuples(name, 2)
    .map((tuple) => ({ address: tuple.hex("0"), bytes: tuple.bytes("1") }));
}

function mmio(kind: MmioEvent["kind"], members: Members, base: EventBase): MmioEvent {
  const size = members.raw("size");
  if (size !== 4 && size !== 8) return members.refuse("size", "give 4 or 8");
  const value = members.hex("value", 8 * size);
  return { kind, ...base, offset: members.number("offset"), size, value };
}

function dma(members: Members, base: EventBase): DmaEvent {
  const index = members.has("index") ? members.raw("index") : 0;
  if (index !== 0 && index !== 1) return members.refuse("index", "give 1, or leave it out");
  const hasPasid = members.has("pasid") && members.raw("pasid") !== null;
  const result = members.object("result");
  return {
    kind: "dma",
    ...base,
    sid: members.sourceId("sid"),
    pasid: hasPasid ? members.number("pasid", 20) : NO_PASID,
    iova: members.hex("iova"),
    access: members.oneOf("access", ACCESS_LETTERS),
    index,
    result: result.boolean("ok")
      ? {
          ok: true,
          gpa: result.hex("gpa"),
          mask: result.hex("mask"),
          perm: result.oneOf("perm", ACCESS_LETTERS),
        }
      : denied(result),
  };
}

function irq(members: Members, base: EventBase, header: TraceHeader): IrqEvent {
  const sid = members.raw("sid") === null ? null : members.sourceId("sid");
  if (sid === null && header.ioapic === undefined) {
    return members.refuse("sid", "give a source-id, or `ioapic` in the header");
  }
  const result = members.object("result");
  const message = (): IrqEvent["result"] => ({
    ok: true,
    message: result.has("addr")
      ? { address: result.hex("addr"), data: result.number("data") }
      : null,
  });
  return {
    kind: "irq",
    ...base,
    sid,
    addr: members.hex("addr"),
    data: members.number("data"),
    result: result.boolean("ok") ? message() : denied(result),
  };
}

function denied(result: Members): DeniedResult {
  return {
    ok: false,
    fault: result.has("fault") ? result.number("fault", 8) : undefined,
    disabled: result.has("disabled") && result.boolean("disabled"),
    cached: result.has("cached") && result.boolean("cached"),
  };
}

function registers(members: Members, base: EventBase): RegistersEvent {
  const values = new Map<number, bigint>();
  for (const [offset, value] of members.hexMap("values")) {
    if (offset % 8n !== 0n || offset >= 1n << 32n) {
      return members.refuse("values", "give offsets of 8-byte groups");
    }
    values.set(Number(offset), value);
  }
  return { kind: "registers", ...base, values };
}
