import type { DeviceScope, Dmar, Drhd, Madt, ScopeType } from "../src/index.ts";

/** A scope of one step. */
export const scope = (
  type: ScopeType,
  startBus: number,
  device: number,
  fn: number,
  enumerationId = 0,
): DeviceScope => ({
  type,
  flags: [],
  enumerationId,
  startBus,
  path: [{ device, function: fn }],
});

export const unit = (registerBase: number, rest: Partial<Drhd> = {}): Drhd => ({
  type: "DRHD",
  flags: [],
  size: 0,
  segment: 0,
  registerBase,
  scopes: [],
  ...rest,
});

/** VT-d 8.3.1.4: three units, the last for all the rest, one device with an ATC. */
export const specExample: Dmar = {
  header: {
    revision: 1,
    oemId: "OEM",
    oemTableId: "MODEL",
    oemRevision: 2,
    creatorId: "MADE",
    creatorRevision: 3,
  },
  hostAddressWidth: 46,
  flags: ["INTR_REMAP"],
  structures: [
    unit(0xfed9_0000, {
      scopes: [scope("PCI_ENDPOINT", 0, 4, 0), scope("PCI_ENDPOINT", 0, 5, 0)],
    }),
    unit(0xfed9_1000, { scopes: [scope("PCI_SUB_HIERARCHY", 0, 7, 0)] }),
    unit(0xfed9_2000, {
      flags: ["INCLUDE_PCI_ALL"],
      scopes: [scope("IOAPIC", 0, 31, 7, 8), scope("MSI_CAPABLE_HPET", 0, 31, 6, 0)],
    }),
    { type: "SATC", flags: ["ATC_REQUIRED"], segment: 0, scopes: [scope("PCI_ENDPOINT", 0, 5, 0)] },
  ],
};

/** One of everything: two segments, all structures, all scope types, a path over three bridges. */
export const fullDmar: Dmar = {
  hostAddressWidth: 52,
  flags: ["INTR_REMAP", "DMA_CTRL_PLATFORM_OPT_IN_FLAG"],
  structures: [
    unit(0xfed9_0000, {
      scopes: [
        scope("PCI_ENDPOINT", 0, 2, 0),
        scope("ACPI_NAMESPACE_DEVICE", 0, 30, 4, 1),
        {
          ...scope("PCI_SUB_HIERARCHY", 0, 28, 0),
          path: [
            { device: 28, function: 0 },
            { device: 0, function: 0 },
            { device: 3, function: 1 },
          ],
        },
      ],
    }),
    unit(0xfed9_1000, {
      flags: ["INCLUDE_PCI_ALL"],
      scopes: [scope("IOAPIC", 0xf0, 31, 0, 2), scope("MSI_CAPABLE_HPET", 0, 31, 6, 0)],
    }),
    unit(0xc_ffff_8000, { size: 1, segment: 1, flags: ["INCLUDE_PCI_ALL"] }),
    {
      type: "RMRR",
      segment: 0,
      base: 0x7d00_0000,
      limit: 0x7f7f_ffff,
      scopes: [scope("PCI_ENDPOINT", 0, 2, 0)],
    },
    { type: "ATSR", flags: [], segment: 0, scopes: [scope("PCI_SUB_HIERARCHY", 0, 28, 0)] },
    { type: "ATSR", flags: ["ALL_PORTS"], segment: 1, scopes: [] },
    { type: "RHSA", registerBase: 0xfed9_0000, proximityDomain: 0 },
    { type: "RHSA", registerBase: 0xfed9_1000, proximityDomain: 0 },
    { type: "RHSA", registerBase: 0xc_ffff_8000, proximityDomain: 0x8000_0001 },
    { type: "ANDD", deviceNumber: 1, objectName: "\\_SB.PCI0.I2C0" },
    { type: "SATC", flags: [], segment: 0, scopes: [scope("PCI_ENDPOINT", 0, 2, 0)] },
    {
      type: "SIDP",
      segment: 0,
      scopes: [
        { ...scope("PCI_ENDPOINT", 0, 2, 0), flags: ["ATC_HARDENED", "ATC_REQUIRED"] },
        {
          ...scope("ACPI_NAMESPACE_DEVICE", 0, 30, 4, 1),
          flags: ["REQ_WO_PASID_NESTED_NOTALLOWED"],
        },
      ],
    },
  ],
};

const wired = { polarity: "CONFORMS", trigger: "CONFORMS" } as const;

/** One of everything. */
export const fullMadt: Madt = {
  localApicAddress: 0xfee0_0000,
  flags: ["PCAT_COMPAT"],
  entries: [
    { type: "LOCAL_APIC", uid: 0, apicId: 0, flags: ["ENABLED"] },
    { type: "LOCAL_APIC", uid: 1, apicId: 2, flags: ["ONLINE_CAPABLE"] },
    { type: "LOCAL_X2APIC", uid: 287, apicId: 0x11f, flags: ["ENABLED"] },
    { type: "IO_APIC", ioApicId: 2, address: 0xfec0_0000, interruptBase: 0 },
    { type: "INTERRUPT_SOURCE_OVERRIDE", bus: 0, source: 0, interrupt: 2, signal: wired },
    {
      type: "INTERRUPT_SOURCE_OVERRIDE",
      bus: 0,
      source: 9,
      interrupt: 9,
      signal: { polarity: "ACTIVE_LOW", trigger: "LEVEL" },
    },
    {
      type: "NMI_SOURCE",
      signal: { polarity: "ACTIVE_HIGH", trigger: "EDGE" },
      interrupt: 23,
    },
    { type: "LOCAL_APIC_NMI", uid: 0xff, signal: wired, lint: 1 },
    { type: "LOCAL_X2APIC_NMI", signal: wired, uid: 0xffff_ffff, lint: 1 },
    { type: "LOCAL_APIC_ADDRESS_OVERRIDE", address: 0xfee0_0000 },
  ],
};
