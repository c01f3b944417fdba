import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findTables, parseDmar, parseMadt } from "@viommu/acpi";
import { hiFromNumber, loFromNumber } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { loadGuest, REFERENCE_GUEST } from "../src/config/file.ts";
import { dmarOf, madtOf } from "../src/machine/acpi-tables.ts";
import { assembleMachine } from "../src/machine/machine.ts";
import { command, withFolder } from "./command.ts";
import { changed, guestConfig } from "./guests.ts";

const REAL_TABLE = fileURLToPath(
  new URL("../../../packages/acpi/test/fixtures/q35-dmar.bin", import.meta.url),
);

describe("viommu dmar <file>", () => {
  it("decodes the table of a real q35 guest", async () => {
    const { code, out } = await command("dmar", REAL_TABLE);
    expect(code).toBe(0);
    expect(out).toMatch(/^DMAR, \d+ bytes by BOCHS BXPC: host addresses of \d+ bits, INTR_REMAP\n/);
    expect(out).toContain("\nDRHD unit at 0xfed90000, 4 KiB of registers, segment 0");
    expect(out).toMatch(/\n {2}IOAPIC 0 at [0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\n/);
    expect(out).toMatch(/\nOK: no problem\n$/);
  });

  it("gives the same as one JSON object", async () => {
    const { code, out } = await command("dmar", REAL_TABLE, "--json");
    expect(code).toBe(0);
    expect(out.trim().split("\n")).toHaveLength(1);
    expect(JSON.parse(out)).toMatchObject({
      ok: true,
      length: readFileSync(REAL_TABLE).length,
      table: { flags: ["INTR_REMAP"], structures: [{ type: "DRHD", segment: 0 }] },
      problems: [],
    });
  });

  it("tells what is wrong with a damaged table, and exits with 1", async () => {
    await withFolder(async (folder) => {
      const file = join(folder, "dmar");
      const bytes = readFileSync(REAL_TABLE);
      bytes[48] = 9; // type of the first structure
      writeFileSync(file, bytes);
      const text = await command("dmar", file);
      expect(text.code).toBe(1);
      expect(text.out).toMatch(/\nUNKNOWN type 9, \d+ bytes:\s[0-9a-f]+\n/);
      expect(text.out).toMatch(/\nPROBLEM at byte 0x9, DMAR: the bytes sum up to /);
      expect(text.out).toMatch(/\nFAILED: \d+ problems\n$/);
      const json = await command("dmar", file, "--json");
      expect(json.code).toBe(1);
      const { ok, problems, table } = JSON.parse(json.out) as {
        ok: boolean;
        problems: { offset: number; structure: string; text: string }[];
        table: { structures: { bytes: string }[] };
      };
      expect(ok).toBe(false);
      expect(problems[0]).toEqual(expect.objectContaining({ structure: "DMAR" }));
      expect(table.structures[0]!.bytes).toMatch(/^[0-9a-f]+$/);
    });
  });

  it("refuses what is no DMAR table", async () => {
    await withFolder(async (folder) => {
      const file = join(folder, "dmar");
      writeFileSync(file, "no table at all, but long enough for one, is it not?");
      const { code, out, err } = await command("dmar", file, "--json");
      expect({ code, out }).toEqual({ code: 2, out: "" });
      expect(err).toMatch(/^viommu: ERR_VIOMMU_ACPI: .*signature.*\n$/);
    });
  });
});

describe("viommu dmar --config", () => {
  it("shows the table of the reference guest", async () => {
    const { code, out } = await command("dmar", "--config", REFERENCE_GUEST);
    expect(code).toBe(0);
    expect(out).toContain(`DRHD unit at 0xfed90000, 4 KiB of registers, segment 0
  PCI_ENDPOINT at 00:02.0
  PCI_ENDPOINT at 00:03.0
  PCI_ENDPOINT at 00:04.0
  PCI_ENDPOINT at 00:08.0
  IOAPIC 0 at ff:00.0
DRHD unit at 0xfed91000, 4 KiB of registers, segment 0, INCLUDE_PCI_ALL
  IOAPIC 1 at ff:01.0
OK: no problem
`);
  });

  it("writes bytes that decode to the same", async () => {
    await withFolder(async (folder) => {
      const file = join(folder, "dmar");
      const built = await command("dmar", "--config", REFERENCE_GUEST, "--out", file, "--json");
      const decoded = await command("dmar", file, "--json");
      expect(decoded).toEqual(built);
      expect(parseDmar(readFileSync(file)).problems).toEqual([]);
    });
  });

  it("a guest without a unit has no table", async () => {
    await withFolder(async (folder) => {
      const file = join(folder, "guest.yaml");
      writeFileSync(
        file,
        changed(["includeAll: true", "includeAll: true"]).replace(
          /units:[^]*?ioapics:/,
          "ioapics:",
        ),
      );
      const { code, err } = await command("dmar", "--config", file);
      expect(code).toBe(2);
      expect(err).toMatch(
        /ERR_VIOMMU_CONFIG_RULE: .*no remapping unit, and so no DMAR table; add units/,
      );
    });
  });

  it.each<[string, string[]]>([
    ["neither file nor configuration", []],
    ["both", [REAL_TABLE, "--config", REFERENCE_GUEST]],
    ["a file to write without a configuration", [REAL_TABLE, "--out", "/tmp/x"]],
  ])("%s is wrong usage", async (_, args) => {
    const { code, out, err } = await command("dmar", ...args);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toMatch(/^viommu: ERR_VIOMMU_USAGE: .*\n$/);
  });

  it("a place where nothing can be written", async () => {
    const out = "/no/such/folder/dmar";
    const { code, err } = await command("dmar", "--config", REFERENCE_GUEST, "--out", out);
    expect(code).toBe(2);
    expect(err).toMatch(/ERR_VIOMMU_FILE: \/no\/such\/folder\/dmar: .*give another file/);
  });
});

describe("what firmware leaves in memory", () => {
  it("is DMAR and MADT of the configuration, at the end of low memory", async () => {
    const config = await loadGuest(REFERENCE_GUEST);
    const { memory, firmware } = assembleMachine(config);
    const read = (address: number, length: number): Uint8Array | undefined => {
      const bytes = new Uint8Array(length);
      return memory.readBytes(hiFromNumber(address), loFromNumber(address), bytes)
        ? bytes
        : undefined;
    };
    const { tables, problems } = findTables(read, firmware.rsdp);
    expect(problems).toEqual([]);
    const [madt, dmar] = tables;
    expect(parseMadt(madt!.bytes)).toMatchObject({ table: madtOf(config), problems: [] });
    expect(parseDmar(dmar!.bytes)).toMatchObject({ table: dmarOf(config), problems: [] });
    const { base, size } = firmware.usable[0]!;
    expect(firmware.rsdp).toBe(base + size);
  });

  it("has scopes of devices behind bridges as paths", () => {
    const config = guestConfig(
      ["ioapics:", 'bridges:\n  - { name: port0, address: "00:1c.3", buses: 05-06 }\nioapics:'],
      ["includeAll: true", "includeAll: false"],
      ["[ioapic0]", "[ioapic0, port0, nic0, disk0, timer0]"],
      ['"00:02.0"', '"05:1f.7"'],
    );
    const [unit] = dmarOf(config)!.structures;
    expect(unit).toMatchObject({
      scopes: [
        { type: "PCI_SUB_HIERARCHY", startBus: 0, path: [{ device: 0x1c, function: 3 }] },
        {
          type: "PCI_ENDPOINT",
          startBus: 0,
          path: [
            { device: 0x1c, function: 3 },
            { device: 0x1f, function: 7 },
          ],
        },
        { type: "PCI_ENDPOINT", startBus: 0, path: [{ device: 3, function: 0 }] },
        { type: "PCI_ENDPOINT", startBus: 0, path: [{ device: 4, function: 0 }] },
        { type: "IOAPIC", enumerationId: 0, startBus: 0xff, path: [{ device: 0, function: 0 }] },
      ],
    });
  });
});
