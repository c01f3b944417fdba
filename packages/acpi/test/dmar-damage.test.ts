import { describe, expect, it } from "vitest";
import { buildDmar, parseDmar } from "../src/index.ts";
import type { Madt, Problem } from "../src/index.ts";
import { fixture, fromHex, patched, resealed } from "./bytes.ts";
import { fullDmar, fullMadt, specExample, unit } from "./machines.ts";

const sound = buildDmar(specExample);
const problemsOf = (bytes: Uint8Array): readonly Problem[] => parseDmar(bytes).problems;
const found = (offset: number, structure: string, text: string): Problem => ({
  offset,
  structure,
  text,
});

describe("VT-d 8.1, a damaged header", () => {
  it.each([
    ["nothing at all", new Uint8Array(0)],
    ["47 bytes", sound.subarray(0, 47)],
    ["another signature", patched(sound, 0, 0x58)],
    ["a length of 0", Uint8Array.from(sound).fill(0, 4, 8)],
    ["a length of 47", Uint8Array.from(sound).fill(47, 4, 5)],
  ])("%s can't be read: the error tells where", (_, bytes) => {
    expect(() => parseDmar(bytes)).toThrow(
      expect.objectContaining({
        name: "ViommuError",
        code: "ERR_VIOMMU_ACPI",
        message: expect.stringMatching(/^DMAR at byte 0x[0-9a-f]+: .+; give /) as string,
      }),
    );
  });

  it("reports a wrong checksum", () => {
    const bytes = Uint8Array.from(sound);
    bytes[30] = 0x45; // "MADE" becomes "MAEE"
    expect(problemsOf(bytes)).toEqual([found(9, "DMAR", "the bytes sum up to 0x1 instead of 0")]);
  });

  it("reports other than printable text", () => {
    expect(problemsOf(patched(sound, 10, 0x80))).toEqual([
      found(10, "DMAR", "the text holds other than printable ASCII"),
    ]);
  });

  it("reports another revision, reserved flags and reserved bytes", () => {
    expect(problemsOf(patched(sound, 8, 2))).toEqual([found(0, "DMAR", "revision 2 is not known")]);
    expect(problemsOf(patched(sound, 37, 0x91))).toEqual([
      found(37, "DMAR", "reserved bits 0x90 are set"),
    ]);
    expect(problemsOf(patched(sound, 47, 1))).toEqual([
      found(38, "DMAR", "reserved bytes are not 0"),
    ]);
  });

  it("reports an address width that no machine has", () => {
    expect(problemsOf(patched(sound, 36, 64))).toEqual([
      found(36, "DMAR", "value 0x40 is beyond 0x3f"),
    ]);
  });
});

describe("VT-d 8.2, damaged lengths", () => {
  it("reports a table cut off, and reads what is there", () => {
    const { table, problems } = parseDmar(sound.subarray(0, 100));
    expect(problems).toEqual([
      found(4, "DMAR", "length 152, but there are only 100 bytes"),
      found(80, "DMAR", "remapping structure of 24 bytes ends 4 bytes beyond the DMAR"),
      found(96, "DRHD", "device scope of 8 bytes ends 4 bytes beyond the DRHD"),
      found(96, "DRHD", "4 bytes are less than the 6 of a PCI_SUB_HIERARCHY"),
    ]);
    expect(table.structures).toHaveLength(2);
    expect(table.structures[0]).toEqual(specExample.structures[0]);
  });

  it("reports bytes behind the table", () => {
    const longer = new Uint8Array([...sound, 1, 2, 3]);
    expect(problemsOf(longer)).toEqual([found(4, "DMAR", "3 bytes after the table are left out")]);
  });

  it.each([0, 3])("stops at a structure of length %i", (length) => {
    const { table, problems } = parseDmar(patched(sound, 82, length));
    expect(problems).toEqual([
      found(
        80,
        "DMAR",
        `remapping structure with length ${length}, less than its own header: ` +
          "the last 72 bytes of the DMAR can't be read",
      ),
    ]);
    expect(table.structures).toEqual(specExample.structures.slice(0, 1));
  });

  it("reports a structure too short for its type, keeps its bytes and goes on", () => {
    const bytes = resealed(new Uint8Array([...sound, ...fromHex("0300 0800 00000000")]));
    const { table, problems } = parseDmar(bytes);
    expect(problems).toContainEqual(found(152, "DMAR", "8 bytes are less than the 20 of a RHSA"));
    expect(table.structures.at(-1)).toEqual({
      type: "UNKNOWN",
      code: 3,
      bytes: fromHex("00000000"),
    });
  });

  it("reports a structure longer than its type", () => {
    const affinity = fromHex("0300 1600 00000000 0000d9fe00000000 00000000 0000");
    expect(problemsOf(resealed(new Uint8Array([...sound, ...affinity])))).toContainEqual(
      found(172, "RHSA", "2 bytes more than a RHSA has"),
    );
  });

  it("reports bytes too few for a structure", () => {
    expect(problemsOf(resealed(new Uint8Array([...sound, 7, 0, 4])))).toEqual([
      found(152, "DMAR", "3 bytes left, too few for another remapping structure"),
    ]);
  });

  it("reports a scope beyond its structure", () => {
    expect(problemsOf(patched(sound, 145, 10))).toEqual([
      found(144, "SATC", "device scope of 10 bytes ends 2 bytes beyond the SATC"),
    ]);
  });

  it("reports a scope of length 0, and goes on with the next structure", () => {
    const { table, problems } = parseDmar(patched(sound, 65, 0));
    expect(problems).toEqual([
      found(
        64,
        "DRHD",
        "device scope with length 0, less than its own header: " +
          "the last 16 bytes of the DRHD can't be read",
      ),
    ]);
    expect(table.structures).toHaveLength(4);
  });
});

