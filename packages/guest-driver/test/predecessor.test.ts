import { Access } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import type { IommuDriver, ProbeOptions } from "../src/index.ts";
import { BUFFERS, Machine, MIB, PAGES_OF_SUCCESSOR, UNIT_BASE } from "./support/machine.ts";

const NIC = { sourceId: 0x0010 };
const DISK = { sourceId: 0x0218 };
const GSTS = 0x1c;
const GCMD = 0x18;

/** A guest that crashes with everything on, faults and a broken queue; then another one boots. */
function crashed(options: Partial<ProbeOptions> = {}) {
  const machine = new Machine();
  const first = machine.start(options);
  const domain = first.attach(NIC);
  const iova = domain.map(BUFFERS, 4096);
  const block = first.requestInterrupts(NIC, 2);
  block.route(1, { apicId: 3, vector: 0x44 });
  machine.dma(NIC.sourceId, iova);
  machine.dma(0x99, BUFFERS);
  return { machine, first, iova, message: block.message(1) };
}

function successor(machine: Machine, options: Partial<ProbeOptions> = {}): IommuDriver {
  machine.writes.length = 0;
  return machine.start({ pages: PAGES_OF_SUCCESSOR, ...options });
}

describe("what another driver has left (kexec)", () => {
  it("is switched off, one after the other, before the new tables are set", () => {
    const { machine, iova, message } = crashed();
    const driver = successor(machine);
    expect(machine.written(GCMD)).toEqual([
      0x8200_0000n, // QIE off
      0x8600_0000n, // QIE on
      0x8400_0000n, // IRE off
      0x8500_0000n, // SIRTP
      0x8600_0000n, // IRE on
      0x0600_0000n, // TE off
      0x4600_0000n, // SRTP
      0x8600_0000n, // TE on
    ]);
    expect(machine.dma(NIC.sourceId, iova)).toBeLessThan(0);
    expect(machine.interrupt(NIC.sourceId, message).result).toBe(FaultReason.IRTE_NOT_PRESENT);
    // the fault of the first is gone, those are of the second
    const sources = driver.serviceFaults().faults.map(({ sourceId }) => sourceId);
    expect(sources).toEqual([NIC.sourceId]);
  });

  it("is not kept by a driver that does without DMA or interrupt remapping", () => {
    const { machine } = crashed();
    successor(machine, { dmaRemapping: false, interruptRemapping: false });
    expect(machine.read32(GSTS) & 0x8200_0000).toBe(0);
  });

  it("a queue that stands at an error does not hold the new driver up", () => {
    const { machine } = crashed();
    // the first driver's last words: a descriptor without sense
    const tail = machine.read32(0x88);
    machine.memory.write32(16 * MIB + tail, 0x1f);
    machine.bus.write(UNIT_BASE + 0x88, 4, tail + 16, 0);
    expect(machine.read32(0x34) & 0x10).toBe(0x10);
    const driver = successor(machine, { pollLimit: 100 });
    expect(machine.read32(0x34) & 0x10).toBe(0);
    const domain = driver.attach(NIC);
    domain.unmap(domain.map(BUFFERS, 4096));
  });

  it("a queue that does not come to its end is switched off all the same", () => {
    const machine = new Machine({ units: [{ settings: { queueBudget: 1 } }] });
    const first = machine.start({ interruptEntries: 256 });
    first.attach(NIC);
    machine.memory.write64(16 * MIB, 0x12n);
    machine.memory.write64(16 * MIB + 16, 0x12n);
    machine.bus.write(UNIT_BASE + 0x88, 4, 32, 0);
    expect(machine.read32(0x80)).toBe(16);
    const second = machine.probe({ pages: PAGES_OF_SUCCESSOR, pollLimit: 10 });
    second.start();
    expect(machine.read32(0x80)).toBe(machine.read32(0x88));
  });
});

