import { describe, expect, it } from "vitest";
import { buildDmar, parseDmar, scopeSourceId } from "../src/index.ts";
import type { Dmar } from "../src/index.ts";
import { fixture, fromHex, toHex } from "./bytes.ts";
import { fullDmar, fullMadt, scope, specExample, unit } from "./machines.ts";

describe("VT-d 8.3.1.4, the example of the specification", () => {
  const bytes = fromHex(`
    444d4152 98000000 01 df 4f454d000000 4d4f44454c000000 02000000 4d414445 03000000
    2d 01 00000000000000000000
    0000 2000 00 00 0000 0000d9fe00000000  01 08 0000 00 00 04 00  01 08 0000 00 00 05 00
    0000 1800 00 00 0000 0010d9fe00000000  02 08 0000 00 00 07 00
    0000 2000 01 00 0000 0020d9fe00000000  03 08 0000 08 00 1f 07  04 08 0000 00 00 1f 06
    0500 1000 01 00 0000 01 08 0000 00 00 05 00`);

  it("is built byte for byte", () => {
    expect(bytes.length).toBe(152);
    expect(toHex(buildDmar(specExample))).toBe(toHex(bytes));
  });

  it("is read back without a problem", () => {
    expect(parseDmar(bytes)).toEqual({ table: specExample, problems: [] });
  });
});

describe("one unit for all, as Xen's vIOMMU had it", () => {
  const xen: Dmar = {
    hostAddressWidth: 39,
    flags: ["INTR_REMAP"],
    structures: [
      unit(0xfed9_0000, {
        flags: ["INCLUDE_PCI_ALL"],
        scopes: [scope("IOAPIC", 0xff, 0, 0, 1)],
      }),
    ],
  };

  it("takes 72 bytes: header, address width, flags, DRHD with one IOAPIC scope", () => {
    const bytes = buildDmar(xen);
    expect(bytes.length).toBe(72);
    expect(toHex(bytes.subarray(0, 9))).toBe("444d41524800000001");
    expect(toHex(bytes.subarray(36))).toBe(
      "26 01 00000000000000000000 0000 1800 01 00 0000 0000d9fe00000000 03 08 0000 01 ff 00 00".replaceAll(
        " ",
        "",
      ),
    );
  });
});

describe("the DMAR of a real q35 guest", () => {
  it.each(["q35-dmar", "q35-dmar-device-iotlb"])("%s is read, and built again the same", (name) => {
    const bytes = fixture(name);
    const { table, problems } = parseDmar(bytes);
    expect(problems).toEqual([]);
    expect(toHex(buildDmar(table))).toBe(toHex(bytes));
  });

  it("is the same as described by hand", () => {
    const devices = [
      scope("PCI_ENDPOINT", 0, 0, 0),
      scope("PCI_SUB_HIERARCHY", 0, 1, 0),
      scope("PCI_ENDPOINT", 0, 2, 0),
      scope("PCI_ENDPOINT", 0, 31, 0),
      scope("PCI_ENDPOINT", 0, 31, 2),
      scope("PCI_ENDPOINT", 0, 31, 3),
    ];
    const described: Dmar = {
      header: {
        revision: 1,
        oemId: "BOCHS ",
        oemTableId: "BXPC    ",
        oemRevision: 1,
        creatorId: "BXPC",
        creatorRevision: 1,
      },
      hostAddressWidth: 39,
      flags: ["INTR_REMAP"],
      structures: [
        unit(0xfed9_0000, { scopes: [scope("IOAPIC", 0xff, 0, 0, 0), ...devices] }),
        { type: "ATSR", flags: ["ALL_PORTS"], segment: 0, scopes: [] },
      ],
    };
    expect(toHex(buildDmar(described))).toBe(toHex(fixture("q35-dmar-device-iotlb")));
  });
});

describe("VT-d 8.2, all structures", () => {
  it("are written as the specification lays them out", () => {
    const body = toHex(buildDmar(fullDmar).subarray(36));
    const expected = `
      33 05 00000000000000000000
      0000 2c00 00 00 0000 0000d9fe00000000
        01 08 00 00 00 00 02 00   05 08 00 00 01 00 1e 04   02 0c 00 00 00 00 1c 00 00 00 03 01
      0000 2000 01 00 0000 0010d9fe00000000  03 08 00 00 02 f0 1f 00   04 08 00 00 00 00 1f 06
      0000 1000 01 01 0100 0080ffff0c000000
      0100 2000 0000 0000 0000007d00000000 ffff7f7f00000000   01 08 00 00 00 00 02 00
      0200 1000 00 00 0000   02 08 00 00 00 00 1c 00
      0200 0800 01 00 0100
      0300 1400 00000000 0000d9fe00000000 00000000
      0300 1400 00000000 0010d9fe00000000 00000000
      0300 1400 00000000 0080ffff0c000000 01000080
      0400 1700 000000 01 5c5f53422e504349302e4932433000
      0500 1000 00 00 0000   01 08 00 00 00 00 02 00
      0600 1800 0000 0000   01 08 18 00 00 00 02 00   05 08 01 00 01 00 1e 04`;
    expect(body).toBe(toHex(fromHex(expected)));
  });

  it("are read back, next to the MADT of the machine", () => {
    const { table, problems } = parseDmar(buildDmar(fullDmar, fullMadt), fullMadt);
    expect(problems).toEqual([]);
    expect(table.structures).toEqual(fullDmar.structures);
  });

  it("of a later specification are kept, with a note", () => {
    const known = unit(0xfed9_0000, { flags: ["INCLUDE_PCI_ALL"] });
    const later = { type: "UNKNOWN", code: 9, bytes: fromHex("0102030405") } as const;
    const laterScope = { type: "UNKNOWN", code: 0x77, bytes: fromHex("00000003") } as const;
    const dmar: Dmar = {
      hostAddressWidth: 48,
      flags: [],
      structures: [{ ...known, scopes: [laterScope] }, later],
    };
    const { table, problems } = parseDmar(buildDmar(dmar));
    expect(table.structures).toEqual(dmar.structures);
    expect(problems).toEqual([
      {
        offset: 64,
        structure: "DRHD",
        text: "device scope type 0x77 is not known; kept as it is",
      },
      {
        offset: 70,
        structure: "DMAR",
        text: "remapping structure type 0x9 is not known; kept as it is",
      },
    ]);
  });
});

describe("VT-d 8.3.1, the source-id of a scope", () => {
  it("is bus, device and function of a path of one step", () => {
    expect(scopeSourceId(scope("IOAPIC", 0xf0, 31, 7))).toBe(0xf0ff);
  });

  it("follows the secondary bus numbers of the bridges on the path", () => {
    const asked: number[] = [];
    const nested = {
      ...scope("PCI_ENDPOINT", 0, 28, 0),
      path: [
        { device: 28, function: 0 },
        { device: 0, function: 1 },
        { device: 3, function: 2 },
      ],
    };
    const sourceId = scopeSourceId(nested, (bridge) => {
      asked.push(bridge);
      return asked.length + 4;
    });
    expect(asked).toEqual([0x00e0, 0x0501]);
    expect(sourceId).toBe(0x061a);
  });

  it("of several steps needs a way to ask the bridges", () => {
    const behind = scope("PCI_ENDPOINT", 0, 28, 0);
    const nested = { ...behind, path: [...behind.path, ...behind.path] };
    expect(() => scopeSourceId(nested)).toThrow(
      expect.objectContaining({ code: "ERR_VIOMMU_ACPI_VALUE" }),
    );
  });
});
