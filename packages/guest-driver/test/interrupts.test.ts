import { DeliveryMode, FaultReason } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import type { ProbeOptions } from "../src/index.ts";
import { thrown } from "./support/code.ts";
import { IO_APIC, Machine, PAGES } from "./support/machine.ts";

const NIC = { sourceId: 0x0010 };
const DISK = { sourceId: 0x0018 };
/** After the queue and its status words. */
const TABLE = PAGES.base + 0x2000;
const IQT = 0x88;

const started = (options: Partial<ProbeOptions> = {}, machine = new Machine()) => ({
  machine,
  driver: machine.start(options),
});

const entry = (machine: Machine, index: number) => machine.qwords(TABLE + 16 * index, 2);

describe("entries of the remapping table (VT-d 9.9), literally as Linux writes them", () => {
  it.each<[string, Partial<ProbeOptions>, number, bigint]>([
    ["x2APIC", {}, 5, 0x0000_0005_0031_0009n],
    ["x2APIC, an id beyond 255", {}, 287, 0x0000_011f_0031_0009n],
    ["x2APIC logical", { destinationMode: "logical" }, 0x15, 0x0001_0020_0031_000dn],
    ["xAPIC", { apicMode: "xapic" }, 5, 0x0000_0500_0031_0009n],
    ["xAPIC logical", { apicMode: "xapic", destinationMode: "logical" }, 3, 0x0000_0800_0031_000dn],
  ])("%s", (_name, options, apicId, low) => {
    const { machine, driver } = started(options);
    const block = driver.requestInterrupts(NIC);
    block.route(0, { apicId, vector: 0x31 });
    expect(entry(machine, 0)).toEqual([low, 0x4_0010n]);
  });

  it("an I/O APIC's carries the source-id of its scope, an HPET's leaves the function open", () => {
    const hpet = {
      type: "MSI_CAPABLE_HPET",
      flags: [],
      enumerationId: 2,
      startBus: 0xf0,
      path: [{ device: 30, function: 0 }],
    } as const;
    const ioApic = {
      type: "IOAPIC",
      flags: [],
      enumerationId: 0,
      startBus: 0xf0,
      path: [{ device: 31, function: 0 }],
    } as const;
    const { machine, driver } = started(
      {},
      new Machine({ units: [{ drhd: { scopes: [ioApic, hpet] } }] }),
    );
    driver.requestInterrupts({ ioApic: 0 }).route(0, { apicId: 0, vector: 0x30 });
    driver.requestInterrupts({ hpet: 2 }).route(0, { apicId: 0, vector: 0x32 });
    expect(entry(machine, 0)).toEqual([0x30_0009n, 0x4_f0f8n]);
    expect(entry(machine, 1)).toEqual([0x32_0009n, 0x7_f0f0n]);
  });

  it("has the delivery mode that was asked for", () => {
    const { machine, driver } = started();
    const block = driver.requestInterrupts(NIC);
    block.route(0, { apicId: 0, vector: 0, deliveryMode: DeliveryMode.NMI });
    expect(entry(machine, 0)[0]).toBe(0x89n);
  });
});

