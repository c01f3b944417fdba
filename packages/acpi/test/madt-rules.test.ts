import { describe, expect, it } from "vitest";
import { buildMadt, parseMadt } from "../src/index.ts";
import type { Madt, MadtEntry } from "../src/index.ts";
import { patched } from "./bytes.ts";
import { fullMadt } from "./machines.ts";

const madt = (...entries: MadtEntry[]): Madt => ({
  localApicAddress: 0xfee0_0000,
  flags: [],
  entries,
});
const wired = { polarity: "CONFORMS", trigger: "CONFORMS" } as const;
const cpu = { type: "LOCAL_APIC", uid: 0, apicId: 0, flags: ["ENABLED"] } as const;
const cpu32 = { type: "LOCAL_X2APIC", uid: 300, apicId: 300, flags: ["ENABLED"] } as const;
const ioApic = { type: "IO_APIC", ioApicId: 0, address: 0xfec0_0000, interruptBase: 0 } as const;
const isa = {
  type: "INTERRUPT_SOURCE_OVERRIDE",
  bus: 0,
  source: 0,
  interrupt: 2,
  signal: wired,
} as const;
const nmi = { type: "LOCAL_APIC_NMI", uid: 0, signal: wired, lint: 1 } as const;
const override = { type: "LOCAL_APIC_ADDRESS_OVERRIDE", address: 0xfee0_0000 } as const;

describe("rules of ACPI 5.2.12", () => {
  const revision1 = {
    revision: 1,
    oemId: "",
    oemTableId: "",
    oemRevision: 0,
    creatorId: "",
    creatorRevision: 0,
  };
  it.each<[string, Madt, string]>([
    [
      "an APIC id twice",
      madt(cpu, { ...cpu32, apicId: 0 }),
      "MADT at 0x34: another processor has APIC id 0x0; number them apart",
    ],
    [
      "a UID twice",
      madt(cpu, { ...cpu, apicId: 1 }),
      "MADT at 0x34: another processor has UID 0x0; number them apart",
    ],
    [
      "an id that means all",
      madt({ ...cpu, apicId: 255 }),
      "MADT at 0x2c: APIC id 0xff means all processors; give it an id of its own",
    ],
    [
      "a 32-bit id that means all",
      madt({ ...cpu32, apicId: 0xffff_ffff }),
      "MADT at 0x2c: APIC id 0xffffffff means all processors; give it an id of its own",
    ],
    [
      "both states",
      madt({ ...cpu, flags: ["ENABLED", "ONLINE_CAPABLE"] }),
      "MADT at 0x2c: both ENABLED and ONLINE_CAPABLE are set; set one of them",
    ],
    [
      "a state of a later revision",
      { ...madt({ ...cpu, flags: ["ONLINE_CAPABLE"] }), header: revision1 },
      "MADT at 0x2c: ONLINE_CAPABLE is reserved in revision 1; use revision 5",
    ],
    [
      "an I/O APIC id twice",
      madt(ioApic, { ...ioApic, address: 0xfec1_0000, interruptBase: 24 }),
      "MADT at 0x38: another I/O APIC has ioApicId 0x0; give each its own",
    ],
    [
      "an I/O APIC address twice",
      madt(ioApic, { ...ioApic, ioApicId: 1, interruptBase: 24 }),
      "MADT at 0x38: another I/O APIC has address 0xfec00000; give each its own",
    ],
    [
      "an interrupt base twice",
      madt(ioApic, { ...ioApic, ioApicId: 1, address: 0xfec1_0000 }),
      "MADT at 0x38: another I/O APIC has interruptBase 0x0; give each its own",
    ],
    [
      "a bus other than ISA",
      madt({ ...isa, bus: 1 }),
      "MADT at 0x2c: bus 0x1 is not ISA; set it to 0",
    ],
    [
      "an ISA interrupt twice",
      madt(isa, { ...isa, interrupt: 3 }),
      "MADT at 0x36: ISA interrupt 0 is overridden twice; keep one of them",
    ],
    [
      "an NMI of no processor",
      madt(cpu, { ...nmi, uid: 3 }),
      "MADT at 0x34: no processor has UID 0x3; name one, or 0xff for all",
    ],
    [
      "two address overrides",
      madt(override, { ...override }),
      "MADT at 0x38: a second address override; keep one of them",
    ],
  ])("%s: is refused with place and remedy", (_, table, message) => {
    expect(() => buildMadt(table)).toThrow(
      expect.objectContaining({
        code: "ERR_VIOMMU_ACPI_RULE",
        message: message.replace(/^MADT at/, `MADT, ${table.entries.at(-1)!.type} at byte`),
      }),
    );
  });

  it("let unusable processors share their numbers", () => {
    const spare = { ...cpu, uid: 255, apicId: 255, flags: [] };
    expect(() => buildMadt(madt(cpu, spare, { ...spare }, nmi))).not.toThrow();
  });

  it.each<[string, Madt, string]>([
    [
      "LINT",
      madt(cpu, { ...nmi, lint: 2 }),
      "LOCAL_APIC_NMI.lint is 0x2; give an integer from 0 to 0x1",
    ],
    [
      "an 8-bit id",
      madt({ ...cpu, apicId: 256 }),
      "LOCAL_APIC.apicId is 0x100; give an integer from 0 to 0xff",
    ],
    [
      "an address",
      madt({ ...ioApic, address: 2 ** 32 }),
      "IO_APIC.address is 0x100000000; give an integer from 0 to 0xffffffff",
    ],
    [
      "a polarity",
      madt({ ...isa, signal: { ...wired, polarity: "LOW" as "ACTIVE_LOW" } }),
      "INTERRUPT_SOURCE_OVERRIDE.signal.polarity is LOW; give CONFORMS, ACTIVE_HIGH or ACTIVE_LOW",
    ],
    [
      "a trigger mode",
      madt({ ...isa, signal: { ...wired, trigger: "NONE" as "EDGE" } }),
      "INTERRUPT_SOURCE_OVERRIDE.signal.trigger is NONE; give CONFORMS, EDGE or LEVEL",
    ],
  ])("%s that its field can't hold: names value and range", (_, table, message) => {
    expect(() => buildMadt(table)).toThrow(
      expect.objectContaining({ code: "ERR_VIOMMU_ACPI_VALUE", message }),
    );
  });
});

