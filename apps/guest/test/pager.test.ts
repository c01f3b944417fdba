import { createMemory } from "@viommu/memory";
import { describe, expect, it } from "vitest";
import { FramePool } from "../src/kernel/frame-pool.ts";
import { Pager } from "../src/kernel/pager.ts";
import { firstDifference } from "../src/kernel/pattern.ts";
import { ProcessTable } from "../src/kernel/process-table.ts";
import { Process } from "../src/kernel/process.ts";
import { PAGE, Ram } from "../src/kernel/ram.ts";

const SIZE = 0x100_0000;
const BASE = 0x10_0000;

function memory() {
  const guest = createMemory({ regions: [{ base: 0, size: SIZE }] });
  return { guest, ram: new Ram(guest, [{ base: BASE, size: SIZE - BASE }]) };
}

describe("page table of a process (VT-d 9.7)", () => {
  const ADDRESS = 0x7fab_cdef_1000;
  /** Index of the address in the tables of levels 4 to 1. */
  const INDICES = [255, 175, 111, 241];

  it("has four levels, user pages, and write permission where it is given", () => {
    const { guest, ram } = memory();
    const table = new ProcessTable(ram);
    table.map(ADDRESS, 0x12_3000, true);
    table.map(ADDRESS + PAGE, 0x12_4000, false);
    let next = BigInt(table.root);
    for (const index of INDICES.slice(0, 3)) {
      const entry = guest.read64(Number(next) + 8 * index);
      expect(entry & 0xfffn).toBe(7n);
      next = entry & ~0xfffn;
    }
    expect(guest.read64(Number(next) + 8 * INDICES[3]!)).toBe(0x12_3007n);
    expect(guest.read64(Number(next) + 8 * INDICES[3]! + 8)).toBe(0x12_4005n);
    expect(table.find(ADDRESS)).toEqual({ frame: 0x12_3000, dirty: false });
    expect(table.find(ADDRESS + 2 * PAGE)).toBe(null);
    expect(table.find(0)).toBe(null);
    // a unit sets accessed and dirty
    guest.write64(Number(next) + 8 * INDICES[3]!, 0x12_3067n);
    expect(table.find(ADDRESS)).toEqual({ frame: 0x12_3000, dirty: true });
  });

  it("is empty after unmap and clear, and its tables are free again", () => {
    const { guest, ram } = memory();
    const table = new ProcessTable(ram);
    const { next } = ram.save();
    table.map(ADDRESS, 0x12_3000, true);
    table.map(0x5500_0000_0000, 0x12_4000, true);
    table.unmap(ADDRESS);
    expect(table.find(ADDRESS)).toBe(null);
    expect(table.find(0x5500_0000_0000)).not.toBe(null);
    table.clear();
    expect(table.find(0x5500_0000_0000)).toBe(null);
    for (let at = 0; at < PAGE; at += 8) expect(guest.read64(table.root + at)).toBe(0n);
    const used = (ram.save().next - next) / PAGE;
    expect(ram.save().free).toHaveLength(used);
  });
});

describe("frames", () => {
  it("that were written to while they were free are counted, once they are looked at", () => {
    const { ram } = memory();
    const pool = new FramePool(ram, 3);
    const frames = [pool.take()!, pool.take()!];
    for (const frame of frames) pool.give(frame);
    ram.bytes(frames[1]!, PAGE)[77] = 0;
    pool.lookAtAll();
    expect(pool.touched).toBe(1);
    expect(pool.take()).not.toBe(null);
    expect([pool.take(), pool.take(), pool.take()]).toEqual([...frames, null]);
    expect(pool.touched).toBe(2);
  });
});