describe("messages of devices (VT-d 5.1.2.2)", () => {
  it("are composed like Linux', for one interrupt and for a block", () => {
    const { driver } = started();
    for (let i = 0; i < 0x12; i += 1) driver.requestInterrupts(NIC);
    const single = driver.requestInterrupts(NIC);
    expect(single.index).toBe(0x12);
    expect(single.message()).toEqual({ address: 0xfee0_0258, data: 0 });
    const block = driver.requestInterrupts(NIC, 3);
    expect(block.index).toBe(0x14); // aligned to four
    expect(block.message(2)).toEqual({ address: 0xfee0_0298, data: 2 });
    expect(driver.requestInterrupts(NIC).index).toBe(0x13);
  });

  it("bit 15 of the index has its own place", () => {
    const { driver } = started();
    driver.requestInterrupts(NIC, 0x8000);
    driver.requestInterrupts(NIC);
    const block = driver.requestInterrupts(NIC);
    expect(block.index).toBe(0x8001);
    expect(block.message().address).toBe(0xfee0_003c);
    const settings = { trigger: "edge", polarity: "high", masked: false } as const;
    expect(block.redirectionEntry(0x30, settings)).toEqual({ low: 0x830, high: 0x3_0000 });
  });

  it("arrive where they were routed, all of a block", () => {
    const { machine, driver } = started();
    const block = driver.requestInterrupts(NIC, 4);
    for (let i = 0; i < 4; i += 1) block.route(i, { apicId: 250 + 10 * i, vector: 0x50 + i });
    const arrived = [0, 1, 2, 3].map((i) => machine.interrupt(NIC.sourceId, block.message(i)));
    expect(arrived.map(({ destination }) => destination)).toEqual([250, 260, 270, 280]);
    expect(arrived.map(({ vector }) => vector)).toEqual([0x50, 0x51, 0x52, 0x53]);
  });

  it("in cluster mode name one APIC by its logical id", () => {
    const { machine, driver } = started({ destinationMode: "logical" });
    const block = driver.requestInterrupts(NIC);
    block.route(0, { apicId: 287, vector: 0x41 });
    expect(machine.interrupt(NIC.sourceId, block.message())).toEqual({
      result: 0,
      vector: 0x41,
      destination: 0x11_8000,
      logical: true,
    });
  });
});

describe("redirection entries of I/O APICs (VT-d 5.1.5.1)", () => {
  it("have the index, and the pin number as vector", () => {
    const { driver } = started();
    for (let i = 0; i < 3; i += 1) driver.requestInterrupts({ ioApic: 0 });
    const pin = driver.requestInterrupts({ ioApic: 0 });
    expect(pin.redirectionEntry(9, { trigger: "level", polarity: "low", masked: true })).toEqual({
      low: 0x1_a009,
      high: 0x0007_0000,
    });
    expect(pin.redirectionEntry(4, { trigger: "edge", polarity: "high", masked: false })).toEqual({
      low: 4,
      high: 0x0007_0000,
    });
  });

  it("lead to the entry of the table by the I/O APIC's own source-id", () => {
    const { machine, driver } = started();
    const pin = driver.requestInterrupts({ ioApic: 0 });
    pin.route(0, { apicId: 300, vector: 0x33 });
    const message = { address: pin.message().address & ~8, data: 4 }; // as an RTE gives it: SHV = 0
    expect(machine.interrupt(IO_APIC, message)).toMatchObject({ result: 0, destination: 300 });
    expect(machine.interrupt(NIC.sourceId, message).result).toBe(FaultReason.IR_SOURCE_ID);
  });
});

