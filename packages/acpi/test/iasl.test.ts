import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildDmar, buildMadt, findTables, layoutTables } from "../src/index.ts";
import { fullDmar, fullMadt } from "./machines.ts";

const IASL = process.env.IASL ?? "iasl";
const probe = spawnSync(IASL, ["-v"], { encoding: "utf8" });
const version = Number(/version (\d{8})/.exec(probe.stdout)?.[1] ?? 0);

/** The first iasl that knows SATC and SIDP; older ones stop at them. */
const KNOWS_SATC_AND_SIDP = 20_250_404;

/** Debian package acpica-tools; another iasl is taken from the environment variable IASL. */
describe.skipIf(version === 0)(`iasl ${version} takes the tables apart without a warning`, () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "viommu-acpi-"));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  function disassemble(name: string, table: Uint8Array): string {
    writeFileSync(join(folder, `${name}.dat`), table);
    const run = spawnSync(IASL, ["-d", `${name}.dat`], { cwd: folder, encoding: "utf8" });
    expect(run.status).toBe(0);
    const source = readFileSync(join(folder, `${name}.dsl`), "utf8");
    expect(run.stdout + run.stderr + source).not.toMatch(/warning|error|unknown|invalid/i);
    return source;
  }

  const old = fullDmar.structures.filter(({ type }) => type !== "SATC" && type !== "SIDP");
  const dmar = buildDmar(
    version < KNOWS_SATC_AND_SIDP ? { ...fullDmar, structures: old } : fullDmar,
  );
  const madt = buildMadt(fullMadt);

  it("DMAR with everything in it", () => {
    const source = disassemble("dmar", dmar);
    expect(source.match(/Hardware Unit Definition/g)).toHaveLength(3);
    expect(source).toContain('"\\_SB.PCI0.I2C0"');
    expect(/SATC|SoC Integrated/.test(source)).toBe(version >= KNOWS_SATC_AND_SIDP);
    expect(source).toMatch(/PCI Path : 1C,00\s+.*PCI Path : 00,00\s+.*PCI Path : 03,01/);
  });

  it("MADT with everything in it", () => {
    const source = disassemble("madt", madt);
    expect(source.match(/\[Processor Local x2APIC\]/g)).toHaveLength(1);
    expect(source.match(/\[Interrupt Source Override\]/g)).toHaveLength(2);
  });

  it("RSDT and XSDT", () => {
    const image = layoutTables(0xe_0000, [dmar, madt]);
    const { tables } = findTables((address, length) => {
      const from = address - image.base;
      return image.bytes.subarray(from, from + length);
    }, image.rsdp);
    const view = new DataView(image.bytes.buffer);
    for (const [name, field] of [
      ["rsdt", 16],
      ["xsdt", 24],
    ] as const) {
      const from = view.getUint32(field, true) - image.base;
      const source = disassemble(
        name,
        image.bytes.subarray(from, from + view.getUint32(from + 4, true)),
      );
      const addresses = [...source.matchAll(/ACPI Table Address +\d+ : ([0-9A-F]+)/g)];
      expect(addresses.map(([, hex]) => parseInt(hex!, 16))).toEqual(
        tables.map(({ address }) => address),
      );
    }
  });
});
