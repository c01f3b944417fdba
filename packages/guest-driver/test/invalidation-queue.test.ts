import { DmaRequest } from "@viommu/plugin";
import type { DeviceTlbSink } from "@viommu/vtd";
import { describe, expect, it } from "vitest";
import { createMmioBus } from "../src/index.ts";
import { thrown } from "./support/code.ts";
import { BUFFERS, Machine, PAGES, UNIT_BASE } from "./support/machine.ts";

const NIC = { sourceId: 0x0010 };
const DISK = { sourceId: 0x0018 };
const IQT = 0x88;
const FSTS = 0x34;

describe("the ring (VT-d 6.5.2)", () => {
  it.each([
    ["128-bit", false, 16],
    ["256-bit", true, 32],
  ] as const)("goes round and round with %s descriptors", (_name, scalableMode, width) => {
    const machine = new Machine({ units: [{ profile: { scalableMode } }] });
    const driver = machine.start();
    const domain = driver.attach(NIC);
    for (let i = 0; i < 1000; i += 1) {
      const iova = domain.map(BUFFERS, 4096);
      expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
      domain.unmap(iova);
      expect(machine.dma(NIC.sourceId, iova)).toBeLessThan(0);
    }
    const tails = machine.written(IQT);
    expect(Math.max(...tails.map(Number))).toBeLessThan(256 * width);
    expect(tails.filter((tail) => tail === 0n).length).toBeGreaterThan(5);
    expect(driver.counters).toMatchObject({ descriptors: 1000, waits: 1000, refused: 0 });
  });

  it("takes a batch larger than itself in pieces", () => {
    const machine = new Machine();
    const driver = machine.start();
    const before = machine.unit.dma.counters.invalidations;
    driver.units[0]!.invalidate(
      Array.from({ length: 1000 }, (_, i) => ({
        cache: "iotlb",
        granularity: "domain",
        domainId: i,
      })),
    );
    expect(driver.counters).toMatchObject({ descriptors: 1000, waits: 4 });
    expect(machine.unit.dma.counters.invalidations - before).toBe(1000);
    expect(machine.read32(0x80)).toBe(machine.read32(IQT));
  });

  it("waits for a unit that works in small steps, while the host runs them", () => {
    const machine = new Machine({ units: [{ settings: { queueBudget: 1 } }] });
    const poll = () => machine.unit.run(1);
    const domain = machine.start({ poll }).attach(NIC);
    const iova = domain.map(BUFFERS, 4096);
    machine.dma(NIC.sourceId, iova);
    domain.unmap(iova);
    expect(machine.dma(NIC.sourceId, iova)).toBeLessThan(0);
  });

  it("waits until a device's access in flight has ended", () => {
    const machine = new Machine();
    const ended: number[] = [];
    let ticket = -1;
    let polls = 0;
    const poll = () => {
      polls += 1;
      if (polls < 10 || ended.length > 0) return;
      ended.push(polls);
      machine.unit.dma.leave(ticket);
    };
    const domain = machine.start({ poll }).attach(NIC);
    for (let i = 0; i < 200; i += 1) domain.unmap(domain.map(BUFFERS, 4096)); // status words are used again
    const iova = domain.map(BUFFERS, 4096);
    ticket = machine.unit.dma.enter();
    machine.dma(NIC.sourceId, iova);
    polls = 0;
    domain.unmap(iova);
    expect(ended).toEqual([10]);
  });
});

describe("a unit that does not answer", () => {
  it.each([
    ["GSTS.QIES = 1", 0x0400_0000],
    ["GSTS.IRTPS = 1", 0x0100_0000],
    ["GSTS.IRES = 1", 0x0200_0000],
    ["GSTS.RTPS = 1", 0x4000_0000],
    ["GSTS.TES = 1", 0x8000_0000 | 0],
  ])("is given up with ERR_VIOMMU_DRIVER_TIMEOUT: %s", (register, bit) => {
    const machine = new Machine();
    const bus = createMmioBus([machine.unit]);
    let polls = 0;
    const driver = machine.probe({
      bus: {
        read: (address, size, out) => {
          bus.read(address, size, out);
          if (address === UNIT_BASE + 0x1c) out[0] = out[0]! & ~bit;
        },
        write: (address, size, low, high) => {
          bus.write(address, size, low, high);
        },
      },
      poll: () => (polls += 1),
      pollLimit: 50,
    });
    const { code, message } = thrown(() => {
      driver.start();
    });
    expect(code).toBe("ERR_VIOMMU_DRIVER_TIMEOUT");
    expect(message).toContain(`dmar0: ${register} not seen within 50 polls`);
    expect(polls).toBe(49);
  });

  it("that never gets to the wait descriptor is named with its tail", () => {
    const machine = new Machine({ units: [{ settings: { queueBudget: 1 } }] });
    const driver = machine.start({ pollLimit: 20 });
    const domain = driver.attach(NIC);
    const iova = domain.map(BUFFERS, 4096);
    expect(
      thrown(() => {
        domain.unmap(iova);
      }),
    ).toMatchObject({
      code: "ERR_VIOMMU_DRIVER_TIMEOUT",
      message: expect.stringContaining("wait descriptor before IQT 0x20") as string,
    });
  });
});

