import { writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { changedFixture, command, FIXTURE, withFolder } from "./command.ts";

describe("wrong usage", () => {
  it.each<[string, string[], RegExp]>([
    ["no command", [], /ERR_VIOMMU_USAGE: no command given/],
    ["an unknown command", ["relpay"], /ERR_VIOMMU_USAGE: .*relpay/],
    [
      "an unknown option",
      ["replay", "--fast", FIXTURE],
      /ERR_VIOMMU_USAGE: unknown option '--fast'/,
    ],
    ["no file", ["replay"], /ERR_VIOMMU_USAGE: missing required argument 'trace'/],
    ["no event", ["explain", FIXTURE], /ERR_VIOMMU_USAGE: required option '--event <N>'/],
    ["an event that is no number", ["explain", FIXTURE, "--event", "x"], /ERR_VIOMMU_USAGE: .*'x'/],
    [
      "an event too many",
      ["explain", FIXTURE, "--event", "6829"],
      /ERR_VIOMMU_TRACE_NUMBER: .*6829/,
    ],
    ["event 0", ["explain", FIXTURE, "--event", "0"], /ERR_VIOMMU_TRACE_NUMBER: .*1 to 6,?828/],
    [
      "two files to explain",
      ["explain", FIXTURE, FIXTURE, "--event", "1"],
      /ERR_VIOMMU_USAGE: too/,
    ],
  ])("%s", async (_, args, message) => {
    for (const json of [[], ["--json"]]) {
      if (args.length === 0 && json.length > 0) continue;
      const { code, out, err } = await command(...args, ...json);
      expect({ code, out }).toEqual({ code: 2, out: "" });
      expect(err).toMatch(message);
      expect(err.split("\n")).toHaveLength(2);
    }
  });

  it("help is no error", async () => {
    for (const args of [["--help"], ["help"], ["replay", "--help"], ["help", "explain"]]) {
      const { code, out, err } = await command(...args);
      expect({ code, err }, args.join(" ")).toEqual({ code: 0, err: "" });
      expect(out).toMatch(/^Usage: viommu/);
    }
  });
});

describe("unreadable input", () => {
  const expectRefused = async (file: string, message: RegExp): Promise<void> => {
    for (const args of [
      ["replay", file],
      ["replay", file, "--json"],
      ["explain", file, "--event", "1"],
    ]) {
      const { code, out, err } = await command(...args);
      expect({ code, out }).toEqual({ code: 2, out: "" });
      expect(err).toMatch(message);
      expect(err).toContain(`${file}: `);
      expect(err.split("\n")).toHaveLength(2);
    }
  };

  it("a missing file and a folder", async () => {
    await expectRefused("/no/such/trace", /ERR_VIOMMU_FILE: .*there is no such file; give a trace/);
    await expectRefused("/", /ERR_VIOMMU_FILE: .*it is a folder; give a trace file/);
  });

  it("a foreign, a cut, a newer and a wrong file", async () => {
    await withFolder(async (folder) => {
      const file = join(folder, "trace");
      writeFileSync(file, "hello\n");
      await expectRefused(file, /ERR_VIOMMU_TRACE_FORMAT/);
      const whole = await readFile(FIXTURE);
      writeFileSync(file, whole.subarray(0, whole.length / 2));
      await expectRefused(file, /ERR_VIOMMU_TRACE_TRUNCATED/);
      const newer = changedFixture(folder, (text) => text.replace('"version":1', '"version":2'));
      await expectRefused(newer, /ERR_VIOMMU_TRACE_VERSION: .*"version" is 2/);
      const wrong = changedFixture(folder, (text) => text.replace('"e":"dma"', '"e":"DMA"'));
      await expectRefused(wrong, /ERR_VIOMMU_TRACE_EVENT: .*event\.e is "DMA"/);
    });
  });

  it("a trace of a unit that VT-d does not allow", async () => {
    await withFolder(async (folder) => {
      const cap = '"cap":"0x80d2008c222f0606"';
      const file = changedFixture(folder, (text) => text.replace(cap, '"cap":"0x0"'));
      const { code, out, err } = await command("replay", file);
      expect({ code, out }).toEqual({ code: 2, out: "" });
      expect(err).toMatch(/ERR_VIOMMU_PROFILE: /);
    });
  });
});
