import { describe, expect, it } from "vitest";
import { buildMadt, parseMadt, processorEntry } from "../src/index.ts";
import type { Madt, MadtEntry } from "../src/index.ts";
import { fixture, fromHex, toHex } from "./bytes.ts";
import { fullMadt } from "./machines.ts";

describe("ACPI 5.2.12, all entries", () => {
  it("are written as the specification lays them out", () => {
    const bytes = buildMadt(fullMadt);
    const expected = `
      0000e0fe 01000000
      00 08 00 00 01000000
      00 08 01 02 02000000
      09 10 0000 1f010000 01000000 1f010000
      01 0c 02 00 0000c0fe 00000000
      02 0a 00 00 02000000 0000
      02 0a 00 09 09000000 0f00
      03 08 0500 17000000
      04 06 ff 0000 01
      0a 0c 0000 ffffffff 01 000000
      05 0c 0000 0000e0fe00000000`;
    expect(toHex(bytes.subarray(0, 4))).toBe("41504943");
    expect(toHex(bytes.subarray(36))).toBe(toHex(fromHex(expected)));
  });

  it("are read back", () => {
    const { table, problems } = parseMadt(buildMadt(fullMadt));
    expect(problems).toEqual([]);
    expect({ ...table, header: undefined }).toEqual({ ...fullMadt, header: undefined });
  });
});

describe("the MADT of a real q35 guest", () => {
  const header = {
    revision: 1,
    oemId: "BOCHS ",
    oemTableId: "BXPC    ",
    oemRevision: 1,
    creatorId: "BXPC",
    creatorRevision: 1,
  };
  const wired = { polarity: "CONFORMS", trigger: "CONFORMS" } as const;
  const common: MadtEntry[] = [
    { type: "IO_APIC", ioApicId: 0, address: 0xfec0_0000, interruptBase: 0 },
    { type: "INTERRUPT_SOURCE_OVERRIDE", bus: 0, source: 0, interrupt: 2, signal: wired },
    ...[5, 9, 10, 11].map((source): MadtEntry => ({
      type: "INTERRUPT_SOURCE_OVERRIDE",
      bus: 0,
      source,
      interrupt: source,
      signal: { polarity: "ACTIVE_HIGH", trigger: "LEVEL" },
    })),
  ];

  it.each(["q35-madt", "q35-madt-288"])("%s is read, and built again the same", (name) => {
    const bytes = fixture(name);
    const { table, problems } = parseMadt(bytes);
    expect(problems).toEqual([]);
    expect(toHex(buildMadt(table))).toBe(toHex(bytes));
  });

  it("with 2 processors is the same as described by hand", () => {
    const described: Madt = {
      header,
      localApicAddress: 0xfee0_0000,
      flags: ["PCAT_COMPAT"],
      entries: [
        processorEntry(0, 0),
        processorEntry(1, 1),
        ...common,
        { type: "LOCAL_APIC_NMI", uid: 0xff, signal: wired, lint: 1 },
      ],
    };
    expect(toHex(buildMadt(described))).toBe(toHex(fixture("q35-madt")));
  });

  it("with 288 processors has x2APIC entries from APIC id 255 up, as ours has", () => {
    const processors = Array.from({ length: 288 }, (_, id) =>
      processorEntry(id, id, id < 2 ? ["ENABLED"] : []),
    );
    const described: Madt = {
      header,
      localApicAddress: 0xfee0_0000,
      flags: ["PCAT_COMPAT"],
      entries: [
        ...processors,
        ...common,
        { type: "LOCAL_X2APIC_NMI", uid: 0xffff_ffff, signal: wired, lint: 1 },
      ],
    };
    expect(toHex(buildMadt(described))).toBe(toHex(fixture("q35-madt-288")));
  });
});

describe("ACPI 5.2.12.2 and 5.2.12.12, the entry of a processor", () => {
  it.each([
    [0, 0, "LOCAL_APIC"],
    [254, 254, "LOCAL_APIC"],
    [255, 4, "LOCAL_X2APIC"],
    [4, 255, "LOCAL_X2APIC"],
    [4095, 8190, "LOCAL_X2APIC"],
  ])("with UID %i and APIC id %i is a %s", (uid, apicId, type) => {
    expect(processorEntry(uid, apicId)).toEqual({ type, uid, apicId, flags: ["ENABLED"] });
  });

  it("is there 4,096 times in a large machine", () => {
    const entries = Array.from({ length: 4096 }, (_, id) => processorEntry(id, 2 * id));
    const madt: Madt = { localApicAddress: 0xfee0_0000, flags: [], entries };
    const bytes = buildMadt(madt);
    expect(bytes.length).toBe(44 + 128 * 8 + 3968 * 16);
    expect(parseMadt(bytes).table.entries).toEqual(entries);
  });
});