describe("VT-d 8.3, damaged values", () => {
  it.each([
    [52, 0x81, found(52, "DRHD", "reserved bits 0x80 are set")],
    [53, 0x10, found(53, "DRHD", "value 0x10 is beyond 0xf")],
    [57, 0x08, found(48, "DRHD", "register base 0xfed90800 is not aligned to 0x1000")],
    [
      61,
      0x40,
      found(48, "DRHD", "registers at 0x4000fed90000 are beyond the host address width 46"),
    ],
    [67, 1, found(67, "PCI_ENDPOINT", "reserved bytes are not 0")],
    [66, 0x20, found(66, "PCI_ENDPOINT", "reserved bits 0x20 are set")],
    [66, 0x10, found(64, "PCI_ENDPOINT", "ATC_REQUIRED outside an SIDP")],
    [68, 5, found(64, "PCI_ENDPOINT", "a PCI device has no enumeration id")],
    [70, 32, found(70, "PCI_ENDPOINT", "value 0x20 is beyond 0x1f")],
    [71, 8, found(71, "PCI_ENDPOINT", "value 0x8 is beyond 0x7")],
  ])("at byte %i, 0x%s: reports it", (offset, value, problem) => {
    expect(problemsOf(patched(sound, offset, value))).toContainEqual(problem);
  });

  it("reports an address that no machine has", () => {
    expect(problemsOf(patched(sound, 63, 0x80))).toContainEqual(
      found(56, "DRHD", "address 0x80000000fed90000 is wider than any physical address"),
    );
  });

  it("reports a unit at the place of another, and a device that two units have", () => {
    const second = patched(sound, 89, 0x00);
    expect(problemsOf(second)).toContainEqual(
      found(80, "DRHD", "its registers lie over those of the unit at 0xfed90000"),
    );
    expect(problemsOf(patched(sound, 102, 4))).toContainEqual(
      found(
        96,
        "PCI_SUB_HIERARCHY",
        "0000:00/04.0 is in the scope of the unit at 0xfed90000 already",
      ),
    );
  });
});

describe("VT-d 8.3, units over each other", () => {
  it("are all reported, not only neighbours", () => {
    const apart = {
      ...fullDmar,
      hostAddressWidth: 64,
      structures: [0, 1, 2].map((n) => unit(0x100_0000 * (n + 1))),
    };
    const wide = patched(buildDmar(apart), 48 + 5, 15); // 128 MiB of registers
    const over = "its registers lie over those of the unit at 0x1000000";
    expect(problemsOf(wide).filter(({ text }) => text === over)).toEqual([
      found(64, "DRHD", over),
      found(80, "DRHD", over),
    ]);
  });
});

describe("VT-d 8.3.1.1, I/O APICs next to the MADT", () => {
  const other: Madt = {
    ...fullMadt,
    entries: [{ type: "IO_APIC", ioApicId: 7, address: 0xfec0_0000, interruptBase: 0 }],
  };

  it("reports an I/O APIC outside every scope, and a scope for none", () => {
    const { problems } = parseDmar(buildDmar(fullDmar), other);
    expect(problems.map(({ structure, text }) => [structure, text])).toEqual([
      ["DMAR", "I/O APIC 0x7 of the MADT is in no scope"],
      ["IOAPIC", "the MADT has no I/O APIC 0x2"],
    ]);
  });

  it("asks for no scope where interrupts are not remapped", () => {
    const bytes = patched(fixture("q35-dmar"), 37, 0);
    expect(parseDmar(bytes, { ...other, entries: [] }).problems).toEqual([
      found(64, "IOAPIC", "the MADT has no I/O APIC 0x0"),
    ]);
  });
});

describe("VT-d 8.7, damaged names", () => {
  const named = (hex: string): Uint8Array => {
    const scope = fromHex("05 08 00 00 01 00 1e 04");
    const name = fromHex(hex);
    const drhd = fromHex("0000 1800 00 00 0000 0000d9fe00000000");
    const andd = fromHex(`0400 ${(8 + name.length).toString(16).padStart(2, "0")}00 000000 01`);
    return resealed(
      new Uint8Array([...sound.subarray(0, 48), ...drhd, ...scope, ...andd, ...name]),
    );
  };

  it.each([
    ["5c5f5342", found(80, "ANDD", "the name has no NUL at its end")],
    ["5c075342 00", found(80, "ANDD", "the name holds other than printable ASCII")],
    ["5c00 5342", found(80, "ANDD", "text after the name's NUL")],
    ["5f534200", found(72, "ANDD", '"_SB" is not fully qualified')],
  ])("%s: reports it", (hex, problem) => {
    expect(problemsOf(named(hex))).toEqual([problem]);
  });

  it("takes a name padded with NULs", () => {
    expect(problemsOf(named("5c5f5342 00000000"))).toEqual([]);
  });
});
