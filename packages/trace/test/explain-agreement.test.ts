import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { describe, expect, it } from "vitest";
import { explainDma } from "../src/explain-dma.ts";
import { explainIrq } from "../src/explain-irq.ts";
import { ExplainedTables } from "../src/explain-tables.ts";
import type { Trace } from "../src/format.ts";
import { readTrace } from "../src/reader.ts";
import { Replayer } from "../src/replayer.ts";
import { createReplayUnit, profileOf } from "../src/replay-unit.ts";
import { corpusFiles, FIXTURES, fixture } from "./fixture.ts";

/** Of the requests that are allowed, each tenth is explained. */
const EVERY = 10;

/** Explains requests of a trace; returns those where the walk and the unit disagree. */
function disagreements({ header, events }: Trace): string[] {
  const replayer = new Replayer(header, createReplayUnit);
  const { context } = replayer;
  const { capabilities, hostAddressWidth } = profileOf(header);
  const found: string[] = [];
  for (const event of events) {
    const isRequest = event.kind === "dma" || event.kind === "irq";
    if (isRequest && (!event.result.ok || event.line % EVERY === 0)) {
      context.memory.storeReads(event.reads);
      const tables = new ExplainedTables(context.memory, capabilities, hostAddressWidth);
      const { request, verdict, unit, agrees } =
        event.kind === "dma"
          ? explainDma(event, context, tables)
          : explainIrq(event, context, tables);
      if (!agrees) found.push(`line ${event.line}: ${request}: ${verdict} against ${unit ?? ""}`);
    }
    replayer.perform(event);
  }
  return found;
}

describe("the walk of an explanation and the unit come to the same end", () => {
  it.each(FIXTURES)("%s", async (name) => {
    expect(disagreements(await fixture(name))).toEqual([]);
  });

  const corpus = corpusFiles();
  it.runIf(corpus.length > 0).each(corpus.map((file) => [basename(file), file]))(
    "%s",
    async (_, file) => {
      expect(disagreements(await readTrace(await readFile(file)))).toEqual([]);
    },
  );
});
