import { createMemory } from "@viommu/memory";
import { Access } from "@viommu/plugin";
import { createProfile } from "@viommu/vtd";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HostPermissionTable } from "../src/host-permission-table.ts";
import { PageAllocator } from "../src/page-allocator.ts";
import { PermissionCounts } from "../src/permission-counts.ts";
import type { PageRights } from "../src/permission-counts.ts";
import { TableMemory } from "../src/table-memory.ts";
import { thrown } from "./support/code.ts";
import { MIB } from "./support/machine.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_123);
const BASE = 0x10_0000;
const READ_WRITE = Access.READ | Access.WRITE;
/** In pages. */
const [TWO_MIB, GIB] = [2 ** 9, 2 ** 18];

/** Tells of each write, so that a test can look between them. */
class WatchedMemory extends TableMemory {
  written: (address: number) => void = () => undefined;

  override write(address: number, words: Int32Array): void {
    super.write(address, words);
    this.written(address);
  }

  override writeWord(address: number, value: number): void {
    super.writeWord(address, value);
    this.written(address);
  }
}

function bench({ width = 46, large = true, size = 2 * MIB } = {}) {
  const memory = createMemory({ regions: [{ base: 0, size: 4 * MIB }] });
  const tables = new WatchedMemory(memory);
  const pages = new PageAllocator(tables, { base: BASE, size });
  const { capabilities } = createProfile({
    scalableMode: true,
    deviceTlb: true,
    hostPermissionTables: true,
    hostPermission1GPages: large,
  });
  const table = new HostPermissionTable(tables, pages, capabilities, width);
  const entry = (address: number) => [memory.read64(address), memory.read64(address + 8)];
  /** The rights of a page as VT-d 4.2.4 finds them. */
  const walk = (page: number): number => {
    let at = table.root + 16 * Math.floor(page / 2 ** 29);
    for (const [shift, bits] of [
      [18, 3],
      [9, 4],
      [0, 5],
    ] as const) {
      const link = memory.read64(at + 8);
      if ((link & 1n) === 0n) return 0;
      at = Number(link - 1n) + 16 * (Math.floor(page / 2 ** (shift + bits)) % 256);
      const index = Math.floor(page / 2 ** shift) % 2 ** bits;
      const permission = (memory.read32(at + 4 * (index >> 3)) >>> (4 * (index & 7))) & 15;
      if (permission !== 0 || shift === 0) return permission;
    }
    return 0;
  };
  const permit = (page: number, count: number, access: number) => {
    table.prepare(page, count, []);
    return table.set({ page, count, access });
  };
  return { memory, tables, pages, table, entry, walk, permit };
}

