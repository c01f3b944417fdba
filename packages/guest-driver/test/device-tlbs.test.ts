import { AtcResult, createAtc, createAtcRouter, createDmaPort } from "@viommu/memory";
import type { DmaPort } from "@viommu/memory";
import { describe, expect, it } from "vitest";
import type { PageRequestHandler } from "../src/index.ts";
import { BUFFERS, Machine, MIB, PROCESSES } from "./support/machine.ts";
import { ProcessTable } from "./support/page-table.ts";

const GPU = { sourceId: 0x0320 };
const VIRTUAL = 0x1234_5000;
const DONE = 0;

/** A GPU with an address translation cache of its own, PASIDs and page requests. */
function start(handler?: PageRequestHandler) {
  const told: string[] = [];
  const router = createAtcRouter();
  const machine = new Machine({
    units: [
      {
        profile: { scalableMode: true, deviceTlb: true, pageRequests: true },
        settings: {
          deviceTlb: {
            invalidate: (sourceId, pasid, hi, lo, order) => {
              told.push(`${pasid} ${(hi * 2 ** 30 + lo).toString(16)}/${order}`);
              return router.invalidate(sourceId, pasid, hi, lo, order);
            },
          },
          pageResponses: router,
        },
      },
    ],
  });
  const { unit, memory } = machine;
  const atc = createAtc({ remapper: unit.dma, agent: unit, pageRequests: {} });
  router.attach(GPU.sourceId, atc);
  const driver = machine.start({
    mode: "scalable",
    ...(handler === undefined ? {} : { onPageRequest: handler }),
  });
  driver.setFeatures(GPU, { deviceTlb: true, pageRequests: true, pasidBits: 20 });
  const port = (pasid?: number): DmaPort =>
    createDmaPort({
      memory,
      remapper: atc,
      sourceId: GPU.sourceId,
      ...(pasid === undefined ? {} : { pasid }),
    });
  return { machine, driver, port, told };
}

describe("a device with a translation cache, and a process", () => {
  it("is told of what the process unmaps, by PASID, and uses nothing old", () => {
    const { machine, driver, port, told } = start();
    const table = ProcessTable.in(machine, PROCESSES);
    table.map(BigInt(VIRTUAL), BUFFERS);
    const pasid = driver.allocatePasid();
    driver.bindProcess(GPU, pasid, table.root);
    const dma = port(pasid);
    expect(dma.writeWord(VIRTUAL, 0x11)).toBe(0);
    expect(machine.memory.read32(BUFFERS)).toBe(0x11);
    table.map(BigInt(VIRTUAL), BUFFERS + 4096);
    driver.invalidateRange(pasid, VIRTUAL, 1);
    expect(told).toEqual([`${pasid} ${VIRTUAL.toString(16)}/0`]);
    expect(dma.writeWord(VIRTUAL, 0x22)).toBe(0);
    expect([machine.memory.read32(BUFFERS), machine.memory.read32(BUFFERS + 4096)]).toEqual([
      0x11, 0x22,
    ]);
    told.length = 0;
    driver.unbindProcess(GPU, pasid);
    // once by unbinding, once by draining page requests
    expect(told).toEqual([`${pasid} 0/52`, `${pasid} 0/52`]);
    expect(dma.writeWord(VIRTUAL, 0x33)).not.toBe(DONE);
    expect(machine.memory.read32(BUFFERS + 4096)).toBe(0x22);
  });

  it("faults its pages in: request, answer, access", () => {
    const bench = start(({ pages }) => {
      for (const { address } of pages) {
        table.map(BigInt(address), BUFFERS + (address - VIRTUAL), { writable: true });
      }
      return "success";
    });
    const { machine, driver, port } = bench;
    const table = ProcessTable.in(machine, PROCESSES);
    const pasid = driver.allocatePasid();
    driver.bindProcess(GPU, pasid, table.root);
    const dma = port(pasid);
    for (let page = 0; page < 8; page += 1) {
      const address = VIRTUAL + page * 4096;
      expect(dma.writeWord(address, page)).toBe(AtcResult.PAGE_REQUESTED);
      driver.servicePageRequests();
      expect(dma.writeWord(address, page)).toBe(0);
      expect(machine.memory.read32(BUFFERS + page * 4096)).toBe(page);
    }
    expect(driver.serviceFaults().faults).toEqual([]);
  });
});

