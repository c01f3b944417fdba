import { NO_PASID } from "@viommu/plugin";
import type { EventBase, MemoryBytes, Trace, TraceEvent, TraceHeader } from "./format.ts";
import { gzip } from "./gunzip.ts";
import { FORMAT, VERSION } from "./parse-header.ts";
import { accessLetters, bytesText, hex } from "./text.ts";

type Members = Record<string, unknown>;

/** A trace as text: one JSON object a line, the header first. */
export function writeTrace({ header, events }: Trace): string {
  const lines = [headerMembers(header, events), ...events.map(eventMembers)];
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

/** A trace as a gzip file. */
export function packTrace(trace: Trace): Promise<Uint8Array> {
  return gzip(writeTrace(trace));
}

function headerMembers(header: TraceHeader, events: readonly TraceEvent[]): Members {
  const counts: Record<string, number> = {};
  for (const { kind } of events) counts[kind] = (counts[kind] ?? 0) + 1;
  const { unit, devices, ioapic, ...rest } = header;
  return {
    format: FORMAT,
    version: VERSION,
    ...rest,
    unit: {
      base: hex(unit.base),
      cap: hex(unit.cap),
      ecap: hex(unit.ecap),
      ver: hex(unit.ver),
      options: unit.addressWidth === undefined ? {} : { "aw-bits": unit.addressWidth },
    },
    devices: devices.map(({ sid, name }) => ({ sid: hex(sid, 4), name })),
    ioapic: ioapic && { id: ioapic.id, sid: hex(ioapic.sid, 4) },
    events: counts,
  };
}

function eventMembers(event: TraceEvent): Members {
  return { e: event.kind, ...ownMembers(event), ...commonMembers(event), ...resultOf(event) };
}

function ownMembers(event: TraceEvent): Members {
  switch (event.kind) {
    case "mmio-read":
    case "mmio-write":
      return { offset: hex(event.offset), size: event.size, value: hex(event.value) };
    case "dma":
      return {
        sid: hex(event.sid, 4),
        pasid: event.pasid === NO_PASID ? null : hex(event.pasid),
        iova: hex(event.iova),
        access: accessLetters(event.access),
        ...(event.index === 1 && { index: 1 }),
      };
    case "irq":
      return {
        sid: event.sid === null ? null : hex(event.sid, 4),
        addr: hex(event.addr),
        data: hex(event.data),
      };
    case "registers":
      return {
        values: Object.fromEntries([...event.values].map(([at, value]) => [hex(at), hex(value)])),
      };
    case "reset":
    case "other":
      return {};
  }
}

function commonMembers({ reads, writes, frcd, msi }: EventBase): Members {
  const memory = ({ address, bytes }: MemoryBytes): unknown => [
    hex(address),
    bytes && bytesText(bytes),
  ];
  return {
    ...list("reads", reads.map(memory)),
    ...list("writes", writes.map(memory)),
    ...list(
      "frcd",
      frcd.map(({ index, high, low }) => [index, hex(high), hex(low)]),
    ),
    ...list(
      "msi",
      msi.map(({ address, data }) => [hex(address), hex(data)]),
    ),
  };
}

/** An empty list is left out. */
function list(name: string, values: readonly unknown[]): Members {
  return values.length === 0 ? {} : { [name]: values };
}

function resultOf(event: TraceEvent): Members {
  if (event.kind !== "dma" && event.kind !== "irq") return {};
  const { result } = event;
  if (!result.ok) {
    const { fault, disabled, cached } = result;
    return {
      result: {
        ok: false,
        ...(fault !== undefined && { fault: hex(fault, 2) }),
        ...(disabled && { disabled }),
        ...(cached && { cached }),
      },
    };
  }
  if ("gpa" in result) {
    const { gpa, mask, perm } = result;
    return { result: { ok: true, gpa: hex(gpa), mask: hex(mask), perm: accessLetters(perm) } };
  }
  const { message } = result;
  const delivered = message && { addr: hex(message.address), data: hex(message.data) };
  return { result: { ok: true, ...delivered } };
}
