import { readdirSync, readFileSync } from "node:fs";
import { createMemory } from "@viommu/memory";
import { describe, expect, it } from "vitest";
import {
  ConformanceError,
  dmaRemapperConformance,
  guestMemoryConformance,
  interruptRemapperConformance,
  interruptSinkConformance,
  runConformance,
} from "../src/index.ts";
import type { Check } from "../src/index.ts";
import { handleHarness, HandleRemapper } from "./handle-remapper.ts";
import { pageMapHarness, PageMapRemapper } from "./page-map-remapper.ts";

const ranges = [{ base: 0, size: 0x1000, readOnly: true }];
const memorySuite = guestMemoryConformance(() => ({
  memory: createMemory({ regions: ranges }),
  ranges,
}));
const sinkSuite = interruptSinkConformance(() => ({
  sink: { deliver: () => undefined },
  cpus: [
    { apicId: 0, logicalId: 1 },
    { apicId: 1, logicalId: 2 },
  ],
  x2apic: false,
  delivered: () => [],
}));
const SUITES: Readonly<Record<string, readonly Check[]>> = {
  GuestMemory: memorySuite,
  DmaRemapper: dmaRemapperConformance(() => pageMapHarness(new PageMapRemapper())),
  InterruptRemapper: interruptRemapperConformance(() => handleHarness(new HandleRemapper())),
  InterruptSink: sinkSuite,
};

/** The doc comments of the ports as running text. */
const contract = (() => {
  const folder = new URL("../../plugin/src/ports/", import.meta.url);
  const sources = readdirSync(folder).map((name) => readFileSync(new URL(name, folder), "utf8"));
  return sources.join("\n").replaceAll(/\s+(\/?\*+\/?\s+)?/g, " ");
})();

describe.each(Object.entries(SUITES))("the suite of %s", (_port, checks) => {
  it("gives every check a name of its own", () => {
    expect(new Set(checks.map(({ name }) => name)).size).toBe(checks.length);
  });

  it.each(checks.map(({ sentence }) => [sentence]))("proves what the port says: %s", (sentence) => {
    expect(contract).toContain(sentence);
  });
});

describe("a finding", () => {
  it("says what was done, expected and seen, and which rule was broken", () => {
    const { failed } = runConformance(sinkSuite);
    expect(failed.find(({ name }) => name.startsWith("a broadcast"))?.message).toBe(
      "delivery mode 0, vector 0x46, edge, physical destination 0xff: " +
        "expected delivery to APIC id 0, 1, saw no APIC id. " +
        'The rule: InterruptSink.deliver: "`messageAddress` 19:12 destination 7:0, ' +
        '3 redirection hint, 2 logical mode"',
    );
  });

  it("is a ConformanceError, whatever the implementation throws", () => {
    const broken = new RangeError("broken");
    const [check] = interruptSinkConformance(() => ({
      sink: {
        deliver: () => {
          throw broken;
        },
      },
      cpus: [{ apicId: 0, logicalId: 0 }],
      x2apic: true,
      delivered: () => [],
    }));
    const seen = "RangeError: broken";
    expect(check!.run).toThrow(ConformanceError);
    expect(check!.run).toThrow(expect.objectContaining({ seen, cause: broken }));
  });
});

describe("runConformance", () => {
  it("counts what passed and lists what failed", () => {
    const checks = [
      ...memorySuite,
      {
        name: "never passes",
        chapterOrPort: "none",
        sentence: "",
        run: () => {
          throw new Error("why");
        },
      },
    ];
    expect(runConformance(checks)).toEqual({
      passed: memorySuite.length,
      failed: [{ name: "never passes", message: "why" }],
    });
  });
});