describe("a device with a translation cache, and domains", () => {
  it("is told without PASID of its own domain, and with PASID where it is attached by one", () => {
    const { machine, driver, port, told } = start();
    const domain = driver.attach(GPU);
    const pasid = driver.allocatePasid();
    driver.attach(GPU, { domain, pasid });
    const iova = domain.map(BUFFERS, 4096);
    expect([port().writeWord(iova, 1), port(pasid).writeWord(iova + 4, 2)]).toEqual([0, 0]);
    expect(machine.memory.read64(BUFFERS)).toBe(0x2_0000_0001n);
    domain.unmap(iova);
    const page = iova.toString(16);
    expect(told).toEqual([`-1 ${page}/0`, `${pasid} ${page}/0`]);
    expect(port().writeWord(iova, 3)).not.toBe(DONE);
    expect(port(pasid).writeWord(iova, 3)).not.toBe(DONE);
    expect(machine.memory.read64(BUFFERS)).toBe(0x2_0000_0001n);
  });

  it("forgets a nested process as a whole when the domain under it changes", () => {
    const { machine, driver, port, told } = start();
    const domain = driver.createDomain({ stage: "second" });
    const tables = domain.map(PROCESSES, MIB);
    const data = domain.map(BUFFERS, 4096);
    const offset = PROCESSES - tables;
    const table = new ProcessTable(
      {
        read: (address) => machine.memory.read64(address + offset),
        write: (address, value) => {
          machine.memory.write64(address + offset, value);
        },
      },
      tables,
    );
    table.map(BigInt(VIRTUAL), data);
    const pasid = driver.allocatePasid();
    driver.bindProcess(GPU, pasid, table.root, { domain });
    expect(port(pasid).writeWord(VIRTUAL, 1)).toBe(0);
    domain.unmap(data);
    expect(told).toEqual([`${pasid} 0/52`]);
    expect(port(pasid).writeWord(VIRTUAL, 2)).not.toBe(DONE);
    expect(machine.memory.read32(BUFFERS)).toBe(1);
  });

  it("has it for all its PASIDs, also when only attach() was told", () => {
    const told: number[] = [];
    const machine = new Machine({
      units: [
        {
          profile: { scalableMode: true, deviceTlb: true },
          settings: {
            deviceTlb: {
              invalidate: (_sourceId, pasid) => {
                told.push(pasid);
                return "done";
              },
            },
          },
        },
      ],
    });
    const driver = machine.start({ mode: "scalable" });
    driver.setFeatures(GPU, { pasidBits: 20 });
    driver.attach(GPU, { deviceTlb: true });
    const pasid = driver.allocatePasid();
    driver.bindProcess(GPU, pasid, 0x1000);
    driver.invalidateRange(pasid);
    expect(told).toEqual([pasid]);
  });

  it("a device that never answers is left out, by PASID too", () => {
    const machine = new Machine({
      units: [
        {
          profile: { scalableMode: true, deviceTlb: true },
          settings: { deviceTlb: { invalidate: () => "timeout" } },
        },
      ],
    });
    const driver = machine.start({ mode: "scalable" });
    driver.setFeatures(GPU, { deviceTlb: true, pasidBits: 20 });
    const pasid = driver.allocatePasid();
    const table = ProcessTable.in(machine, PROCESSES);
    table.map(BigInt(VIRTUAL), BUFFERS);
    driver.bindProcess(GPU, pasid, table.root);
    expect(machine.dmaWith(pasid, GPU.sourceId, BigInt(VIRTUAL))).toBe(BUFFERS);
    driver.unbindProcess(GPU, pasid);
    expect(driver.counters.deviceTimeouts).toBe(1);
    expect(machine.dmaWith(pasid, GPU.sourceId, BigInt(VIRTUAL))).toBeLessThan(0);
  });
});