describe("a damaged MADT", () => {
  const bytes = buildMadt(fullMadt);

  it.each([
    // Offsets: LOCAL_APIC 44 and 52, LOCAL_X2APIC 60, IO_APIC 76, overrides 88 and 98, NMI_SOURCE 108
    [48, 4, "LOCAL_APIC", 48, "reserved bits 0x4 are set"],
    [51, 0x80, "LOCAL_APIC", 48, "reserved bits 0x80000000 are set"],
    [79, 1, "IO_APIC", 79, "reserved bytes are not 0"],
    [96, 0x0a, "INTERRUPT_SOURCE_OVERRIDE", 96, "trigger mode 2 is reserved"],
    [96, 0x02, "INTERRUPT_SOURCE_OVERRIDE", 96, "polarity 2 is reserved"],
    [97, 0x01, "INTERRUPT_SOURCE_OVERRIDE", 96, "reserved bits 0x100 are set"],
    [55, 0, "LOCAL_APIC", 52, "another processor has APIC id 0x0"],
    [76, 0x10, "MADT", 76, "interrupt controller structure type 0x10 is not known; kept as it is"],
    [
      109,
      0,
      "MADT",
      108,
      "interrupt controller structure with length 0, less than its own header: " +
        "the last 38 bytes of the MADT can't be read",
    ],
  ])("with byte %i = %i: tells that in %s", (at, value, structure, offset, text) => {
    expect(parseMadt(patched(bytes, at, value)).problems).toContainEqual({
      offset,
      structure,
      text,
    });
  });

  it("shorter than its fixed part can't be read", () => {
    expect(() => parseMadt(bytes.subarray(0, 43))).toThrow(
      expect.objectContaining({
        code: "ERR_VIOMMU_ACPI",
        message:
          "MADT at byte 0x2b: the table ends within the 44 bytes of its fixed part; give the whole table",
      }),
    );
  });
});