describe("taking over (kdump)", () => {
  const TAKE_OVER = { predecessor: "take-over" } as const;

  it("keeps translation and remapping on all the time, for devices that still run", () => {
    const { machine, iova, message } = crashed();
    const { bus } = machine;
    let looks = 0;
    const stillRuns = () => {
      looks += 1;
      expect(machine.dma(NIC.sourceId, iova, Access.WRITE)).toBe(BUFFERS);
      expect(machine.interrupt(NIC.sourceId, message)).toMatchObject({ destination: 3 });
    };
    successor(machine, {
      ...TAKE_OVER,
      bus: {
        read: bus.read.bind(bus),
        write(address, size, low, high) {
          bus.write(address, size, low, high);
          stillRuns();
        },
      },
    });
    expect(looks).toBeGreaterThan(8);
    expect(machine.written(GCMD)).toEqual([0x8200_0000n, 0x8600_0000n, 0x8700_0000n, 0xc600_0000n]);
  });

  it("does not need the old root, context and interrupt tables any more", () => {
    const { machine, first, iova, message } = crashed();
    const root = Number(machine.written(0x20).at(-1)!);
    const contexts = Number(machine.qwords(root, 1)[0]! & ~0xfffn);
    const interrupts = first.units[0]!.interrupts!.address;
    successor(machine, TAKE_OVER);
    for (const page of [root, contexts, interrupts]) machine.memory.fill(page, 4096, 0);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
    expect(machine.interrupt(NIC.sourceId, message).result).toBe(0);
  });

  it("gives out neither domain-ids nor interrupt entries that are in use", () => {
    const { machine } = crashed();
    const driver = successor(machine, TAKE_OVER);
    const unit = driver.units[0]!;
    expect(unit.domainIds.allocate()).toBe(3);
    // entry 1 is in use; entry 0 of the block had not been routed
    expect(driver.requestInterrupts(DISK).index).toBe(0);
    expect(driver.requestInterrupts(DISK).index).toBe(2);
  });

  it("a device that is attached anew leaves the old domain, and nothing of it stays cached", () => {
    const { machine, iova } = crashed();
    const driver = successor(machine, TAKE_OVER);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
    const domain = driver.attach(NIC);
    expect(machine.dma(NIC.sourceId, iova)).toBeLessThan(0);
    expect(domain.map(BUFFERS + MIB, 4096)).toBe(iova);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS + MIB);
  });

  it("a device can be detached although this driver has not attached it", () => {
    const { machine, iova } = crashed();
    const driver = successor(machine, TAKE_OVER);
    driver.detach(NIC);
    expect(machine.dma(NIC.sourceId, iova)).toBe(-FaultReason.CONTEXT_NOT_PRESENT);
  });

  it("keeps what was attached before the start, and copies the rest", () => {
    const { machine, iova } = crashed();
    machine.writes.length = 0;
    const driver = machine.probe({ pages: PAGES_OF_SUCCESSOR, ...TAKE_OVER });
    const disk = driver.attach(DISK);
    const mapped = disk.map(BUFFERS + MIB, 4096);
    driver.start();
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
    expect(machine.dma(DISK.sourceId, mapped)).toBe(BUFFERS + MIB);
  });

  it("does not put a device back that was attached before the start", () => {
    const { machine, iova } = crashed();
    const driver = machine.probe({ pages: PAGES_OF_SUCCESSOR, ...TAKE_OVER });
    const mapped = driver.attach(NIC).map(BUFFERS + MIB, 4096);
    expect(mapped).toBe(iova);
    driver.start();
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS + MIB);
  });

  it("starts anew where the old tables can't be used: other APIC mode, larger table, other mode", () => {
    for (const options of [{ apicMode: "xapic" }, { interruptEntries: 256 }] as const) {
      const { machine, message } = crashed();
      successor(machine, { ...TAKE_OVER, ...options });
      expect(machine.written(GCMD)).toContain(0x8400_0000n); // IRE off
      expect(machine.interrupt(NIC.sourceId, message).result).not.toBe(0);
    }
    const machine = new Machine({ units: [{ profile: { scalableMode: true } }] });
    machine.bus.write(UNIT_BASE + 0x20, 8, 0x400, 0); // RTADDR: scalable mode
    machine.bus.write(UNIT_BASE + GCMD, 4, 0x4000_0000, 0);
    machine.bus.write(UNIT_BASE + GCMD, 4, 0x8000_0000 | 0, 0);
    successor(machine, TAKE_OVER);
    expect(machine.written(GCMD)).toContain(0x0600_0000n); // TE off
    expect(machine.read32(GSTS) >>> 31).toBe(1);
  });

  it("reads no further than memory goes: a predecessor's tables may be anything", () => {
    const { machine, first } = crashed();
    const root = Number(machine.written(0x20).at(-1)!);
    machine.memory.write64(root + 16 * 5, 0x0fff_ffff_f001n); // a context table in a hole
    machine.bus.write(UNIT_BASE + 0xb8, 8, 0x7fff_f80f | 0, 0xf); // IRTA in a hole
    expect(first.units).toHaveLength(1);
    const driver = successor(machine, TAKE_OVER);
    expect(driver.requestInterrupts(NIC).index).toBe(0);
  });
});
