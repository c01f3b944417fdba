import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { spawned, withFolder } from "./command.ts";
import { changed } from "./guests.ts";

/** What other programs rely on, seen from outside. */
describe("viommu run and dmar as processes", () => {
  it("run: exit 0 and one JSON object; the reference guest without an argument", () => {
    const { code, out, err } = spawned("run", "--json", "--seed", "5");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out.trim().split("\n")).toHaveLength(1);
    expect(JSON.parse(out)).toMatchObject({
      ok: true,
      name: "reference",
      seed: 5,
      vcpus: { count: 288 },
      interrupts: { sent: 20_000, served: 20_000 },
    });
  });

  it("run: exit 2, one line on stderr, nothing on stdout, for a guest that cannot work", async () => {
    await withFolder((folder) => {
      const file = join(folder, "guest.yaml");
      writeFileSync(file, changed(["eim: true", "eim: false"]));
      const { code, out, err } = spawned("run", file, "--json", "--vcpus", "300");
      expect({ code, out }).toEqual({ code: 2, out: "" });
      expect(err).toMatch(/^viommu: ERR_VIOMMU_CONFIG_RULE: [^\n]+:9:21: [^\n]+; [^\n]+\n$/);
      return Promise.resolve();
    });
  });

  it("dmar: exit 0 for a good table, 1 for a damaged one, one JSON object each", async () => {
    await withFolder((folder) => {
      const file = join(folder, "guest.yaml");
      const table = join(folder, "dmar");
      writeFileSync(file, changed());
      expect(spawned("dmar", "--config", file, "--out", table, "--json").code).toBe(0);
      const bytes = readFileSync(table);
      bytes[9]! ^= 1;
      writeFileSync(table, bytes);
      const { code, out, err } = spawned("dmar", table, "--json");
      expect({ code, err }).toEqual({ code: 1, err: "" });
      expect(JSON.parse(out)).toMatchObject({ ok: false, problems: [{ offset: 9 }] });
      return Promise.resolve();
    });
  });

  it("start: the reference guest comes first", () => {
    const { code, out } = spawned("start");
    expect(code).toBe(0);
    expect(out).toMatch(/^reference: 288 vCPUs \(x2apic, APIC ids up to 287\), /);
    expect(out).toMatch(/\nOK: every interrupt came once, [^\n]+\n\nlinux612-/);
  });
});