describe("a refused descriptor (IQE, VT-d 6.5.2.11)", () => {
  /** Spoils the descriptor at a slot of the ring just before the unit hears of it. */
  function spoiling(machine: Machine, spoil: () => void) {
    const { bus } = machine;
    return {
      read: bus.read.bind(bus),
      write(address: number, size: number, low: number, high: number) {
        if (address === UNIT_BASE + IQT && low !== 0) spoil();
        bus.write(address, size, low, high);
      },
    };
  }

  it("is reported with its cause, and the queue goes on behind it", () => {
    const machine = new Machine();
    let spoilt = false;
    const bus = spoiling(machine, () => {
      if (spoilt) machine.memory.write32(PAGES.base, 0x1f); // no such type
      spoilt = false;
    });
    const driver = machine.start({ bus });
    const domain = driver.attach(NIC);
    const iova = domain.map(BUFFERS, 4096);
    spoilt = true;
    const { code, message } = thrown(() => {
      domain.unmap(iova);
    });
    expect(code).toBe("ERR_VIOMMU_DRIVER_REFUSED");
    expect(message).toContain("dmar0: IQERCD.IQEI is 3 for the descriptor at IQH 0x0 (1f ");
    expect(driver.counters.refused).toBe(1);
    expect(machine.read32(FSTS) & 0x10).toBe(0);
    // the rest of the batch was done, and so is the next one
    expect(machine.read32(0x80)).toBe(0x20);
    const next = domain.map(BUFFERS, 4096);
    machine.dma(NIC.sourceId, next);
    domain.unmap(next);
    expect(machine.dma(NIC.sourceId, next)).toBeLessThan(0);
  });

  it("several of them in one batch are all named", () => {
    const machine = new Machine();
    const bus = spoiling(machine, () => {
      machine.memory.write32(PAGES.base, 0x1f);
      machine.memory.write32(PAGES.base + 32, 0x32 | 0x100); // a reserved bit
    });
    const driver = machine.start({ bus });
    const request = { cache: "iotlb", granularity: "global" } as const;
    const { message } = thrown(() => {
      driver.units[0]!.invalidate([request, request, request]);
    });
    expect(message).toMatch(/IQEI is 3 .*IQH 0x0.*IQEI is 4 .*IQH 0x20/);
    expect(driver.counters.refused).toBe(2);
  });

  it("an error that is not the descriptor's ends it at once", () => {
    const machine = new Machine();
    let beyond = false;
    const driver = machine.start({
      bus: {
        read: machine.bus.read.bind(machine.bus),
        write(address, size, low, high) {
          const tail = address === UNIT_BASE + IQT && beyond;
          machine.bus.write(address, size, tail ? 0x4_0000 : low, high);
        },
      },
    });
    beyond = true;
    const { code, message } = thrown(() => {
      driver.units[0]!.invalidate([{ cache: "iotlb", granularity: "global" }]);
    });
    expect(code).toBe("ERR_VIOMMU_DRIVER_REFUSED");
    expect(message).toContain("IQEI is 1");
  });
});

