import { ViommuError } from "@viommu/plugin";
import type { Trace, TraceEvent } from "./format.ts";
import { gunzip, isGzip } from "./gunzip.ts";
import { isObject, shorten } from "./members.ts";
import { parseEvent } from "./parse-event.ts";
import { FORMAT, parseHeader } from "./parse-header.ts";

/**
 * Reads a trace, gzip-compressed or plain. Throws ERR_VIOMMU_TRACE_FORMAT (no trace at all),
 * ERR_VIOMMU_TRACE_VERSION, ERR_VIOMMU_TRACE_TRUNCATED (damaged gzip, a cut line, or fewer events
 * than the header announces), ERR_VIOMMU_TRACE_EVENT (a wrong line: number, member, value, remedy).
 */
export async function readTrace(bytes: Uint8Array): Promise<Trace> {
  const lines = splitLines(isGzip(bytes) ? await gunzip(bytes) : [bytes]);
  if (lines.length === 0) {
    throw new ViommuError("ERR_VIOMMU_TRACE_FORMAT", "the file is empty; give a viommu trace");
  }
  const { header, announced } = parseHeader(parseLine(lines, 0));
  const events: TraceEvent[] = [];
  const counts = new Map<string, number>();
  for (let i = 1; i < lines.length; i += 1) {
    const json = parseLine(lines, i);
    if (!isObject(json)) throw badLine(i + 1, lines[i]!.text);
    const event = parseEvent(i + 1, json, header);
    events.push(event);
    counts.set(event.kind, (counts.get(event.kind) ?? 0) + 1);
  }
  for (const [kind, count] of announced) {
    const found = counts.get(kind) ?? 0;
    if (found >= count) continue;
    throw new ViommuError(
      "ERR_VIOMMU_TRACE_TRUNCATED",
      `the header announces ${count} "${kind}" events, the file has ${found}; copy the file again`,
    );
  }
  return { header, events };
}

/** A line of the file; the last one may lack its line end. */
interface Line {
  readonly text: string;
  readonly ended: boolean;
}

function splitLines(chunks: readonly Uint8Array[]): Line[] {
  const decoder = new TextDecoder();
  const lines: Line[] = [];
  let rest = "";
  for (const chunk of chunks) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop()!;
    for (const text of parts) lines.push({ text, ended: true });
  }
  rest += decoder.decode();
  if (rest !== "") lines.push({ text: rest, ended: false });
  return lines;
}

function parseLine(lines: readonly Line[], index: number): unknown {
  const { text, ended } = lines[index]!;
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
