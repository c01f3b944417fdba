import { describe, expect, it } from "vitest";
import { probe } from "../src/index.ts";
import { thrown } from "./support/code.ts";
import { IO_APIC_SCOPE, Machine, PAGES, UNIT_BASE } from "./support/machine.ts";

const endpoint = (startBus: number, ...path: [number, number][]) =>
  scope("PCI_ENDPOINT", startBus, path);
const hierarchy = (startBus: number, ...path: [number, number][]) =>
  scope("PCI_SUB_HIERARCHY", startBus, path);

function scope<T extends "PCI_ENDPOINT" | "PCI_SUB_HIERARCHY">(
  type: T,
  startBus: number,
  path: [number, number][],
) {
  const steps = path.map(([device, fn]) => ({ device, function: fn }));
  return { type, flags: [], enumerationId: 0, startBus, path: steps };
}

describe("where the tables are (ACPI 5.2.5)", () => {
  it("finds a root pointer where a BIOS puts it", () => {
    const driver = new Machine().probe();
    expect(driver.topology.units).toEqual([
      { name: "dmar0", segment: 0, registerBase: UNIT_BASE, includesAll: true },
    ]);
    expect(driver.topology.hostAddressWidth).toBe(48);
    expect(driver.topology.problems).toEqual([]);
  });

  it("follows a root pointer given by firmware, or reads the bytes alone", () => {
    const machine = new Machine();
    const { rsdp, dmar, madt } = machine;
    expect(machine.probe({ acpi: { rsdp } }).topology.ioApics).toHaveLength(1);
    machine.memory.fill(0xe_0000, 0x1000, 0);
    const { topology } = machine.probe({ acpi: { dmar, madt } });
    expect(topology.ioApics.map(({ id, sourceId }) => [id, sourceId])).toEqual([[0, 0xff00]]);
  });

  it("refuses a guest without root pointer, without DMAR, or without a unit in it", () => {
    const machine = new Machine();
    machine.memory.fill(0xe_0000, 0x1000, 0);
    expect(thrown(() => machine.probe())).toMatchObject({
      code: "ERR_VIOMMU_DRIVER_NO_UNIT",
      message: expect.stringContaining("between 0xe0000 and 0x100000") as string,
    });
    const other = new Machine();
    const from = other.dmar.slice(0, 4);
    for (let at = 0xe_0000; at < 0xe_1000; at += 4) {
      const word = new Uint8Array(4);
      other.memory.readBytes(0, at, word);
      if (String(word) === String(from)) other.memory.write32(at, 0x5858_5858);
    }
    expect(thrown(() => other.probe()).message).toContain("no DMAR among the ACPI tables");
    const empty = machine.dmar.slice(0, 48);
    new DataView(empty.buffer).setUint32(4, 48, true);
    expect(thrown(() => machine.probe({ acpi: { dmar: empty } })).message).toContain(
      "has no remapping unit",
    );
    expect(thrown(() => machine.probe({ acpi: { dmar: new Uint8Array(3) } })).code).toBe(
      "ERR_VIOMMU_ACPI",
    );
  });

  it("reads a damaged table as far as it goes, and says what is wrong with it", () => {
    const machine = new Machine();
    const dmar = machine.dmar.slice();
    dmar[9] = dmar[9]! ^ 1;
    const { topology } = machine.probe({ acpi: { dmar } });
    expect(topology.units).toHaveLength(1);
    expect(topology.problems).toHaveLength(1);
  });

  it("refuses a unit whose registers are not there", () => {
    const machine = new Machine();
    const bus = {
      read: (_address: number, _size: number, out: Int32Array) => out.fill(-1),
      write: () => undefined,
    };
    const options = { bus, memory: machine.memory, pages: PAGES };
    expect(thrown(() => probe(options))).toMatchObject({
      code: "ERR_VIOMMU_DRIVER_NO_UNIT",
      message: expect.stringContaining("0xfed90000") as string,
    });
  });
});

