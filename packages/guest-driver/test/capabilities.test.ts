import { profileFromRegisters } from "@viommu/vtd";
import { encodeCapabilities } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import { thrown } from "./support/code.ts";
import { Machine, UNIT_BASE } from "./support/machine.ts";

/** A machine whose unit answers with these registers, possible or not, and does nothing. */
function paperUnit(capabilities: Partial<Capabilities>, version = 0x10): Machine {
  const machine = new Machine();
  const { cap, ecap } = encodeCapabilities(capabilities);
  const values: Record<number, bigint> = { 0x00: BigInt(version), 0x08: cap, 0x10: ecap };
  Object.assign(machine.bus, {
    read: (address: number, _size: number, out: Int32Array) => {
      const value = values[address - UNIT_BASE] ?? 0n;
      out[0] = Number(value & 0xffff_ffffn) | 0;
      out[1] = Number(value >> 32n) | 0;
    },
  });
  return machine;
}

const QUEUE_AND_WIDTH = { QI: 1, SAGAW: 4, MGAW: 47 };

describe("units that cannot be driven are refused by name", () => {
  it.each<[string, Partial<Capabilities>, number, RegExp]>([
    ["neither DMA nor interrupts", { QI: 1 }, 0x10, /dmar0 remaps neither DMA \(CAP.SAGAW is 0\)/],
    [
      "interrupts without a queue",
      { IR: 1, SAGAW: 4 },
      0x10,
      /dmar0 has interrupt remapping without/,
    ],
    [
      "no way to invalidate",
      { SAGAW: 4, MGAW: 47 },
      0x60,
      /major version 6 and has no invalidation/,
    ],
    ["reserved widths only", { QI: 1, SAGAW: 0b10001, MGAW: 47 }, 0x10, /remaps neither DMA/],
  ])("%s", (_name, capabilities, version, message) => {
    const machine = paperUnit(capabilities, version);
    const { code, message: text } = thrown(() => machine.probe());
    expect(code).toBe("ERR_VIOMMU_DRIVER_CAPABILITY");
    expect(text).toMatch(message);
  });

  it("x2APIC mode without EIM", () => {
    const machine = new Machine({ units: [{ profile: { eim: false } }] });
    expect(machine.probe().addressing.apicMode).toBe("xapic");
    expect(thrown(() => machine.probe({ apicMode: "x2apic" }))).toMatchObject({
      code: "ERR_VIOMMU_DRIVER_CAPABILITY",
      message: expect.stringContaining("ECAP.EIM") as string,
    });
  });

  it("xAPIC mode with EIMER", () => {
    const machine = paperUnit({ ...QUEUE_AND_WIDTH, IR: 1, EIM: 1, EIMER: 1 });
    expect(machine.probe().addressing.apicMode).toBe("x2apic");
    expect(thrown(() => machine.probe({ apicMode: "xapic" })).message).toContain("ECAP.EIMER");
  });

  it("DMA remapping demanded of a unit for interrupts alone", () => {
    const machine = new Machine({ units: [{ profile: { addressWidths: [] } }] });
    expect(thrown(() => machine.probe({ dmaRemapping: true })).message).toContain("CAP.SAGAW");
  });

  it.each([0, 3, 131_072])("an interrupt table of %i entries", (interruptEntries) => {
    const machine = new Machine();
    expect(thrown(() => machine.probe({ interruptEntries })).code).toBe(
      "ERR_VIOMMU_DRIVER_INTERRUPT",
    );
  });
});

describe("interrupt remapping is all or nothing", () => {
  it("stays off when one unit lacks it, when the table does not offer it, or when told so", () => {
    const lacking = new Machine({
      units: [{ profile: { interruptRemapping: false } }, {}],
    });
    expect(lacking.probe().interruptObstacle).toBe("dmar0 has no ECAP.IR");
    const silent = new Machine({ dmar: { flags: [] } });
    expect(silent.probe().interruptObstacle).toContain("INTR_REMAP");
    const off = new Machine().start({ interruptRemapping: false });
    expect(off.interruptObstacle).toBe("it is switched off");
    expect(thrown(() => off.requestInterrupts({ sourceId: 8 }))).toMatchObject({
      code: "ERR_VIOMMU_DRIVER_CAPABILITY",
      message: expect.stringContaining("switched off") as string,
    });
  });

  it("keeps to xAPIC mode when firmware opts out of x2APIC", () => {
    const machine = new Machine({ dmar: { flags: ["INTR_REMAP", "X2APIC_OPT_OUT"] } });
    expect(machine.probe().addressing.apicMode).toBe("xapic");
    expect(machine.probe({ apicMode: "x2apic" }).addressing.apicMode).toBe("x2apic");
  });
});

describe("a unit for interrupt remapping alone (SAGAW = 0)", () => {
  it("is started without root table and translation, and its devices' DMA is not touched", () => {
    const machine = new Machine({ units: [{ profile: { addressWidths: [] } }] });
    const driver = machine.start();
    expect(machine.written(0x20)).toEqual([]);
    expect(machine.read32(0x1c)).toBe(0x0700_0000);
    expect(machine.dma(8, 0x200_0000)).toBe(0x200_0000);
    expect(thrown(() => driver.attach({ sourceId: 8 })).code).toBe("ERR_VIOMMU_DRIVER_CAPABILITY");
    expect(thrown(() => driver.createDomain()).code).toBe("ERR_VIOMMU_DRIVER_DOMAIN");
    const block = driver.requestInterrupts({ sourceId: 8 });
    block.route(0, { apicId: 287, vector: 0x41 });
    expect(machine.interrupt(8, block.message())).toMatchObject({ result: 0, destination: 287 });
  });
});

describe("what a unit can do is taken from its registers", () => {
  it("reads CAP and ECAP of a real unit", () => {
    const machine = new Machine();
    const { cap, ecap, version } = machine.unit.profile;
    const driver = machine.probe();
    const profile = profileFromRegisters({ ver: version, cap, ecap });
    expect(driver.units[0]!.capabilities).toEqual(profile.capabilities);
  });
});
