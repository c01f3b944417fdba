import { comparison } from "./comparison.ts";
import type { Comparison } from "./comparison.ts";
import { DEVIATIONS, explainBits } from "./deviations.ts";
import type { MemoryBytes, Message, RecordedFault, TraceEvent } from "./format.ts";
import type { WrittenRecord } from "./fault-record-watch.ts";
import { RECORD_F } from "./record-bits.ts";
import type { ReplayContext } from "./replay-context.ts";
import { hex, listText, messageText, writesText } from "./text.ts";
import type { CapturedWrite } from "./trace-memory.ts";

/** Compares the fault records that an event wrote; undefined when neither side wrote one. */
export function compareRecords(
  expected: readonly RecordedFault[],
  actual: readonly WrittenRecord[],
  context: ReplayContext,
): Comparison | undefined {
  if (expected.length === 0 && actual.length === 0) return undefined;
  const wanted = expected.map(({ index, high, low }) => ({
    index,
    record: (high << 64n) | low | RECORD_F,
  }));
  const names = eachPair(wanted, actual, (want, have) =>
    want.index === have.index
      ? explainBits(
          want.record ^ have.record,
          ({ recordBits }) => recordBits?.(want.record, have.record, context) ?? 0n,
        )
      : undefined,
  );
  const text = (records: readonly WrittenRecord[]): string =>
    listText(records.map(({ index, record }) => `FRCD[${index}] ${hex(record, 32)}`));
  return comparison("frcd", names, text(wanted), text(actual));
}

/** Compares the messages that the unit itself sent; undefined when there are none. */
export function compareMessages(
  expected: readonly Message[],
  actual: readonly Message[],
  context: ReplayContext,
): Comparison | undefined {
  if (expected.length === 0 && actual.length === 0) return undefined;
  const names = eachPair(expected, actual, (want, have) =>
    want.data === have.data
      ? explainBits(
          want.address ^ have.address,
          ({ messageBits }) => messageBits?.(want, have, context) ?? 0n,
        )
      : undefined,
  );
  const text = (messages: readonly Message[]): string => listText(messages.map(messageText));
  return comparison("msi", names, text(expected), text(actual));
}

/**
 * Compares what an event wrote to guest memory; undefined when neither side wrote anything. Status
 * words must agree in address, bytes and order. Flags in table entries must leave the same bytes
 * behind, in whatever pieces and order they were written. `names` are deviations that have led here.
 */
export function compareWrites(
  event: TraceEvent,
  actual: readonly CapturedWrite[],
  context: ReplayContext,
  names: readonly string[] = [],
): Comparison | undefined {
  const wanted = event.writes.filter(
    (write): write is MemoryBytes & { bytes: Uint8Array } => write.bytes !== null,
  );
  if (wanted.length === 0 && actual.length === 0) return undefined;
  let found: readonly string[] | undefined = names;
  if (!sameSequence(wanted, actual)) {
    // Status words are written in queue order; flags in table entries in any.
    found = event.kind === "mmio-write" ? undefined : explainFlags(event, wanted, actual, context);
  }
  return comparison("memWrite", found, writesText(wanted), writesText(actual));
}

/** The names of all pairs together; undefined when one pair, or the number of items, differs. */
function eachPair<W, H>(
  wanted: readonly W[],
  actual: readonly H[],
  explain: (want: W, have: H) => readonly string[] | undefined,
): string[] | undefined {
  if (wanted.length !== actual.length) return undefined;
  const names = new Set<string>();
  for (let i = 0; i < wanted.length; i += 1) {
    const explained = explain(wanted[i]!, actual[i]!);
    if (explained === undefined) return undefined;
    for (const name of explained) names.add(name);
  }
  return [...names];
}

interface Write {
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/** Byte by byte in order, so that a word may be written in pieces. */
function sameSequence(wanted: readonly Write[], actual: readonly Write[]): boolean {
  const want = wanted.flatMap(singleBytes);
  const have = actual.flatMap(singleBytes);
  return (
    want.length === have.length &&
    want.every(([at, byte], i) => at === have[i]![0] && byte === have[i]![1])
  );
}

function singleBytes({ address, bytes }: Write): [bigint, number][] {
  return Array.from(bytes, (byte, i) => [address + BigInt(i), byte]);
}

/** Names for the bytes that differ afterwards; what is explained becomes as the reference left it. */
function explainFlags(
  event: TraceEvent,
  wanted: readonly Write[],
  actual: readonly CapturedWrite[],
  context: ReplayContext,
): readonly string[] | undefined {
  const { memory } = context;
  const before = new Map<bigint, number>();
  for (const { address, before: bytes } of [...actual].reverse()) {
    for (const [at, byte] of singleBytes({ address, bytes })) before.set(at, byte);
  }
  const want = new Map([...before, ...wanted.flatMap(singleBytes)]);
  const names = new Set<string>();
  for (const [at, expected] of want) {
    const byte = memory.peek(at, 1)[0]!;
    if (byte === expected) continue;
    const flag = { address: at, before: before.get(at) ?? byte, expected, actual: byte };
    const found = DEVIATIONS.find((deviation) => deviation.flags?.(flag, event, context));
    if (found === undefined) return undefined;
    names.add(found.name);
    memory.storeWrites([{ address: at, bytes: Uint8Array.of(expected) }]);
  }
  return [...names];
}