describe("which unit has a device (VT-d 8.3)", () => {
  const machine = () =>
    new Machine({
      units: [
        { drhd: { scopes: [endpoint(0, [2, 0]), hierarchy(0, [0x1c, 0])] } },
        { drhd: { scopes: [endpoint(0, [3, 0], [0, 0])] } },
        {},
      ],
    });
  const pci = {
    buses: (_segment: number, bridge: number) =>
      bridge === 0xe0 ? { secondary: 4, subordinate: 9 } : { secondary: 2, subordinate: 2 },
  };

  it("is the one that names it, or a bridge above it; INCLUDE_PCI_ALL comes last", () => {
    const { topology } = machine().probe({ pci });
    const unitOf = (sourceId: number) => topology.unitOf({ sourceId }).name;
    expect(unitOf(0x0010)).toBe("dmar0"); // 00:02.0
    expect(unitOf(0x00e0)).toBe("dmar0"); // the bridge itself
    expect(unitOf(0x0400)).toBe("dmar0"); // behind it
    expect(unitOf(0x09ff)).toBe("dmar0");
    expect(unitOf(0x0200)).toBe("dmar1"); // a path over a bridge
    expect(unitOf(0x0011)).toBe("dmar2"); // 00:02.1
    expect(unitOf(0x0a00)).toBe("dmar2");
    expect(unitOf(0x0018)).toBe("dmar2"); // the bridge of that path
  });

  it("needs the bus numbers of bridges", () => {
    expect(thrown(() => machine().probe())).toMatchObject({
      code: "ERR_VIOMMU_DRIVER_SCOPE",
      message: expect.stringContaining("bridge 0xe0") as string,
    });
  });

  it("does not mix segments, and refuses a device under no unit", () => {
    const { topology } = new Machine({
      units: [{ drhd: { segment: 1, flags: ["INCLUDE_PCI_ALL"] } }, { drhd: { flags: [] } }],
    }).probe();
    expect(topology.unitOf({ segment: 1, sourceId: 8 }).name).toBe("dmar0");
    expect(thrown(() => topology.unitOf({ sourceId: 8 }))).toMatchObject({
      code: "ERR_VIOMMU_DRIVER_SCOPE",
      message: expect.stringContaining("device 0x8 of segment 0") as string,
    });
    for (const sourceId of [-1, 0x1_0000, 0.5]) {
      expect(thrown(() => topology.unitOf({ segment: 1, sourceId })).code).toBe(
        "ERR_VIOMMU_DRIVER_SCOPE",
      );
    }
  });
});

describe("I/O APICs, HPETs and reserved memory (VT-d 8.3.1, 8.4)", () => {
  it("gives each its source-id and unit", () => {
    const hpet = {
      type: "MSI_CAPABLE_HPET",
      flags: [],
      enumerationId: 0,
      startBus: 0xf0,
      path: [{ device: 15, function: 0 }],
    } as const;
    const machine = new Machine({
      units: [{ drhd: { scopes: [IO_APIC_SCOPE, hpet] } }],
      structures: [
        {
          type: "RMRR",
          segment: 0,
          base: 0x10_0000,
          limit: 0x10_1fff,
          scopes: [endpoint(0, [20, 0])],
        },
      ],
    });
    const { topology } = machine.probe();
    expect(topology.hpets.map(({ id, sourceId }) => [id, sourceId])).toEqual([[0, 0xf078]]);
    expect(topology.reservedFor({ sourceId: 0xa0 })).toHaveLength(1);
    expect(topology.reservedFor({ segment: 1, sourceId: 0xa0 })).toEqual([]);
  });

  it("leaves interrupts alone when an I/O APIC is under no unit, or refuses if they are demanded", () => {
    const machine = new Machine({
      madt: [0, 1].map((id) => ({
        type: "IO_APIC" as const,
        ioApicId: id,
        address: 0xfec0_0000 + 0x1000 * id,
        interruptBase: 24 * id,
      })),
    });
    const driver = machine.probe();
    expect(driver.interruptObstacle).toBe("I/O APIC 1 is in the scope of no unit");
    expect(thrown(() => machine.probe({ interruptRemapping: true })).code).toBe(
      "ERR_VIOMMU_DRIVER_CAPABILITY",
    );
    expect(thrown(() => driver.requestInterrupts({ ioApic: 1 })).code).toBe(
      "ERR_VIOMMU_DRIVER_SCOPE",
    );
  });
});