describe("host permission table entries (VT-d 9.12), literally", () => {
  it("a page of 4 KiB: an entry at each level", () => {
    const { table, entry, permit } = bench();
    // 7f_ffff_f000h: level 4 entry 0, level 3 entry 63, level 2 entry 255, level 1 entry 255
    expect(permit(0x7ff_ffff, 1, Access.READ)).toBe(1);
    expect(entry(table.root)).toEqual([0n, 0x10_1001n]);
    expect(entry(0x10_1000 + 16 * 63)).toEqual([0n, 0x10_2001n]);
    expect(entry(0x10_2000 + 16 * 255)).toEqual([0n, 0x10_3001n]);
    expect(entry(0x10_3000 + 16 * 255)).toEqual([0n, 1n << 60n]);
    permit(0x7ff_fffe, 1, READ_WRITE);
    expect(entry(0x10_3000 + 16 * 255)).toEqual([0n, 0x13n << 56n]);
  });

  it("a page of 2 MiB, and one of 1 GiB where the unit has them (HPT1GPS)", () => {
    const { table, entry, permit, pages } = bench();
    expect(permit(15 * TWO_MIB, TWO_MIB, Access.WRITE)).toBe(2);
    expect(entry(0x10_1000)).toEqual([0n, 0x10_2001n]);
    expect(entry(0x10_2000)).toEqual([2n << 60n, 0n]);
    expect(permit(7 * GIB, GIB, READ_WRITE)).toBe(3);
    expect(entry(0x10_1000)).toEqual([3n << 28n, 0x10_2001n]);
    expect(pages.used).toBe(3);
    expect(entry(table.root)).toEqual([0n, 0x10_1001n]);
  });

  it("without HPT1GPS, 1 GiB is 512 pages of 2 MiB", () => {
    const { entry, permit } = bench({ large: false });
    expect(permit(0, GIB, Access.READ)).toBe(2);
    expect(entry(0x10_1000)).toEqual([0n, 0x10_2001n]);
    for (let i = 0; i < 256; i += 1) {
      expect(entry(0x10_2000 + 16 * i)).toEqual([i < 32 ? 0x1111_1111_1111_1111n : 0n, 0n]);
    }
  });

  it("a large page is handed down when a part of it gets other rights, and comes back", () => {
    const { entry, permit, walk, pages } = bench();
    permit(0, GIB, READ_WRITE);
    expect(entry(0x10_1000)).toEqual([3n, 0n]);
    expect(permit(TWO_MIB + 5, 1, Access.READ)).toBe(3);
    expect(entry(0x10_1000)).toEqual([0n, 0x10_2001n]);
    expect(entry(0x10_2000)).toEqual([0x3333_3333_3333_3303n, 0x10_3001n]);
    expect(entry(0x10_2000 + 16 * 31)).toEqual([0x3333_3333_3333_3333n, 0n]);
    expect(entry(0x10_3000 + 16 * 16)).toEqual([0x3333_3333_3313_3333n, 0x3333_3333_3333_3333n]);
    expect([walk(0), walk(TWO_MIB + 5), walk(GIB - 1), walk(GIB)]).toEqual([3, 1, 3, 0]);
    permit(0, GIB, Access.WRITE);
    expect(entry(0x10_1000)).toEqual([2n, 0x10_2001n]);
    expect(entry(0x10_2000)).toEqual([0n, 0x10_3001n]);
    expect(entry(0x10_3000 + 16 * 16)).toEqual([0n, 0n]);
    expect(pages.used).toBe(4);
  });

  it.each([
    [39, 0, 1],
    [49, 0, 1],
    [50, 1, 2],
    [52, 3, 8],
  ])("hosts of %i bits: HPTSZ %i, %i pages", (width, size, count) => {
    const { table, pages, permit, walk } = bench({ width });
    expect([table.size, pages.used]).toEqual([size, count]);
    const last = 2 ** (width - 12) - 1;
    expect(table.pageLimit).toBe(last + 1);
    permit(last, 1, Access.WRITE);
    expect([walk(last), walk(last - 1)]).toEqual([2, 0]);
    expect(pages.used).toBe(count + 3);
    table.release();
    expect(pages.used).toBe(0);
  });

  it("changes nothing that is as it should be", () => {
    const { table, permit } = bench();
    permit(0, 2 * TWO_MIB + 3, READ_WRITE);
    expect(table.prepare(TWO_MIB, TWO_MIB + 3, [])).toBe(0);
    expect(table.set({ page: TWO_MIB, count: TWO_MIB + 3, access: READ_WRITE })).toBe(0);
    expect(table.set({ page: GIB, count: GIB, access: 0 })).toBe(0);
  });

  it("without memory for tables no permission changes, and what was made is taken out", () => {
    const { table, pages, walk, permit, entry } = bench({ size: 0x4000 });
    permit(0, TWO_MIB, READ_WRITE);
    expect(pages.used).toBe(3);
    const made: number[] = [];
    // one page is left, for the lower end
    expect(thrown(() => table.prepare(TWO_MIB - 1, 2 ** 13, made)).code).toBe(
      "ERR_VIOMMU_DRIVER_MEMORY",
    );
    expect([walk(TWO_MIB - 1), walk(TWO_MIB)]).toEqual([3, 0]);
    expect(made).toEqual([0x10_2000]);
    expect(table.unlink(made)).toEqual([0x10_3000]);
    expect(entry(0x10_2000)).toEqual([3n, 0n]);
  });
});

/** Borders of pages of all sizes, and around. */
const page = fc
  .record({ gib: fc.nat(9), two: fc.constantFrom(0, 1, 15, 16, 17, 300), small: fc.nat(40) })
  .map(({ gib, two, small }) => gib * GIB + two * TWO_MIB + Math.max(0, small - 20));
