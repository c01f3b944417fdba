import { describe, expect, it } from "vitest";
import { wrap } from "../src/text.ts";
import { changedFixture, command, FIXTURE, withFolder, wrongAddress } from "./command.ts";

describe("replay, for people", () => {
  it("shows classes, deviations with their reason, and a verdict", async () => {
    const { code, out } = await command("replay", FIXTURE);
    expect(code).toBe(0);
    expect(out).toMatch(/^linux612-legacy-strict: 6,828 events \(Linux 6\.12\.100 .* on QEMU /);
    expect(out).toMatch(/DMA requests +│ +3,751 │ 3,751 │ +0 │ +0 │/);
    expect(out).toContain("  accepted 7 x fault-record-pasid-field\n    VT-d 11.4.7.6 ");
    expect(out).toMatch(/\nOK: 1 recorded guest, 6,811 comparisons: .* 0 different \(0\.5 s\)\n$/);
    expect(Math.max(...out.split("\n").map((line) => line.length))).toBeLessThanOrEqual(125);
  });

  it("shows the first difference and fails", async () => {
    await withFolder(async (folder) => {
      const file = changedFixture(folder, wrongAddress);
      const { code, out } = await command("replay", file);
      expect(code).toBe(1);
      expect(out).toMatch(/ {2}first difference: event \d+ \(line \d+\), DMA requests\n/);
      expect(out).toMatch(/expected 0x123000, r.*\n +actual +0x[0-9a-f]+, r/);
      expect(out).toMatch(/\nFAILED: 1 recorded guest, .* 1 different /);
    });
  });
});

describe("explain", () => {
  it("shows a walk with its entries and the end", async () => {
    const { code, out } = await command("explain", FIXTURE, "--event", "5002");
    expect(code).toBe(0);
    expect(out).toContain("linux612-legacy-strict, event 5002 (line 5003, dma)\n");
    expect(out).toMatch(/context entry of 00:04\.0 at 0x[0-9a-f]+ \(VT-d 9\.3\)/);
    expect(out).toMatch(/ AW +0x2 +address width, bits 48\n/);
    expect(out).toContain("fault reason READ_DENIED: VT-d 7.1.3");
    expect(out).toContain("\nthe unit: the same\n");
  });

  it("gives the same as one JSON object", async () => {
    const { code, out } = await command("explain", FIXTURE, "--event", "5002", "--json");
    expect(code).toBe(0);
    expect(out.trim().split("\n")).toHaveLength(1);
    expect(JSON.parse(out)).toMatchObject({
      trace: "linux612-legacy-strict",
      event: 5002,
      line: 5003,
      kind: "dma",
      fault: { code: "0x06", name: "READ_DENIED", chapter: "7.1.3" },
      agrees: true,
    });
  });
});

describe("wrap", () => {
  it("breaks between words and never inside one", () => {
    expect(wrap("one two three", 9, "  ")).toBe("  one two\n  three");
    expect(wrap("extraordinary", 5, "  ")).toBe("  extraordinary");
  });
});
