import { Access } from "@viommu/plugin";
import { createMemory } from "@viommu/memory";
import { createProfile } from "@viommu/vtd";
import { describe, expect, it } from "vitest";
import { PageAllocator } from "../src/page-allocator.ts";
import { PagingTable } from "../src/paging-table.ts";
import { LegacyRootTable } from "../src/root-table.ts";
import { TableMemory } from "../src/table-memory.ts";
import { thrown } from "./support/code.ts";
import { GIB, MIB } from "./support/machine.ts";

const BASE = 0x10_0000;

function bench() {
  const memory = createMemory({ regions: [{ base: 0, size: 4 * MIB }] });
  const tables = new TableMemory(memory);
  const pages = new PageAllocator(tables, { base: BASE, size: 2 * MIB });
  const qword = (address: number) => memory.read64(address);
  return { memory, tables, pages, qword };
}

/** SAGAW 0110b: 39 and 48 bits. */
const CAPABILITIES = createProfile().capabilities;
const DEVICE = {
  sourceId: 0x0210,
  deviceTlb: false,
  pageRequests: false,
  pasidBits: 0,
  hostPermissions: false,
  physicalFunction: 0x0210,
  pendingInvalidations: 32,
};

describe("root and context entries (VT-d 9.1, 9.3), literally", () => {
  const entry = { domainId: 5, levels: 4, deviceTlb: false };

  it.each([
    ["translated", entry, [0x1234_5001n, 0x502n]],
    ["with a device-TLB", { ...entry, deviceTlb: true }, [0x1234_5005n, 0x502n]],
    ["39 bits", { ...entry, domainId: 0x1234, levels: 3 }, [0x1234_5001n, 0x12_3401n]],
    ["pass-through", { ...entry, domainId: 1, levels: 0 }, [0x9n, 0x102n]],
  ])("%s", (_name, { domainId, levels, deviceTlb }, words) => {
    const { tables, pages, qword } = bench();
    const table = new LegacyRootTable(tables, pages, CAPABILITIES);
    const device = { ...DEVICE, deviceTlb };
    const secondStage = levels === 0 ? null : { root: 0x1234_5000, levels };
    table.bind(device, null, { domainId, firstStage: null, secondStage });
    const contexts = BASE + 0x1000;
    expect([qword(table.root + 32), qword(table.root + 40)]).toEqual([BigInt(contexts) | 1n, 0n]);
    expect([qword(contexts + 0x100), qword(contexts + 0x108)]).toEqual(words);
    const [context, iotlb] = table.unbind(device);
    expect(context).toMatchObject({ cache: "context", domainId, sourceId: 0x0210 });
    expect(iotlb).toMatchObject({ cache: "iotlb", granularity: "domain", domainId });
    expect([qword(contexts + 0x100), qword(contexts + 0x108)]).toEqual([0n, 0n]);
    expect(table.unbind(device)).toEqual([]);
  });
});

describe("second-stage entries (VT-d 9.8), literally", () => {
  const create = (pageLevels: number[]) => {
    const parts = bench();
    const format = { stage: "second", levels: 4, addressWidth: 48, pageLevels } as const;
    return { ...parts, table: new PagingTable(parts.tables, parts.pages, format) };
  };
  const READ_WRITE = Access.READ | Access.WRITE;

  it("4 KiB: a table of each level, then the page", () => {
    const { table, qword } = create([1]);
    table.map(0x12_3456, 0x1_2345, 1, READ_WRITE, []);
    const next = (address: number) => Number(qword(address) & ~0xfffn);
    const level3 = next(table.root);
    expect(qword(table.root)).toBe(BigInt(level3) | 3n);
    const level2 = next(level3 + 8 * ((0x12_3456 >> 18) & 511));
    const level1 = next(level2 + 8 * ((0x12_3456 >> 9) & 511));
    expect(qword(level1 + 8 * (0x12_3456 & 511))).toBe(0x1234_5003n);
  });

  it("2 MiB and 1 GiB: PS at level 2 and 3, rights as asked", () => {
    const { table, qword } = create([1, 2, 3]);
    table.map(512, GIB / 4096, 512, Access.READ, []);
    table.map(262_144, 2 ** 28, 262_144, Access.WRITE, []);
    const level3 = Number(qword(table.root) & ~0xfffn);
    const level2 = Number(qword(level3) & ~0xfffn);
    expect(qword(level2 + 8)).toBe(0x4000_0081n);
    expect(qword(level3 + 8)).toBe(0x100_0000_0082n);
  });

  it("clears exactly what was mapped, and retires tables that lie wholly in it", () => {
    const { table, pages, qword } = create([1]);
    const used = pages.used;
    table.map(1000, 7, 1100, READ_WRITE, []); // parts of three tables of level 1
    const retired: number[] = [];
    table.unmap(1000, 1100, retired);
    expect(retired).toHaveLength(2); // 1024-1535 and 1536-2047
    for (const address of retired) pages.free(address);
    const rest = table.retire();
    expect(rest).toHaveLength(pages.used - used + 1);
    const leaves = rest.filter((address) => address !== table.root);
    expect(leaves.some((address) => (qword(address + 8 * (1000 & 511)) & 3n) !== 0n)).toBe(false);
  });
});

describe("pages for tables", () => {
  it("are zeroed, also when they were used before", () => {
    const { memory, pages } = bench();
    const page = pages.allocate();
    memory.fill(page, 4096, 0xff);
    pages.free(page);
    expect(pages.allocate()).toBe(page);
    expect(memory.read64(page + 4088)).toBe(0n);
    expect(pages.used).toBe(1);
  });

  it("are whole pages of guest memory, and not more than there are", () => {
    const { memory, tables } = bench();
    const allocator = (base: number, size: number) => new PageAllocator(tables, { base, size });
    const code = (action: () => unknown) => thrown(action).code;
    expect(code(() => allocator(100, 4096))).toBe("ERR_VIOMMU_DRIVER_MEMORY");
    expect(code(() => allocator(0, 100))).toBe("ERR_VIOMMU_DRIVER_MEMORY");
    expect(code(() => allocator(0, 0))).toBe("ERR_VIOMMU_DRIVER_MEMORY");
    expect(code(() => allocator(0, 8192).allocate(3))).toBe("ERR_VIOMMU_DRIVER_MEMORY");
    expect(code(() => allocator(GIB, 4096).allocate())).toBe("ERR_VIOMMU_DRIVER_MEMORY");
    expect(code(() => new TableMemory(memory).read(GIB, new Int32Array(2)))).toBe(
      "ERR_VIOMMU_DRIVER_MEMORY",
    );
    expect(
      code(() => {
        new TableMemory(memory).writeWord(GIB, 1);
      }),
    ).toBe("ERR_VIOMMU_DRIVER_MEMORY");
  });
});
