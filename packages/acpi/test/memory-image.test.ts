import { describe, expect, it } from "vitest";
import {
  buildDmar,
  buildMadt,
  findTables,
  layoutTables,
  parseDmar,
  parseMadt,
} from "../src/index.ts";
import type { ReadMemory, TableImage } from "../src/index.ts";
import { fixture, fromHex, resealed, toHex } from "./bytes.ts";
import { fullDmar, fullMadt } from "./machines.ts";

const dmar = buildDmar(fullDmar, fullMadt);
const madt = buildMadt(fullMadt);

/** Memory that holds nothing but these pieces. */
const memory =
  (...pieces: readonly Pick<TableImage, "base" | "bytes">[]): ReadMemory =>
  (address, length) => {
    for (const { base, bytes } of pieces) {
      const from = address - base;
      if (from >= 0 && from + length <= bytes.length) return bytes.subarray(from, from + length);
    }
    return undefined;
  };

const at = (image: TableImage, address: number, length: number): string =>
  toHex(image.bytes.subarray(address - image.base, address - image.base + length));

describe("ACPI 5.2.5 to 5.2.8, tables in memory", () => {
  const image = layoutTables(0xe_0000, [madt, dmar]);

  it("start with a root pointer of revision 2 whose both checksums are right", () => {
    expect(image.rsdp).toBe(0xe_0000);
    const pointer = image.bytes.subarray(0, 36);
    const sum = (bytes: Uint8Array): number => bytes.reduce((a, b) => a + b, 0) % 256;
    expect(toHex(pointer.subarray(0, 8))).toBe("5253442050545220");
    expect(toHex(pointer.subarray(9, 16))).toBe("56494f4d4d5502");
    expect(toHex(pointer.subarray(20, 24))).toBe("24000000");
    expect(sum(pointer.subarray(0, 20))).toBe(0);
    expect(sum(pointer)).toBe(0);
  });

  it("are found through the XSDT, and through the RSDT when there is no XSDT", () => {
    const { tables, problems } = findTables(memory(image), image.rsdp);
    expect(problems).toEqual([]);
    expect(tables.map(({ signature }) => signature)).toEqual(["APIC", "DMAR"]);
    expect(parseMadt(tables[0]!.bytes).table.entries).toEqual(fullMadt.entries);
    expect(parseDmar(tables[1]!.bytes).table.structures).toEqual(fullDmar.structures);

    const old = Uint8Array.from(image.bytes);
    old.set([old[8]! + 2, ...old.subarray(9, 15), 0], 8); // revision 0
    expect(findTables(memory({ base: image.base, bytes: old }), image.rsdp)).toEqual({
      tables,
      problems: [],
    });
  });

  it("lie at multiples of 16, not over each other", () => {
    const { tables } = findTables(memory(image), image.rsdp);
    const [first, second] = tables;
    expect(first!.address % 16).toBe(0);
    expect(second!.address % 16).toBe(0);
    expect(first!.address).toBeGreaterThanOrEqual(image.rsdp + 36);
    expect(second!.address).toBeGreaterThanOrEqual(first!.address + first!.bytes.length);
    expect(at(image, second!.address, dmar.length)).toBe(toHex(dmar));
  });

  it("have no RSDT above 4 GiB, where it can't point to", () => {
    const high = layoutTables(0x1_0000_0000, [dmar]);
    expect(at(high, high.rsdp + 16, 4)).toBe("00000000");
    const { tables, problems } = findTables(memory(high), high.rsdp);
    expect(problems).toEqual([]);
    expect(tables.map(({ address }) => address)).toEqual([0x1_0000_0030]);
  });

  it.each<[string, number, readonly Uint8Array[], string]>([
    ["a base", 0xe_0008, [dmar], "base 0xe0008 is no multiple of 16; align it"],
    ["no address", -16, [dmar], "base -0x10 is no multiple of 16; align it"],
    [
      "a part of a table",
      0,
      [madt, dmar.subarray(0, 20)],
      "table 1 has 20 bytes, but length 0 or its checksum is wrong",
    ],
    [
      "a wrong checksum",
      0,
      [Uint8Array.from(dmar).fill(0, 9, 10)],
      `table 0 has ${dmar.length} bytes, but length ${dmar.length} or its checksum is wrong`,
    ],
  ])("are refused with %s that can't be", (_, base, tables, message) => {
    expect(() => layoutTables(base, tables)).toThrow(
      expect.objectContaining({
        code: "ERR_VIOMMU_ACPI_PLACEMENT",
        message: expect.stringContaining(message) as string,
      }),
    );
  });
});

