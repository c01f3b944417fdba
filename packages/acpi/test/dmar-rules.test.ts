import { describe, expect, it } from "vitest";
import { buildDmar } from "../src/index.ts";
import type { DeviceScope, Dmar, DmarStructure, Drhd } from "../src/index.ts";
import { fullDmar, fullMadt, scope, unit } from "./machines.ts";

const fullHeader = {
  revision: 1,
  oemId: "",
  oemTableId: "",
  oemRevision: 0,
  creatorId: "",
  creatorRevision: 0,
};

/** A sound table of one unit, with changes. */
const dmar = (structures: readonly DmarStructure[], rest: Partial<Dmar> = {}): Dmar => ({
  hostAddressWidth: 39,
  flags: [],
  structures,
  ...rest,
});
const all = unit(0xfed9_0000, { flags: ["INCLUDE_PCI_ALL"] });
const some = (...scopes: DeviceScope[]): Drhd => unit(0xfed8_0000, { scopes });
const nic = scope("PCI_ENDPOINT", 0, 3, 0);
const port = scope("PCI_SUB_HIERARCHY", 0, 28, 0);
const ioApic = scope("IOAPIC", 0xf0, 31, 7, 2);
const i2c = scope("ACPI_NAMESPACE_DEVICE", 0, 30, 0, 1);
const behind = (above: DeviceScope, below: DeviceScope): DeviceScope => ({
  ...below,
  startBus: above.startBus,
  path: [...above.path, ...below.path],
});

const refusal = (code: string, message: string): unknown =>
  expect.objectContaining({ name: "ViommuError", code, message });

describe("values that their fields can't hold", () => {
  it.each<[string, Dmar, string]>([
    [
      "a segment",
      dmar([{ ...all, segment: 0x1_0000 }]),
      "DRHD.segment is 0x10000; give an integer from 0 to 0xffff",
    ],
    ["a size", dmar([{ ...all, size: 16 }]), "DRHD.size is 0x10; give an integer from 0 to 0xf"],
    ["no number", dmar([{ ...all, size: NaN }]), "DRHD.size is NaN; give an integer from 0 to 0xf"],
    [
      "a register base",
      dmar([{ ...all, registerBase: -4096 }]),
      "DRHD.registerBase is -0x1000; give an address below 2^53",
    ],
    [
      "a device",
      dmar([some(scope("PCI_ENDPOINT", 0, 32, 0))]),
      "PCI_ENDPOINT.path.device is 0x20; give an integer from 0 to 0x1f",
    ],
    [
      "a function",
      dmar([some(scope("PCI_ENDPOINT", 0, 0, 8))]),
      "PCI_ENDPOINT.path.function is 0x8; give an integer from 0 to 0x7",
    ],
    [
      "an address width",
      dmar([all], { hostAddressWidth: 65 }),
      "DMAR.hostAddressWidth is 0x41; give a number of bits from 1 to 64",
    ],
    [
      "a name",
      dmar([all, { type: "ANDD", deviceNumber: 1, objectName: "\\é" }]),
      "ANDD.objectName is \\é; give printable ASCII",
    ],
    [
      "an OEM id",
      dmar([all], { header: { ...fullHeader, oemId: "TOOLONG" } }),
      "DMAR.header.oemId is TOOLONG; give at most 6 printable ASCII characters",
    ],
    [
      "a known type as unknown",
      dmar([all, { type: "UNKNOWN", code: 1, bytes: new Uint8Array(4) }]),
      "DMAR.structures[1].code is 0x1; give a code without a description of its own",
    ],
  ])("%s: names value and range", (_, table, message) => {
    expect(() => buildDmar(table)).toThrow(refusal("ERR_VIOMMU_ACPI_VALUE", message));
  });

  it("names a field that is missing", () => {
    const missing = dmar([{ ...all, scopes: undefined } as unknown as Drhd]);
    expect(() => buildDmar(missing)).toThrow("DRHD.scopes is undefined; give a value");
  });

  it("names a flag and a type that do not exist", () => {
    const flag = dmar([{ ...all, flags: ["ALL"] } as unknown as Drhd]);
    expect(() => buildDmar(flag)).toThrow("DRHD.flags is ALL; give flags out of INCLUDE_PCI_ALL");
    const type = dmar([{ type: "DHRD" } as unknown as Drhd]);
    expect(() => buildDmar(type)).toThrow(
      "DMAR.structures[0].type is DHRD; give DRHD, RMRR, ATSR, RHSA, ANDD, SATC, SIDP",
    );
  });
});

