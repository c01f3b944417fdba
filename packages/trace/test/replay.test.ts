import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { describe, expect, it } from "vitest";
import { COMPARISON_CLASSES } from "../src/comparison.ts";
import { openTrace, readTrace } from "../src/reader.ts";
import { isClean, replayStream, replayTrace } from "../src/report.ts";
import { packTrace } from "../src/writer.ts";
import { corpusFiles, fixture } from "./fixture.ts";

describe("replay of the shipped guests", () => {
  it("finds no difference on a legacy-mode guest, and reads nothing unknown", async () => {
    const report = replayTrace(await fixture("linux612-legacy-strict"));
    expect(report).toEqual({
      name: "linux612-legacy-strict",
      events: 6828,
      dma: { total: 3751, equal: 3751, accepted: 0, different: 0 },
      irq: { total: 2486, equal: 2486, accepted: 0, different: 0 },
      mmioRead: { total: 26, equal: 22, accepted: 4, different: 0 },
      memWrite: { total: 543, equal: 543, accepted: 0, different: 0 },
      msi: { total: 2, equal: 2, accepted: 0, different: 0 },
      frcd: { total: 2, equal: 0, accepted: 2, different: 0 },
      registers: { total: 1, equal: 0, accepted: 1, different: 0 },
      deviations: [
        {
          name: "fault-record-pasid-field",
          count: 7,
          why: expect.stringMatching(/^VT-d 11\.4\.7\.6 /) as string,
        },
      ],
    });
    expect(isClean(report)).toBe(true);
  });

  it("finds no difference on a guest with 32-bit APIC ids", async () => {
    const report = replayTrace(await fixture("linux612-eim-apic-300"));
    expect(isClean(report)).toBe(true);
    expect(report.deviations.map(({ name, count }) => [name, count])).toEqual([
      ["fault-record-pasid-field", 2],
      ["upper-message-address-ignored", 2],
    ]);
    expect(report).not.toHaveProperty("unknownReads");
  });

  it("gives the same report twice", async () => {
    const trace = await fixture("linux612-legacy-strict");
    expect(replayTrace(trace)).toEqual(replayTrace(trace));
  });

  it("gives the same report while the trace is read", async () => {
    const trace = await fixture("linux612-eim-apic-300");
    const steps: number[] = [];
    const stream = await openTrace(await packTrace(trace));
    const report = await replayStream(stream, { onProgress: (done) => steps.push(done) });
    expect(report).toEqual(replayTrace(trace));
    expect(steps).toEqual(trace.events.map((_, i) => i + 1));
  });

  it("tells its progress after each event", async () => {
    const trace = await fixture("linux612-eim-apic-300");
    const steps: number[] = [];
    replayTrace(trace, { onProgress: (done) => steps.push(done) });
    expect(steps).toEqual(trace.events.map((_, i) => i + 1));
  });
});

const corpus = corpusFiles();

describe.runIf(corpus.length > 0)("replay of the corpus", () => {
  it.each(corpus.map((file) => [basename(file), file]))("%s", async (_, file) => {
    const report = replayTrace(await readTrace(await readFile(file)));
    expect(report.firstDifference).toBeUndefined();
    expect(report.unknownReads).toBeUndefined();
    for (const name of COMPARISON_CLASSES) {
      const { total, equal, accepted, different } = report[name];
      expect(equal + accepted).toBe(total);
      expect(different).toBe(0);
    }
  });
});
