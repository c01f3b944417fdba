import { describe, expect, it } from "vitest";
import { changedFixture, FIXTURE, spawned, withFolder, wrongAddress } from "./command.ts";

const ONE_LINE = /^viommu: ERR_VIOMMU_[A-Z_]+: [^\n]+\n$/;

/** What other programs rely on, seen from outside. */
describe("viommu as a process", () => {
  it("exit 0 and one JSON object when all is well", () => {
    const { code, out, err } = spawned("replay", FIXTURE, "--json");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out.trim().split("\n")).toHaveLength(1);
    expect(JSON.parse(out)).toMatchObject({
      ok: true,
      traces: [
        {
          name: "linux612-legacy-strict",
          events: 6828,
          dma: { total: 3751, equal: 3751, accepted: 0, different: 0 },
          deviations: [{ name: "fault-record-pasid-field", count: 7 }],
        },
      ],
    });
  });

  it("exit 1 when something differs, with the first difference in the JSON", async () => {
    await withFolder((folder) => {
      const file = changedFixture(folder, wrongAddress);
      const { code, out, err } = spawned("replay", "--json", file);
      expect({ code, err }).toEqual({ code: 1, err: "" });
      const { ok, traces } = JSON.parse(out) as { ok: boolean; traces: unknown[] };
      expect(ok).toBe(false);
      expect(traces).toMatchObject([
        {
          dma: { different: 1 },
          firstDifference: {
            class: "dma",
            event: expect.any(Number) as number,
            line: expect.any(Number) as number,
          },
        },
      ]);
      return Promise.resolve();
    });
  });

  it("exit 2, one line on stderr, nothing on stdout, when a file can't be read", () => {
    const { code, out, err } = spawned("replay", "--json", FIXTURE, "/no/such/file");
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toMatch(ONE_LINE);
    expect(err).toContain("/no/such/file");
  });

  it("exit 2 and one line on stderr on wrong usage", () => {
    const { code, out, err } = spawned("replay", "--jsno", FIXTURE);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toMatch(ONE_LINE);
    expect(err).toContain("--jsno");
  });

  it("start replays the shipped guests and ends with a verdict", () => {
    const { code, out, err } = spawned("start");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toContain("linux612-legacy-strict: 6,828 events");
    expect(out).toContain("linux612-eim-apic-300: 9,333 events");
    expect(out.trim().split("\n").at(-1)).toMatch(
      /^OK: 2 recorded guests, 16,1\d\d comparisons: .* 0 different \(\d+\.\d s\)$/,
    );
  });
});