describe("rules of VT-d chapter 8", () => {
  const rmrr = { type: "RMRR", segment: 0, base: 0x1000, limit: 0x1fff, scopes: [nic] } as const;
  const atsr = { type: "ATSR", flags: [], segment: 0, scopes: [port] } as const;
  const rhsa = { type: "RHSA", registerBase: 0xfed9_0000, proximityDomain: 1 } as const;
  const andd = { type: "ANDD", deviceNumber: 1, objectName: "\\I2C" } as const;
  const satc = { type: "SATC", flags: [], segment: 0, scopes: [nic] } as const;
  const sidp = { type: "SIDP", segment: 0, scopes: [nic] } as const;

  it.each<[string, Dmar, string]>([
    [
      "8.1, a revision",
      dmar([all], { header: { ...fullHeader, revision: 2 } }),
      "DMAR: revision 2 is not known; use revision 1",
    ],
    [
      "8.1, an opt-out of nothing",
      dmar([all], { flags: ["X2APIC_OPT_OUT"] }),
      "DMAR: X2APIC_OPT_OUT without INTR_REMAP; set both or none",
    ],
    ["8.1, no unit", dmar([]), "DMAR: there is no remapping unit; add a DRHD"],
    [
      "8.2, order of types",
      dmar([atsr, all]),
      "DMAR, DRHD at byte 0x40: type 0 after type 2; put types in numerical order",
    ],
    [
      "8.3, base 0",
      dmar([unit(0)]),
      "DMAR, DRHD at byte 0x30: the register base is 0; give the address of the unit",
    ],
    [
      "8.3, alignment",
      dmar([unit(0xfed9_1000, { size: 1 })]),
      "DMAR, DRHD at byte 0x30: register base 0xfed91000 is not aligned to 0x2000; align it",
    ],
    [
      "8.3, address width",
      dmar([unit(0x80_0000_0000)]),
      "DMAR, DRHD at byte 0x30: registers at 0x8000000000 are beyond the host address width 39; put them lower, or widen it",
    ],
    [
      "8.3, one unit on another",
      dmar([unit(0xfed9_0000, { size: 4 }), { ...all, registerBase: 0xfed9_f000 }]),
      "DMAR, DRHD at byte 0x40: its registers lie over those of the unit at 0xfed90000; give each unit its own",
    ],
    [
      "8.3, the unit for the rest",
      dmar([all, some(nic)]),
      "DMAR, DRHD at byte 0x40: it comes after the unit with INCLUDE_PCI_ALL of segment 0x0; put that one last, once",
    ],
    [
      "8.3.1, PCI beside all PCI",
      dmar([{ ...all, scopes: [nic] }]),
      "DMAR, PCI_ENDPOINT at byte 0x40: PCI_ENDPOINT can't be in a DRHD with INCLUDE_PCI_ALL; use IOAPIC or MSI_CAPABLE_HPET or ACPI_NAMESPACE_DEVICE",
    ],
    [
      "8.3.1, an empty path",
      dmar([some({ ...nic, path: [] })]),
      "DMAR, PCI_ENDPOINT at byte 0x40: the path is empty; give device and function",
    ],
    [
      "8.3.1, a path of an HPET",
      dmar([some(behind(port, scope("MSI_CAPABLE_HPET", 0, 1, 0)))]),
      "DMAR, MSI_CAPABLE_HPET at byte 0x40: the path has 2 steps instead of one; give one step",
    ],
    [
      "8.3.1, an id of a PCI device",
      dmar([some({ ...nic, enumerationId: 1 })]),
      "DMAR, PCI_ENDPOINT at byte 0x40: a PCI device has no enumeration id; set it to 0",
    ],
    [
      "8.3.1, flags",
      dmar([some({ ...nic, flags: ["ATC_REQUIRED"] })]),
      "DMAR, PCI_ENDPOINT at byte 0x40: ATC_REQUIRED outside an SIDP; add an SIDP for the device",
    ],
    [
      "8.3.1, a device under two units",
      dmar([some(nic), unit(0xfed9_0000, { scopes: [{ ...nic }] })]),
      "DMAR, PCI_ENDPOINT at byte 0x58: 0000:00/03.0 is in the scope of the unit at 0xfed80000 already; name it once",
    ],
    [
      "8.3.1, a device behind another's bridge",
      dmar([some(behind(port, behind(nic, nic))), unit(0xfed9_0000, { scopes: [port] })]),
      "DMAR, PCI_ENDPOINT at byte 0x40: it is behind 0000:00/1c.0, which the unit at 0xfed90000 has with all below; put it under one unit",
    ],
    [
      "8.3.1.1, an I/O APIC twice",
      dmar([some(ioApic), { ...all, scopes: [{ ...ioApic, startBus: 0xf1 }] }]),
      "DMAR, IOAPIC at byte 0x58: IOAPIC 2 is in the scope of the unit at 0xfed80000 already; name it once",
    ],
    [
      "8.3.1.1, a source-id twice",
      dmar([some(ioApic, { ...ioApic, enumerationId: 3 })]),
      "DMAR, IOAPIC at byte 0x48: the source-id of 0000:f0/1f.7 is another's already; give it one of its own",
    ],
    [
      "8.4, base",
      dmar([all, { ...rmrr, base: 0x1800 }]),
      "DMAR, RMRR at byte 0x40: base 0x1800 is not 4 KiB aligned; align it",
    ],
    [
      "8.4, limit",
      dmar([all, { ...rmrr, limit: 0x1000 }]),
      "DMAR, RMRR at byte 0x40: limit 0x1000 is not above base 0x1000; give the address of the last byte",
    ],
    [
      "8.4, size",
      dmar([all, { ...rmrr, limit: 0x2000 }]),
      "DMAR, RMRR at byte 0x40: 0x1000–0x2000 is no multiple of 4 KiB; give the address of the last byte of a page",
    ],
    [
      "8.4, no device",
      dmar([all, { ...rmrr, scopes: [] }]),
      "DMAR, RMRR at byte 0x40: no device in the scope; name who uses it",
    ],
    [
      "8.4, a device of no unit",
      dmar([some(port), rmrr]),
      "DMAR, PCI_ENDPOINT at byte 0x60: the device is in the scope of no unit; add it to a DRHD of its segment",
    ],
    [
      "8.3, a segment without unit",
      dmar([all, { ...atsr, segment: 1 }]),
      "DMAR, ATSR at byte 0x40: segment 0x1 has no unit; add a DRHD for it",
    ],
    [
      "8.5, all ports and some",
      dmar([all, { ...atsr, flags: ["ALL_PORTS"] }]),
      "DMAR, ATSR at byte 0x40: ALL_PORTS with scopes; leave out one of them",
    ],
    [
      "8.5, an endpoint",
      dmar([all, { ...atsr, scopes: [nic] }]),
      "DMAR, PCI_ENDPOINT at byte 0x48: PCI_ENDPOINT can't be in ATSR; use PCI_SUB_HIERARCHY",
    ],
    [
      "8.6, no such unit",
      dmar([all, { ...rhsa, registerBase: 0xfed8_0000 }]),
      "DMAR, RHSA at byte 0x40: no unit has its registers at 0xfed80000; name a unit",
    ],
    [
      "8.6, a unit twice",
      dmar([all, rhsa, { ...rhsa }]),
      "DMAR, RHSA at byte 0x54: the unit at 0xfed90000 has an RHSA already; keep one",
    ],
    [
      "8.6, a unit left out",
      dmar([some(nic), all, rhsa]),
      "DMAR, DRHD at byte 0x30: other units have an RHSA, this one has none; add one",
    ],
    [
      "8.7, a number twice",
      dmar([some(i2c), andd, { ...andd }]),
      "DMAR, ANDD at byte 0x55: ACPI device number 0x1 is declared already; number them apart",
    ],
    [
      "8.7, a relative name",
      dmar([some(i2c), { ...andd, objectName: "I2C" }]),
      'DMAR, ANDD at byte 0x48: "I2C" is not fully qualified; start it with a backslash',
    ],
    [
      "8.7, a device of no unit",
      dmar([all, andd]),
      "DMAR, ANDD at byte 0x40: \\I2C is in the scope of no unit; add it to a DRHD",
    ],
    [
      "8.3.1.3, no declaration",
      dmar([some(i2c)]),
      "DMAR, ACPI_NAMESPACE_DEVICE at byte 0x40: no ANDD declares device 0x1; add one",
    ],
    [
      "8.8, two for one",
      dmar([all, satc, { ...satc, scopes: [] }]),
      "DMAR, SATC at byte 0x50: another SATC has the same segment and flags; make one of them",
    ],
    [
      "8.8, not integrated",
      dmar([all, { ...satc, scopes: [behind(port, nic)] }]),
      "DMAR, PCI_ENDPOINT at byte 0x48: the path has 2 steps instead of one; give one step",
    ],
    [
      "8.9, a bridge",
      dmar([all, { ...sidp, scopes: [port] }]),
      "DMAR, PCI_SUB_HIERARCHY at byte 0x48: PCI_SUB_HIERARCHY can't be in SIDP; use PCI_ENDPOINT or ACPI_NAMESPACE_DEVICE",
    ],
    [
      "8.2, a structure too long",
      dmar([some(...Array.from({ length: 8192 }, () => nic))]),
      "DMAR.structures[0]: remapping structure of 65552 bytes is longer than its length field can say; keep it within 65535 bytes",
    ],
    [
      "8.3.1, a path too long",
      dmar([some({ ...nic, path: Array.from({ length: 125 }, () => nic.path[0]!) })]),
      "DRHD.scopes[0]: device scope of 256 bytes is longer than its length field can say; keep it within 255 bytes",
    ],
  ])("%s: is refused with place and remedy", (_, table, message) => {
    expect(() => buildDmar(table)).toThrow(refusal("ERR_VIOMMU_ACPI_RULE", message));
  });

  it("8.3.1.1, an I/O APIC outside every scope is refused next to its MADT", () => {
    const outside = dmar([all], { flags: ["INTR_REMAP"] });
    expect(() => buildDmar(outside)).not.toThrow();
    expect(() => buildDmar(outside, fullMadt)).toThrow(
      refusal(
        "ERR_VIOMMU_ACPI_RULE",
        "DMAR: I/O APIC 0x2 of the MADT is in no scope; add it to a DRHD",
      ),
    );
  });

  it("allow what looks alike: one function each, the same place in another segment", () => {
    const table = dmar([
      some(nic, scope("PCI_ENDPOINT", 0, 3, 1), port, behind(port, nic)),
      unit(0xfed9_0000, { segment: 1, scopes: [nic, port] }),
    ]);
    expect(() => buildDmar(table)).not.toThrow();
    expect(() => buildDmar(fullDmar, fullMadt)).not.toThrow();
  });
});
