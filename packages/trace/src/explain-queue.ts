import {
  DescriptorType,
  FSTS,
  INVALIDATION_DESCRIPTORS,
  InvalidationQueueError,
  IQA,
  Offset,
} from "@viommu/vtd-spec";
import { bits } from "@viommu/vtd-spec";
import type { DescriptorLayout, Layout } from "@viommu/vtd-spec";
import { hptInvalidationText } from "./explain-host-permission.ts";
import type { ExplainedTables, ReadEntry } from "./explain-tables.ts";
import { readRegister } from "./replay-unit.ts";
import type { ReplayUnit } from "./replay-unit.ts";
import { hex } from "./text.ts";

/** Where the invalidation queue lies and where the unit stands in it. */
export interface QueueState {
  readonly base: bigint;
  /** Bytes of the queue, and of one descriptor. */
  readonly length: number;
  readonly descriptor: number;
  /** Offset of the next descriptor. */
  readonly head: number;
}

const POINTER = 0x7_fff0n;

/** Reads IQA and IQH (VT-d 11.4.9). */
export function queueState(unit: ReplayUnit): QueueState {
  const address = readRegister(unit, Offset.IQA, 8);
  return {
    base: address & ~0xfffn,
    length: 4096 << Number(address & 7n),
    descriptor: (Number(address >> BigInt(bits(IQA, "DW").shift)) & 1) === 1 ? 32 : 16,
    head: Number(readRegister(unit, Offset.IQH, 8) & POINTER),
  };
}

/** Shows the descriptors from `before` up to `tail`, at most one round of the queue. */
export function showDescriptors(tables: ExplainedTables, before: QueueState, tail: number): number {
  let shown = 0;
  const most = before.length / before.descriptor;
  for (let at = before.head; at !== tail && shown < most; shown += 1) {
    showDescriptor(tables, before, at);
    at = (at + before.descriptor) % before.length;
  }
  return shown;
}

function showDescriptor(tables: ExplainedTables, queue: QueueState, offset: number): void {
  const address = queue.base + BigInt(offset);
  const first = tables.word(address) ?? 0n;
  const type = Number(((first >> 9n) & 7n) << 4n) | Number(first & 15n);
  const found = INVALIDATION_DESCRIPTORS.find((layout) => layout.type === type);
  const layout: Layout = found ?? unknownDescriptor(queue.descriptor * 8);
  const entry = tables.read(layout, `${layout.name} at queue offset ${hex(offset)}`, address);
  if (found === undefined) tables.note(`type ${hex(type)} is not defined`);
  else if (entry !== undefined) noteDescriptor(tables, queue, found, entry);
}

/** Says why a descriptor is invalid, and what one of host permissions is about (VT-d 11.4.9.9). */
function noteDescriptor(
  tables: ExplainedTables,
  queue: QueueState,
  { type, bits: width, requires, granularities }: DescriptorLayout,
  { fields, reserved }: ReadEntry<Layout>,
): void {
  const { G = 0n } = fields;
  if (requires !== undefined && tables.capabilities[requires] === 0) {
    tables.note(`the type is not offered: ${requires} is 0`);
  } else if (width > 8 * queue.descriptor) {
    tables.note(`${width} bits, in a queue of ${8 * queue.descriptor}-bit descriptors`);
  } else if (reserved) {
    tables.note("a reserved bit is set");
  } else if (granularities?.includes(Number(G)) === false) {
    tables.note(`granularity ${G} is reserved`);
  } else if (type === DescriptorType.HPT_CACHE) {
    tables.note(hptInvalidationText(tables, fields));
  }
}

function unknownDescriptor(width: number): Layout {
  return {
    name: "descriptor",
    chapter: "6.5.2",
    bits: width,
    fields: [{ name: "RAW", high: width - 1, low: 0, doc: "not decoded" }],
  };
}

/** What stopped the queue, in words; undefined while FSTS.IQE is 0 (VT-d 11.4.9.9). */
export function queueError(unit: ReplayUnit): string | undefined {
  const { shift } = bits(FSTS, "IQE");
  if (((readRegister(unit, Offset.FSTS, 4) >> BigInt(shift)) & 1n) === 0n) return undefined;
  const info = Number(readRegister(unit, Offset.IQERCD, 8) & 15n);
  const name = Object.entries(InvalidationQueueError).find(([, code]) => code === info)?.[0];
  return `the queue has stopped: FSTS.IQE, IQEI = ${info} (${name ?? "no information"})`;
}
