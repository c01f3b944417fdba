/** Acceptance scenario 8: what a hostile guest can do to a hosted vIOMMU, and the host's work for it. */
import type { ChunkedMemory } from "@viommu/memory";
import { Access } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { CountingMemory } from "./counting-memory.ts";
import { Gcmd, GuestTables, Reg } from "./guest-tables.ts";
import { dmaRequest, GUEST, L2_IR, MIB, readRegister, XenHost } from "./xen-host.ts";

const NIC = 0x0010;
const EXIT = 64;
const IQE = 0x10;

function hostile() {
  const host = new XenHost();
  let counting: CountingMemory | undefined;
  const wrap = (memory: ChunkedMemory): CountingMemory => (counting = new CountingMemory(memory));
  const guest = host.guestWithUnit(L2_IR, { budget: { descriptorsPerExit: EXIT } }, wrap);
  const { unit, memory } = guest;
  /** Accesses to guest memory that something costs. */
  const cost = (run: () => void): number => {
    const before = counting!.accesses;
    run();
    return counting!.accesses - before;
  };
  const queue = (address: number, size: number, descriptor: readonly number[]): void => {
    const words = new Int32Array((4096 << size) / 4);
    for (let at = 0; at < words.length; at += 4) words.set(descriptor, at);
    memory.writeBytes(0, address, new Uint8Array(words.buffer));
    unit.write(Reg.IQT, 8, 0, 0);
    unit.write(Reg.IQA, 8, address | size, 0);
    unit.write(Reg.GCMD, 4, Gcmd.QIE, 0);
  };
  return { host, cost, queue, ...guest };
}

describe("8. a hostile guest", () => {
  it("fills the largest queue: an exit costs what its budget has, a turn as well", () => {
    const { host, cost, queue, unit, domain } = hostile();
    queue(4 * MIB, 7, [0x35, 1, 8 * MIB, 0]);
    expect(
      cost(() => {
        unit.write(Reg.IQT, 8, 0x7_fff0, 0);
      }),
    ).toBeLessThanOrEqual(EXIT * 2);
    expect(domain.pending).toBe(true);
    let turns = 0;
    for (; domain.pending; turns += 1) {
      expect(cost(() => host.registry.run())).toBeLessThanOrEqual(
        2 * domain.limits.descriptorsPerTurn,
      );
    }
    expect(turns).toBe(32);
  });

  it("asks for an index mask of 31: refused at once, as a queue error", () => {
    const { cost, queue, unit } = hostile();
    queue(4 * MIB, 0, [0x14 | (31 << 27), 0, 0, 0]);
    expect(
      cost(() => {
        unit.write(Reg.IQT, 8, 0xff0, 0);
      }),
    ).toBe(1);
    expect(readRegister(unit, Reg.FSTS) & IQE).toBe(IQE);
  });

  it("puts tables at the top of memory, and beyond", () => {
    const { host, cost, unit } = hostile();
    for (const [low, high] of [
      [16 * MIB - 4096, 0],
      [-4096, 0x00ff_ffff],
      [-4096, -1],
    ] as const) {
      unit.write(Reg.RTADDR, 8, low, high);
      unit.write(Reg.GCMD, 4, Gcmd.SRTP, 0);
      unit.write(Reg.GCMD, 4, Gcmd.TE, 0);
      const request = dmaRequest(0xff_ff, 0x5000, Access.READ);
      expect(cost(() => host.client.translate(GUEST, 0, request))).toBeLessThanOrEqual(6);
      unit.write(Reg.IRTA, 8, low | 15, high);
      unit.write(Reg.GCMD, 4, Gcmd.SIRTP, 0);
      unit.write(Reg.GCMD, 4, 0, 0);
    }
    expect(host.client.translate(GUEST, 0, dmaRequest(NIC, 0x5000, Access.READ)).error).toBe(0);
  });

  it("lays queue and interrupt table over each other, and waits write into both", () => {
    const { queue, unit, domain, host } = hostile();
    queue(4 * MIB, 0, [0x25, -1, 4 * MIB + 0x800, 0]);
    unit.write(Reg.IRTA, 8, (4 * MIB) | 7, 0);
    unit.write(Reg.GCMD, 4, Gcmd.QIE | Gcmd.SIRTP, 0);
    unit.write(Reg.GCMD, 4, Gcmd.QIE | Gcmd.IRE, 0);
    unit.write(Reg.IQT, 8, 0xff0, 0);
    for (let turn = 0; turn < 10; turn += 1) host.registry.run();
    // the status writes have made a descriptor that is none
    expect(readRegister(unit, Reg.FSTS) & IQE).toBe(IQE);
    expect(domain.pending).toBe(false);
  });

  it("makes the queue smaller than its tail: an error instead of an endless loop", () => {
    const { queue, unit, domain } = hostile();
    queue(4 * MIB, 3, [0x04, 0, 0, 0]);
    unit.write(Reg.GCMD, 4, 0, 0);
    unit.write(Reg.IQT, 8, 0x7000, 0);
    unit.write(Reg.IQA, 8, 4 * MIB, 0);
    unit.write(Reg.GCMD, 4, Gcmd.QIE, 0);
    expect(readRegister(unit, Reg.FSTS) & IQE).toBe(IQE);
    expect(domain.pending).toBe(false);
  });

  it("its neighbour in the same registry notices nothing", () => {
    const { host, queue, unit } = hostile();
    const other = host.guestWithUnit(L2_IR, { domid: 2 });
    const tables = new GuestTables(other.unit, other.memory).start();
    queue(4 * MIB, 7, [0x35, 1, 8 * MIB, 0]);
    unit.write(Reg.IQT, 8, 0x7_fff0, 0);
    expect(tables.sync()()).toBe(true);
    expect(other.messages).toEqual([]);
  });
});
