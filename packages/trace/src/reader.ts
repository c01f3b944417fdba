import { ViommuError } from "@viommu/plugin";
import type { Trace, TraceEvent, TraceHeader } from "./format.ts";
import { gunzip, isGzip } from "./gunzip.ts";
import { isObject, shorten } from "./members.ts";
import { parseEvent } from "./parse-event.ts";
import { FORMAT, parseHeader } from "./parse-header.ts";

/** A trace that is read while it is used: its events come one by one, once. */
export interface TraceStream {
  readonly header: TraceHeader;
  /** Number of events that the header announces; 0 where it does not say. */
  readonly announced: number;
  readonly events: AsyncIterable<TraceEvent>;
}

/**
 * Reads a trace, gzip-compressed or plain. Throws ERR_VIOMMU_TRACE_FORMAT (no trace at all),
 * ERR_VIOMMU_TRACE_VERSION, ERR_VIOMMU_TRACE_TRUNCATED (damaged gzip, a cut line, or fewer events
 * than the header announces), ERR_VIOMMU_TRACE_EVENT (a wrong line: number, member, value, remedy).
 */
export async function readTrace(bytes: Uint8Array): Promise<Trace> {
  const stream = await openTrace(bytes);
  const events: TraceEvent[] = [];
  for await (const event of stream.events) events.push(event);
  return { header: stream.header, events };
}

/**
 * Reads the header of a trace; its events are read when they are asked for, so that a long recording
 * needs little memory. Throws as {@link readTrace} does, about the events while they are read.
 */
export async function openTrace(bytes: Uint8Array): Promise<TraceStream> {
  const lines = splitLines(isGzip(bytes) ? gunzip(bytes) : [bytes]);
  const first = await lines.next();
  if (first.done === true) {
    throw new ViommuError("ERR_VIOMMU_TRACE_FORMAT", "the file is empty; give a viommu trace");
  }
  const { header, announced } = parseHeader(parseLine(first.value, 0));
  const total = [...announced.values()].reduce((sum, count) => sum + count, 0);
  return { header, announced: total, events: eventsOf(lines, header, announced) };
}

async function* eventsOf(
  lines: AsyncIterable<Line>,
  header: TraceHeader,
  announced: ReadonlyMap<string, number>,
): AsyncGenerator<TraceEvent> {
  const counts = new Map<string, number>();
  let index = 1;
  for await (const line of lines) {
    const json = parseLine(line, index);
    index += 1;
    if (!isObject(json)) throw badLine(index, line.text);
    const event = parseEvent(index, json, header);
    counts.set(event.kind, (counts.get(event.kind) ?? 0) + 1);
    yield event;
  }
  for (const [kind, count] of announced) {
    const found = counts.get(kind) ?? 0;
    if (found >= count) continue;
    throw new ViommuError(
      "ERR_VIOMMU_TRACE_TRUNCATED",
      `the header announces ${count} "${kind}" events, the file has ${found}; copy the file again`,
    );
  }
}

/** A line of the file; the last one may lack its line end. */
interface Line {
  readonly text: string;
  readonly ended: boolean;
}

async function* splitLines(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Line> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop()!;
    for (const text of parts) yield { text, ended: true };
  }
  rest += decoder.decode();
  if (rest !== "") yield { text: rest, ended: false };
}

function parseLine({ text, ended }: Line, index: number): unknown {
  try {
    return JSON.parse(text);
  } catch {
    if (!ended && (index > 0 || text.includes(`"${FORMAT}"`))) {
      throw new ViommuError(
        "ERR_VIOMMU_TRACE_TRUNCATED",
        `line ${index + 1} ends after ${JSON.stringify(shorten(text))}; copy the file again`,
      );
    }
    if (index === 0) {
      throw new ViommuError(
        "ERR_VIOMMU_TRACE_FORMAT",
        `line 1 is ${JSON.stringify(shorten(text))}, no JSON header; give a viommu trace`,
      );
    }
    throw badLine(index + 1, text);
  }
}

function badLine(line: number, text: string): ViommuError {
  return new ViommuError(
    "ERR_VIOMMU_TRACE_EVENT",
    `line ${line} is ${JSON.stringify(shorten(text))}; each line holds one JSON object`,
  );
}