describe("pager", () => {
  const FIRST = 0x100;
  const KEY = 5;

  /** Two processes, 4 frames, and what units were told to forget. */
  function start() {
    const { guest, ram } = memory();
    const processes = [new Process(ram, 0, 1), new Process(ram, 1, 2)];
    const forgotten: [pasid: number, page: number, pages: number][] = [];
    const pager = new Pager({
      ...{ ram, processes, frames: 4, permissions: null },
      iommu: {
        invalidateRange: (pasid: number, address?: number, pages?: number) => {
          forgotten.push([pasid, address! / PAGE, pages!]);
        },
      },
      contentOf: ({ slot }, page) =>
        page < FIRST || page > FIRST + 8
          ? null
          : { key: KEY + slot * 100 + page, writable: page % 2 === 1 },
    });
    /** As a device that writes, whose unit sets the dirty bit. */
    const write = (process: Process, page: number, value: number): void => {
      const { frame } = process.table.find(page * PAGE)!;
      guest.write32(frame, value);
      process.table.map(page * PAGE, frame + 0x40, true);
    };
    return { guest, ram, pager, processes, forgotten, write };
  }

  it("brings what the process expects, and refuses what it has not or may not write", () => {
    const { pager, processes } = start();
    const [first, second] = processes as [Process, Process];
    expect(pager.bring(first, FIRST, false)).toBe(true);
    expect(pager.bring(second, FIRST + 1, true)).toBe(true);
    expect(pager.bring(first, FIRST, true)).toBe(false);
    expect(pager.bring(first, FIRST - 1, false)).toBe(false);
    expect(firstDifference(pager.bytes(first, FIRST)!, KEY + FIRST)).toBe(-1);
    expect(firstDifference(pager.bytes(second, FIRST + 1)!, KEY + 100 + FIRST + 1)).toBe(-1);
    expect(pager.bytes(second, FIRST)).toBe(null);
    expect(pager.counters.broughtIn).toBe(2);
  });

  it("takes the oldest page away, tells the units, and stores what was changed", () => {
    const { pager, processes, forgotten, write } = start();
    const [process] = processes as [Process];
    for (let page = FIRST; page < FIRST + 4; page += 1) pager.bring(process, page, false);
    write(process, FIRST + 1, 0x1234);
    expect(forgotten).toEqual([]);
    for (let page = FIRST + 4; page < FIRST + 6; page += 1) pager.bring(process, page, false);
    expect(forgotten).toEqual([
      [1, FIRST, 1],
      [1, FIRST + 1, 1],
    ]);
    expect(process.table.find((FIRST + 1) * PAGE)).toBe(null);
    expect(pager.counters).toEqual({ broughtIn: 6, broughtBack: 0, reclaimed: 2, stored: 1 });
    expect([...process.stored.keys()]).toEqual([FIRST + 1]);
  });

  it("what was stored comes back, and survives that it goes again unchanged", () => {
    const { pager, processes, write } = start();
    const [process, other] = processes as [Process, Process];
    const push = (): void => {
      for (let page = FIRST; page < FIRST + 4; page += 1) pager.bring(other, page, false);
    };
    pager.bring(process, FIRST + 1, true);
    write(process, FIRST + 1, 0x1234);
    for (let round = 1; round <= 3; round += 1) {
      for (let page = FIRST; page < FIRST + 4; page += 1) pager.release(other, page, 1);
      push();
      expect(process.table.find((FIRST + 1) * PAGE)).toBe(null);
      pager.bring(process, FIRST + 1, false);
      const bytes = pager.bytes(process, FIRST + 1)!;
      expect(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)).toBe(0x1234);
      expect(pager.counters).toMatchObject({ broughtBack: round, stored: 1 });
    }
  });

  it("gives everything of a process back, and nothing of another one", () => {
    const { pager, processes, write } = start();
    const [first, second] = processes as [Process, Process];
    pager.bring(first, FIRST + 1, true);
    write(first, FIRST + 1, 1);
    for (let page = FIRST; page < FIRST + 4; page += 1) pager.bring(second, page, false);
    pager.bring(first, FIRST, false);
    pager.releaseAll(first);
    expect(first.stored.size).toBe(0);
    expect(pager.bytes(first, FIRST)).toBe(null);
    expect(first.table.find(FIRST * PAGE)).toBe(null);
    expect(pager.save().resident.map(([slot]) => slot)).toEqual([1, 1, 1]);
    expect(pager.frames.save().free).toHaveLength(1);
  });
});