const run = fc
  .record({
    from: page,
    to: fc.oneof(page, fc.nat(50)),
    access: fc.constantFrom(Access.READ, Access.WRITE, READ_WRITE),
  })
  .map(({ from, to, access }): PageRights => {
    if (to < 50) return { page: from, count: to + 1, access };
    return { page: Math.min(from, to), count: Math.abs(from - to) + 1, access };
  });

describe("any grants, taken back in any order", () => {
  const reasons = (runs: readonly PageRights[], at: number): number =>
    runs
      .filter((one) => at >= one.page && at < one.page + one.count)
      .reduce((access, one) => access | one.access, 0);

  it.each([true, false])(
    "between any two writes a page has old or new rights (1G: %s)",
    (large) => {
      fc.assert(
        fc.property(
          fc.array(fc.tuple(run, fc.nat(100)), { maxLength: 12 }),
          fc.array(page, { minLength: 1, maxLength: 4 }),
          (steps, others) => {
            const { table, tables, pages, walk } = bench({ large });
            const counts = new PermissionCounts();
            const held: PageRights[] = [];
            const step = (changed: PageRights, by: 1 | -1, which: number): void => {
              const before = held.slice();
              if (by === 1) held.push(changed);
              else held.splice(which, 1);
              const borders = held.flatMap((one) => [one.page, one.page + one.count - 1]);
              const ends = [changed.page, changed.page + changed.count - 1];
              const looks = [...ends, ...others, ...borders.slice(-6)];
              const expected = looks.map((at) => [reasons(before, at), reasons(held, at)]);
              let left = 60;
              tables.written = () => {
                if (left-- <= 0) return; // the rest is seen at the end
                looks.forEach((at, i) => {
                  expect(expected[i]).toContain(walk(at));
                });
              };
              if (by === 1) table.prepare(changed.page, changed.count, []);
              const { used } = pages;
              const changes = by === 1 ? counts.add(changed) : counts.remove(changed);
              for (const change of changes) table.set(change);
              expect(pages.used).toBe(used); // permissions themselves take no memory
              tables.written = () => undefined;
              looks.forEach((at, i) => {
                expect(walk(at)).toBe(expected[i]![1]);
              });
            };
            for (const [rights, which] of steps) {
              step(rights, 1, 0);
              if (which % 2 === 0) step(held[which % held.length]!, -1, which % held.length);
            }
            while (held.length > 0) step(held[0]!, -1, 0);
            expect(counts.isEmpty).toBe(true);
            table.release();
            expect(pages.used).toBe(0);
          },
        ),
        { seed, numRuns: 30 },
      );
    },
  );

  it("counts reasons as a list of them does", () => {
    const small = fc.record({
      page: fc.nat(20),
      count: fc.integer({ min: 1, max: 8 }),
      access: fc.constantFrom(Access.READ, Access.WRITE, READ_WRITE),
    });
    fc.assert(
      fc.property(fc.array(fc.tuple(small, fc.nat(), fc.boolean())), (steps) => {
        let counts = new PermissionCounts();
        const held: PageRights[] = [];
        const all = () => Array.from({ length: 30 }, (_, at) => reasons(held, at));
        for (const [rights, which, takes] of steps) {
          const before = all();
          let changes;
          if (takes && held.length > 0) {
            const [taken] = held.splice(which % held.length, 1);
            expect(counts.has(taken!)).toBe(true);
            changes = counts.remove(taken!);
          } else {
            held.push(rights);
            changes = counts.add(rights);
          }
          const after = before.slice();
          for (const change of changes) {
            expect(change.before).not.toBe(change.access);
            for (let at = change.page; at < change.page + change.count; at += 1) {
              expect(before[at]).toBe(change.before);
              after[at] = change.access;
            }
          }
          expect(after).toEqual(all());
          const found = new Array<number>(30).fill(0);
          for (const one of counts.rights()) found.fill(one.access, one.page, one.page + one.count);
          expect(found).toEqual(after);
          for (let at = 0; at < 28; at += 1) {
            const pair = { page: at, count: 2, access: READ_WRITE };
            expect(counts.has(pair)).toBe((after[at]! & after[at + 1]!) === READ_WRITE);
          }
          const restored = new PermissionCounts();
          restored.restore(counts.save());
          expect(restored.save()).toEqual(counts.save());
          counts = restored;
        }
      }),
      { seed, numRuns: 200 },
    );
  });
});
