import { comparison } from "./comparison.ts";
import type { Comparison } from "./comparison.ts";
import { explainBits } from "./deviations.ts";
import type { MemoryBytes, Message, RecordedFault } from "./format.ts";
import type { WrittenRecord } from "./fault-record-watch.ts";
import { RECORD_F } from "./record-bits.ts";
import type { ReplayContext } from "./replay-context.ts";
import { hex, listText, messageText, writesText } from "./text.ts";
import type { CapturedWrite, TraceMemory } from "./trace-memory.ts";

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
 * words (`ordered`) must agree in address, bytes and order. Flags in table entries must leave the
 * same bytes behind, in whatever pieces and order they were written.
 */
export function compareWrites(
  expected: readonly MemoryBytes[],
  actual: readonly CapturedWrite[],
  memory: TraceMemory,
  ordered: boolean,
): Comparison | undefined {
  const wanted = expected.filter(
    (write): write is MemoryBytes & { bytes: Uint8Array } => write.bytes !== null,
  );
  if (wanted.length === 0 && actual.length === 0) return undefined;
  const same = sameSequence(wanted, actual) || (!ordered && sameResult(wanted, actual, memory));
  return comparison("memWrite", same ? [] : undefined, writesText(wanted), writesText(actual));
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

/** The bytes that memory holds afterwards. */
function sameResult(
  wanted: readonly Write[],
  actual: readonly CapturedWrite[],
  memory: TraceMemory,
): boolean {
  const want = new Map<bigint, number>();
  for (const { address, before } of [...actual].reverse()) {
    for (const [at, byte] of singleBytes({ address, bytes: before })) want.set(at, byte);
  }
  for (const [at, byte] of wanted.flatMap(singleBytes)) want.set(at, byte);
  return [...want].every(([at, byte]) => memory.peek(at, 1)[0] === byte);
}