describe("the life of an entry", () => {
  it("absent, routed, moved, released: each change is followed by its invalidation", () => {
    const { machine, driver } = started();
    driver.requestInterrupts(NIC);
    const block = driver.requestInterrupts(NIC);
    const send = () => machine.interrupt(NIC.sourceId, block.message());
    expect(send().result).toBe(FaultReason.IRTE_NOT_PRESENT);

    block.route(0, { apicId: 1, vector: 0x40 });
    expect(send()).toMatchObject({ result: 0, destination: 1, vector: 0x40 });

    block.route(0, { apicId: 256, vector: 0x41 });
    expect(send()).toMatchObject({ result: 0, destination: 256, vector: 0x41 });

    const tails = machine.written(IQT).length;
    const message = block.message();
    block.release();
    expect(machine.interrupt(NIC.sourceId, message).result).toBe(FaultReason.IRTE_NOT_PRESENT);
    expect(machine.written(IQT)).toHaveLength(tails + 1);
    // index 1, three times
    const descriptors = [0, 2, 4].map((slot) => machine.qwords(PAGES.base + 16 * slot, 1)[0]);
    expect(descriptors).toEqual([0x1_0000_0014n, 0x1_0000_0014n, 0x1_0000_0014n]);
    expect(driver.requestInterrupts(DISK).index).toBe(1);
    expect(thrown(() => block.message()).code).toBe("ERR_VIOMMU_DRIVER_STATE");
  });

  it("a block is invalidated as one, by its mask", () => {
    const { machine, driver } = started();
    driver.requestInterrupts(NIC, 4).release();
    expect(machine.qwords(PAGES.base, 1)).toEqual([0x1000_0014n]); // IM 2
    expect(driver.requestInterrupts(NIC, 4).index).toBe(0);
  });

  it("nobody else may use it (reason 26h)", () => {
    const { machine, driver } = started();
    const block = driver.requestInterrupts(NIC);
    block.route(0, { apicId: 1, vector: 0x40 });
    expect(machine.interrupt(DISK.sourceId, block.message()).result).toBe(FaultReason.IR_SOURCE_ID);
  });

  it("entries can be set up before the units are started", () => {
    const machine = new Machine();
    const driver = machine.probe();
    const block = driver.requestInterrupts(NIC);
    block.route(0, { apicId: 7, vector: 0x40 });
    expect(machine.writes).toEqual([]);
    driver.start();
    expect(machine.interrupt(NIC.sourceId, block.message())).toMatchObject({ destination: 7 });
  });
});

describe("what cannot be routed is refused", () => {
  const route = (options: Partial<ProbeOptions>, apicId: number, vector = 0x40) =>
    thrown(() => {
      started(options).driver.requestInterrupts(NIC).route(0, { apicId, vector });
    });

  it.each<[string, Partial<ProbeOptions>, number]>([
    ["an id beyond 254 in xAPIC mode", { apicMode: "xapic" }, 255],
    ["an id beyond 7 in flat mode", { apicMode: "xapic", destinationMode: "logical" }, 8],
    ["an id without cluster", { destinationMode: "logical" }, 2 ** 20],
    ["the broadcast id", {}, 2 ** 32 - 1],
    ["no id at all", {}, -1],
  ])("%s", (_name, options, apicId) => {
    expect(route(options, apicId).code).toBe("ERR_VIOMMU_DRIVER_INTERRUPT");
  });

  it("says what to do about 255 vCPUs and more", () => {
    expect(route({ apicMode: "xapic" }, 287).message).toMatch(/0x11f .* x2APIC mode, .* EIM/);
  });

  it("a vector beyond 255, an interrupt beyond the block, too many at once, a full table", () => {
    expect(route({}, 1, 256).code).toBe("ERR_VIOMMU_DRIVER_INTERRUPT");
    const reserved = { apicId: 1, vector: 0x40, deliveryMode: 3 };
    expect(
      thrown(() => {
        started().driver.requestInterrupts(NIC).route(0, reserved);
      }).code,
    ).toBe("ERR_VIOMMU_DRIVER_INTERRUPT");
    const { driver } = started({ interruptEntries: 16 });
    const block = driver.requestInterrupts(NIC, 2);
    const code = (action: () => unknown) => thrown(action).code;
    expect(code(() => block.message(2))).toBe("ERR_VIOMMU_DRIVER_INTERRUPT");
    expect(code(() => driver.requestInterrupts(NIC, 0))).toBe("ERR_VIOMMU_DRIVER_INTERRUPT");
    expect(code(() => driver.requestInterrupts(NIC, 16))).toBe("ERR_VIOMMU_DRIVER_INTERRUPT");
    const narrow = new Machine({ units: [{ profile: { maxInterruptIndexMask: 3 } }] }).start();
    expect(narrow.requestInterrupts(NIC, 8).count).toBe(8);
    expect(thrown(() => narrow.requestInterrupts(NIC, 9)).message).toContain("ECAP.MHMV");
  });
});