describe("the root tables of a real q35 guest", () => {
  const rsdp = { base: 0xf_59e0, bytes: fixture("q35-rsdp") };
  const rsdt = { base: 0x0ffe_22ff, bytes: fixture("q35-rsdt") };
  const guest = [
    rsdp,
    rsdt,
    { base: 0x0ffe_217b, bytes: fixture("q35-madt") },
    { base: 0x0ffe_226f, bytes: fixture("q35-dmar") },
  ];

  it("lead to its DMAR and MADT; what was not saved is reported", () => {
    const { tables, problems } = findTables(memory(...guest), rsdp.base);
    expect(tables.map(({ signature, address }) => [signature, address])).toEqual([
      ["APIC", 0x0ffe_217b],
      ["DMAR", 0x0ffe_226f],
    ]);
    expect(problems.map(({ offset, text }) => [offset, text])).toEqual(
      [0x0ffe_2087, 0x0ffe_21fb, 0x0ffe_2233, 0x0ffe_22d7].map((a) => [a, "no memory there"]),
    );
  });
});

describe("damaged root tables", () => {
  const image = layoutTables(0x1000, [dmar]);
  const damage = (offset: number, ...bytes: number[]): ReadMemory => {
    const copy = Uint8Array.from(image.bytes);
    copy.set(bytes, offset);
    return memory({ base: image.base, bytes: copy });
  };
  const xsdt = new DataView(image.bytes.buffer).getUint32(24, true);

  it.each<[string, ReadMemory, string]>([
    ["no memory", memory(), "RSDP at byte 0x0: only 0 bytes; give the address of a root pointer"],
    [
      "another signature",
      damage(0, 0x58),
      'RSDP at byte 0x0: the signature is "XSD PTR "; give the address of a root pointer',
    ],
    [
      "no XSDT where it should be",
      damage(30, 1),
      `XSDT at byte 0x100000000${xsdt.toString(16)}: no memory there; give the guest's whole memory`,
    ],
    [
      "another table in its place",
      damage(xsdt - 0x1000, 0x58, 0x58),
      'XSDT at byte 0x0: the signature is "XXDT"; give a table with "XSDT"',
    ],
  ])("%s: can't be read", (_, read, message) => {
    expect(() => findTables(read, 0x1000)).toThrow(
      expect.objectContaining({
        code: "ERR_VIOMMU_ACPI",
        message,
      }),
    );
  });

  it("a root pointer cut off after its first 20 bytes can't be read", () => {
    const cut = memory({ base: 0x1000, bytes: image.bytes.subarray(0, 20) });
    expect(() => findTables(cut, 0x1000)).toThrow("RSDP at byte 0x14: revision 2 has 36 bytes");
  });

  it("wrong checksums are reported with their addresses", () => {
    const { tables, problems } = findTables(damage(8, image.bytes[8]! ^ 1), 0x1000);
    expect(tables).toHaveLength(1);
    expect(problems.map(({ offset, structure }) => [offset, structure])).toEqual([
      [0x1008, "RSDP"],
      [0x1020, "RSDP"],
    ]);
    const entry = damage(tables[0]!.address - 0x1000 + 20, 0xff);
    expect(
      findTables(entry, 0x1000).problems.map(({ offset, structure }) => [offset, structure]),
    ).toEqual([[tables[0]!.address, "DMAR"]]);
  });

  it("a table longer than memory is given as far as its header", () => {
    const { tables, problems } = findTables(damage(0x30 + 4, 0xff, 0xff), 0x1000);
    expect(tables[0]!.bytes.length).toBe(36);
    expect(problems).toEqual([
      { offset: 0x1030, structure: "DMAR", text: "length 65535, but 36 bytes could be read" },
    ]);
  });

  it("no more than 256 tables are read, no more than a megabyte of each", () => {
    const header = fromHex("58534454 00000000 01 00").values();
    const entries = 300;
    const bytes = new Uint8Array(36 + 8 * entries);
    bytes.set([...header]);
    for (let i = 0; i < entries; i++) bytes.set([0, 0x10], 36 + 8 * i);
    const asked: number[] = [];
    const image2 = { base: 0x9000, bytes: resealed(bytes) };
    const pointer = Uint8Array.from(image.bytes.subarray(0, 36));
    pointer.set([0, 0x90], 24);
    const huge = Uint8Array.from(image.bytes.subarray(0, 36));
    huge.fill(0xff, 4, 8);
    const all = memory({ base: 0x8000, bytes: pointer }, image2, { base: 0x1000, bytes: huge });
    const read: ReadMemory = (address, length) => {
      asked.push(length);
      return all(address, length);
    };
    const { tables, problems } = findTables(read, 0x8000);
    expect(tables).toHaveLength(256);
    expect(Math.max(...asked)).toBeLessThan(0x10_0000);
    expect(problems.map(({ text }) => text)).toContain("300 tables; only the first 256 are read");
  });
});
