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
import { permissionTrace } from "./host-permission-trace.ts";

/** Of the requests that are allowed, each tenth is explained. */
const EVERY = 10;

/** Explains requests of a trace; returns those where the walk and the unit disagree, and all reasons. */
function explained({ header, events }: Trace): { found: string[]; reasons: Set<string> } {
  const replayer = new Replayer(header, createReplayUnit);
  const { context } = replayer;
  const { capabilities, hostAddressWidth } = profileOf(header);
  const found: string[] = [];
  const reasons = new Set<string>();
  for (const event of events) {
    const isRequest = event.kind === "dma" || event.kind === "irq";
    if (isRequest && (!event.result.ok || event.line % EVERY === 0)) {
      context.memory.storeReads(event.reads);
      const tables = new ExplainedTables(context.memory, capabilities, hostAddressWidth);
      const { request, verdict, fault, unit, agrees } =
        event.kind === "dma"
          ? explainDma(event, context, tables)
          : explainIrq(event, context, tables);
      reasons.add(fault?.code ?? "none");
      if (!agrees) found.push(`line ${event.line}: ${request}: ${verdict} against ${unit ?? ""}`);
    }
    replayer.perform(event);
  }
  return { found, reasons };
}

const disagreements = (trace: Trace): string[] => explained(trace).found;

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

  it.each([
    [1, 52, true],
    [2, 52, false],
    [3, 48, true],
  ])("translated requests under host permission tables, seed %i", async (seed, width, zlr) => {
    const options = { addressWidth: width, zeroLengthReads: zlr };
    const { found, reasons } = explained(await permissionTrace(seed, options));
    expect(found).toEqual([]);
    const denials = ["0x60", "0xa0", "0xa1", "0xa2", ...(zlr ? ["0xa3"] : []), "0xa4", "0xa5"];
    const others = ["0x48", "0x49", "0x83", "0x87", "none"];
    expect([...reasons]).toEqual(expect.arrayContaining([...denials, ...others]));
  });
});
