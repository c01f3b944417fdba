/** Acceptance scenarios 3, 5 and 11: DMA of emulated devices, translated by hypercall. */
import { createDmaPort } from "@viommu/memory";
import { Access } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { DummyViommu } from "../src/index.ts";
import { Gcmd, GuestTables, Reg } from "./guest-tables.ts";
import { HostedGuest } from "./hosted-guest.ts";
import { BASE, dmaRequest, DOM0, GUEST, L2_IR, readRegister, XenHost } from "./xen-host.ts";

const NIC = 0x0010;
const DISK = 0x0018;

function emulated() {
  const host = new XenHost();
  const guest = host.guestWithUnit();
  const dummy = new DummyViommu({ client: host.client, domid: GUEST });
  guest.domain.connect(DOM0, dummy);
  const tables = new GuestTables(guest.unit, guest.memory).start();
  const port = createDmaPort({ memory: guest.memory, remapper: dummy, sourceId: NIC });
  return { host, dummy, tables, port, ...guest };
}

describe("3. an emulated NIC behind second-stage tables", () => {
  it.each([
    ["4 KiB", 12, 0x7000, 0xc0_0000, 0xfff],
    ["2 MiB", 21, 0x60_0000, 0xc0_0000, 0x12_3456],
    ["1 GiB", 30, 2 ** 32, 0, 0xc0_1234],
  ])("writes and reads through a page of %s", (_, pageShift, iova, gpa, offset) => {
    const { port, tables, memory } = emulated();
    tables.mapPage(NIC, iova, gpa, 3, pageShift);
    expect(port.write(iova + offset, Uint8Array.of(0x5a))).toBe(0);
    const seen = new Uint8Array(1);
    memory.readBytes(0, gpa + offset, seen);
    expect(seen[0]).toBe(0x5a);
    expect(port.read(iova + offset, seen)).toBe(0);
  });

  it.each([
    ["a write to a read-only page: 5", Access.READ, Access.WRITE, 0x8000_0005, 0],
    ["a read of a write-only page: 6", Access.WRITE, Access.READ, 0xc000_0006, 0],
  ])("%s, with the right record", (_, granted, access, word3, word1) => {
    const { dummy, tables, unit } = emulated();
    tables.mapPage(NIC, 0x12_3000, 0xc0_0000, granted);
    expect(dummy.translate(dmaRequest(NIC, 0x12_3456, granted))).toBe(0);
    expect(dummy.translate(dmaRequest(NIC, 0x12_3456, access))).toBe(word3 & 0xff);
    const record = [0, 4, 8, 12].map((at) => readRegister(unit, Reg.FRCD + at));
    expect(record).toEqual([0x12_3000, word1, NIC, word3]);
    expect(readRegister(unit, Reg.FSTS) & 2).toBe(2); // PPF
  });
});

describe("5. DMA that began before IVT ends before IVT clears", () => {
  it("by register, as the protocol of the design has it", () => {
    const { port, tables, unit, memory, dummy } = emulated();
    tables.mapPage(NIC, 0x7000, 0xc0_0000);
    tables.command(Gcmd.QIE, false);
    const transfer = port.segments(0x7000, 4096, Access.WRITE);
    tables.unmapPage(NIC, 0x7000);
    unit.write(Reg.IOTLB, 8, 0, (1 << 31) | (1 << 28)); // IVT, global
    const pending = (): number => readRegister(unit, Reg.IOTLB + 4) >>> 31;
    expect(pending()).toBe(1);
    // DMA that begins now is blocked, and does not hold up anything
    expect(dummy.translate(dmaRequest(NIC, 0x7000, Access.WRITE))).toBe(5);
    transfer.views[0]!.fill(0xee);
    expect(pending()).toBe(1);
    transfer.release();
    expect(pending()).toBe(0);
    expect(memory.read32(0xc0_0ffc) >>> 0).toBe(0xeeee_eeee);
  });
});

describe("11. two vIOMMUs with disjoint scopes", () => {
  it("a driver finds both through DMAR; each has its devices' tables and faults", () => {
    const guest = new HostedGuest();
    const { client } = guest.host;
    const { domain, units, memory } = guest.guest;
    client.create(GUEST, { base: BASE + 0x1000, capabilities: L2_IR, devices: [NIC] });
    client.create(GUEST, { base: BASE, capabilities: L2_IR });
    const driver = guest.boot();
    const dummy = new DummyViommu({ client, domid: GUEST });
    domain.connect(DOM0, dummy);
    const [own, rest] = units;
    for (const [sourceId, unit, other, at] of [
      [NIC, own!, rest!, 0xc0_0000],
      [DISK, rest!, own!, 0xd0_0000],
    ] as const) {
      const mapping = driver.attach({ sourceId });
      const iova = mapping.map(at, 4096);
      const port = createDmaPort({ memory, remapper: dummy, sourceId });
      expect(port.write(iova, Uint8Array.of(1, 2, 3))).toBe(0);
      expect(memory.read32(at)).toBe(0x03_0201);
      const misses = other.dma.counters.misses;
      expect(port.write(iova + 4096, Uint8Array.of(1))).toBe(5);
      expect(other.dma.counters.misses).toBe(misses);
      expect(readRegister(unit, Reg.FSTS) & 2).toBe(2);
      const { faults } = driver.serviceFaults();
      expect(faults.map((fault) => fault.sourceId)).toEqual([sourceId]);
    }
  });

  it("two domains beside each other have nothing in common", () => {
    const host = new XenHost();
    const guests = [1, 2].map((domid) => {
      const made = host.guestWithUnit(L2_IR, { domid });
      const dummy = new DummyViommu({ client: host.client, domid });
      made.domain.connect(DOM0, dummy);
      const tables = new GuestTables(made.unit, made.memory).start();
      tables.mapPage(NIC, 0x7000, 0xc0_0000 + domid * 4096);
      return { dummy, ...made };
    });
    const pages = guests.map(({ dummy }) => {
      const request = dmaRequest(NIC, 0x7000, Access.WRITE);
      expect(dummy.translate(request)).toBe(0);
      return request.outLo;
    });
    expect(pages).toEqual([0xc0_1000, 0xc0_2000]);
    guests[0]!.unit.write(Reg.GCMD, 4, 0, 0); // one switches off
    expect(guests[1]!.dummy.translate(dmaRequest(NIC, 0x8000, Access.WRITE))).toBe(5);
    expect(guests[0]!.dummy.translate(dmaRequest(NIC, 0x8000, Access.WRITE))).toBe(0);
  });
});