describe("device-TLBs (ATS)", () => {
  /** A device-TLB that is told what to forget, and answers as it likes. */
  function machineWith(answer: DeviceTlbSink["invalidate"]) {
    return new Machine({
      units: [{ profile: { deviceTlb: true }, settings: { deviceTlb: { invalidate: answer } } }],
    });
  }

  /** A translation request, as a device with a device-TLB makes it. */
  function ask(machine: Machine, iova: number): number {
    const request = new DmaRequest();
    request.sourceId = NIC.sourceId;
    request.addressType = 1;
    request.access = 3;
    request.hi = Math.floor(iova / 2 ** 30);
    request.lo = iova % 2 ** 30;
    return machine.unit.dma.translate(request) === 0 ? request.outHi * 2 ** 30 + request.outLo : -1;
  }

  it("may be used by devices that are attached with one, and are told what is unmapped", () => {
    const told: number[][] = [];
    const machine = machineWith((sourceId, _pasid, hi, lo, order) => {
      told.push([sourceId, hi * 2 ** 30 + lo, order]);
      return "done";
    });
    const driver = machine.start();
    const domain = driver.createDomain();
    driver.attach(NIC, { domain, deviceTlb: true });
    driver.attach(DISK, { domain });
    const iova = domain.map(BUFFERS, 3 * 4096);
    expect(ask(machine, iova)).toBe(BUFFERS);
    domain.unmap(iova);
    expect(told).toEqual([[NIC.sourceId, iova, 2]]);
    driver.detach(NIC);
    expect(told[1]).toEqual([NIC.sourceId, 0, 52]);
  });

  it("a single page is told as one", () => {
    const told: number[] = [];
    const machine = machineWith((_sourceId, _pasid, _hi, _lo, order) => {
      told.push(order);
      return "done";
    });
    const domain = machine.start().attach(NIC, { deviceTlb: true });
    domain.unmap(domain.map(BUFFERS, 4096));
    expect(told).toEqual([0]);
  });

  it("are refused by a unit without them", () => {
    const driver = new Machine().start();
    expect(thrown(() => driver.attach(NIC, { deviceTlb: true })).code).toBe(
      "ERR_VIOMMU_DRIVER_CAPABILITY",
    );
  });

  it("a device that never answers is left out, and the others' invalidations are still done (ITE)", () => {
    const told: number[] = [];
    const machine = machineWith((sourceId) => {
      told.push(sourceId);
      return sourceId === NIC.sourceId ? "timeout" : "done";
    });
    const driver = machine.start();
    const domain = driver.createDomain();
    driver.attach(NIC, { domain, deviceTlb: true });
    driver.attach(DISK, { domain, deviceTlb: true });
    const iova = domain.map(BUFFERS, 4096);
    expect(machine.dma(DISK.sourceId, iova)).toBe(BUFFERS);
    domain.unmap(iova);
    expect(machine.dma(DISK.sourceId, iova)).toBeLessThan(0);
    expect(driver.counters.deviceTimeouts).toBe(1);
    expect([...driver.units[0]!.queue!.silentDevices]).toEqual([NIC.sourceId]);
    expect(told.filter((sourceId) => sourceId === NIC.sourceId)).toHaveLength(1);
    // from now on without it, until it is attached anew
    domain.unmap(domain.map(BUFFERS, 4096));
    expect(told.filter((sourceId) => sourceId === NIC.sourceId)).toHaveLength(1);
    driver.detach(NIC);
    driver.attach(NIC, { domain, deviceTlb: true });
    domain.unmap(domain.map(BUFFERS, 4096));
    expect(told.filter((sourceId) => sourceId === NIC.sourceId)).toHaveLength(2);
  });

  it("a device may take its time", () => {
    const machine = machineWith(() => "pending");
    let polls = 0;
    const poll = () => {
      polls += 1;
      if (polls === 5) machine.unit.deviceTlbCompleted(NIC.sourceId);
    };
    const driver = machine.start({ poll });
    const domain = driver.attach(NIC, { deviceTlb: true });
    const iova = domain.map(BUFFERS, 4096);
    domain.unmap(iova);
    expect(polls).toBe(5);
    expect(driver.counters.deviceTimeouts).toBe(0);
  });

  it("an unexpected completion (ICE) does not disturb", () => {
    const machine = machineWith(() => "pending");
    let polls = 0;
    const poll = () => {
      polls += 1;
      if (polls === 2) machine.unit.deviceTlbCompleted(DISK.sourceId); // not asked
      if (polls === 4) machine.unit.deviceTlbCompleted(NIC.sourceId);
    };
    const domain = machine.start({ poll }).attach(NIC, { deviceTlb: true });
    domain.unmap(domain.map(BUFFERS, 4096));
    expect(machine.read32(FSTS) & 0x20).toBe(0);
  });
});
