import { createMemory } from "@viommu/memory";
import { Access } from "@viommu/plugin";
import { createProfile } from "@viommu/vtd";
import type { ProfileOptions } from "@viommu/vtd";
import { describe, expect, it } from "vitest";
import { descriptorOf, fenceDescriptor, waitDescriptor } from "../src/invalidation-descriptors.ts";
import { EVERYTHING } from "../src/invalidation.ts";
import type { InvalidationRequest } from "../src/invalidation.ts";
import { PageAllocator } from "../src/page-allocator.ts";
import { PagingTable } from "../src/paging-table.ts";
import { ScalableRootTable } from "../src/scalable-root-table.ts";
import { TableMemory } from "../src/table-memory.ts";
import { GIB, MIB } from "./support/machine.ts";

const BASE = 0x10_0000;
const DEVICE = {
  sourceId: 0x0210,
  deviceTlb: false,
  pageRequests: false,
  pasidBits: 20,
  hostPermissions: false,
  physicalFunction: 0x0210,
  pendingInvalidations: 32,
};
const FULL = {
  scalableMode: true,
  deviceTlb: true,
  pageRequests: true,
  fiveLevelFirstStage: true,
  supervisorRequests: true,
} as const;

function bench(profile: ProfileOptions = FULL) {
  const memory = createMemory({ regions: [{ base: 0, size: 4 * MIB }] });
  const tables = new TableMemory(memory);
  const pages = new PageAllocator(tables, { base: BASE, size: 2 * MIB });
  const { capabilities } = createProfile(profile);
  const table = new ScalableRootTable(tables, pages, capabilities);
  const qwords = (address: number, count: number) =>
    Array.from({ length: count }, (_, i) => memory.read64(address + 8 * i));
  return { memory, tables, pages, table, qwords };
}

const FIRST = { root: 0x444_4000, levels: 4, supervisor: false } as const;
const SECOND = { root: 0x555_5000, levels: 4 };
const both = { domainId: 5, firstStage: FIRST, secondStage: SECOND };

describe("root and context entries (VT-d 9.2, 9.4), literally", () => {
  it.each([
    [0x0210, 0x10, 0],
    [0x0290, 0x10, 1],
    [0x02ff, 0x7f, 1],
  ])("device %i: the lower or the upper half", (sourceId, index, half) => {
    const { table, qwords } = bench();
    const device = { ...DEVICE, sourceId };
    table.bind(device, null, both, null);
    const halves = qwords(table.root + 32, 2);
    expect(halves[1 - half]).toBe(0n);
    const contexts = Number(halves[half]! - 1n);
    const entry = contexts + 32 * index;
    const [low, ...rest] = qwords(entry, 4);
    expect(low! & 0xfffn).toBe(0xe09n); // PDTS 7, PASIDE, P
    expect(rest).toEqual([0n, 0n, 0n]);
    table.unbind(device, null, { silent: false, retired: [] });
    expect(qwords(entry, 4)).toEqual([0n, 0n, 0n, 0n]);
  });

  it.each([
    ["everything, 20 bits", { deviceTlb: true, pageRequests: true }, 0xe1dn],
    ["15 bits: a directory of one page, as Linux has it", { pasidBits: 15 }, 0x409n],
    ["16 bits", { pasidBits: 16 }, 0x609n],
    ["no PASIDs", { pasidBits: 0 }, 0x401n],
    ["device-TLB alone", { pasidBits: 0, deviceTlb: true }, 0x405n],
  ])("%s", (_name, features, low) => {
    const { table, qwords } = bench();
    table.bind({ ...DEVICE, ...features }, null, both, null);
    const contexts = Number(qwords(table.root + 32, 1)[0]! - 1n);
    expect(qwords(contexts + 0x200, 1)[0]! & 0xfffn).toBe(low);
  });
});

describe("PASID directory and table entries (VT-d 9.5, 9.6), literally", () => {
  it.each([
    ["first-stage", { ...both, secondStage: null }, [0x41n, 0x80_0005n, 0x444_4000n]],
    [
      "first-stage, 5 levels, supervisor",
      {
        ...both,
        firstStage: { ...FIRST, levels: 5, supervisor: true },
        secondStage: null,
      } as const,
      [0x41n, 0x80_0005n, 0x444_4015n],
    ],
    ["second-stage", { ...both, firstStage: null }, [0x555_5089n, 0x80_0005n, 0n]],
    [
      "second-stage, 39 bits",
      { ...both, firstStage: null, secondStage: { ...SECOND, levels: 3 } },
      [0x555_5085n, 0x80_0005n, 0n],
    ],
    ["nested", both, [0x555_50c9n, 0x80_0005n, 0x444_4000n]],
    [
      "pass-through",
      { domainId: 1, firstStage: null, secondStage: null },
      [0x101n, 0x80_0001n, 0n],
    ],
  ])("%s", (_name, binding, words) => {
    const { table, qwords } = bench();
    table.bind(DEVICE, 0x1_2345, binding, null);
    const contexts = Number(qwords(table.root + 32, 1)[0]! - 1n);
    const directory = Number(qwords(contexts + 0x200, 1)[0]! & ~0xfffn);
    const pointer = directory + 8 * (0x1_2345 >> 6);
    const tableAddress = Number(qwords(pointer, 1)[0]! - 1n);
    expect(tableAddress % 4096).toBe(0);
    const entry = tableAddress + 64 * (0x1_2345 & 63);
    expect(qwords(entry, 8)).toEqual([...words, 0n, 0n, 0n, 0n, 0n]);
    table.unbind(DEVICE, 0x1_2345, { silent: true, retired: [] });
    expect(qwords(entry, 8)).toEqual([2n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]); // FPD
    table.unbind(DEVICE, 0x1_2345, { silent: false, retired: [] });
    expect(qwords(entry, 1)).toEqual([0n]);
  });

  it("a unit without walk snooping gets PWSNP = 0", () => {
    const { table, qwords } = bench({ scalableMode: true, walkSnoopControl: false });
    table.bind(DEVICE, null, { ...both, secondStage: null }, null);
    const contexts = Number(qwords(table.root + 32, 1)[0]! - 1n);
    const directory = Number(qwords(contexts + 0x200, 1)[0]! & ~0xfffn);
    const entry = Number(qwords(directory, 1)[0]! - 1n);
    expect(qwords(entry, 3)).toEqual([0x41n, 5n, 0x444_4000n]);
  });

  it("says what is to be forgotten, in the order of table 28", () => {
    const { table } = bench();
    const device = { ...DEVICE, deviceTlb: true };
    const caches = (pasid: number | null) =>
      table
        .unbind(device, pasid, { silent: false, retired: [] })
        .map((request) => [request.cache, "pasid" in request ? request.pasid : "-"]);
    table.bind(device, null, both, null);
    table.bind(device, 9, { ...both, secondStage: null }, null);
    expect(caches(9)).toEqual([
      ["pasid", 9],
      ["pasid-iotlb", 9],
      ["device-tlb", 9],
    ]);
    expect(caches(9)).toEqual([]);
    expect(caches(null)).toEqual([
      ["context", "-"],
      ["pasid", 0],
      ["iotlb", "-"],
      ["device-tlb", null],
    ]);
    expect(caches(null)).toEqual([]);
  });
});

describe("first-stage entries (VT-d 9.7), literally", () => {
  it("user, accessed and dirty from the start; a leaf of each size", () => {
    const { tables, pages, qwords } = bench();
    const format = {
      stage: "first",
      levels: 4,
      addressWidth: 47,
      pageLevels: [1, 2, 3],
    } as const;
    const table = new PagingTable(tables, pages, format);
    const all = Access.READ | Access.WRITE;
    table.map(0, 0x1_2345, 1, all, []);
    table.map(1, 0x1_2345, 1, Access.READ, []);
    table.map(512, GIB / 4096, 512, all, []);
    table.map(262_144, GIB / 4096, 262_144, all, []);
    const next = (address: number) => Number(qwords(address, 1)[0]! & ~0xfffn);
    const level3 = next(table.root);
    const level2 = next(level3);
    const level1 = next(level2);
    expect(qwords(table.root, 1)).toEqual([BigInt(level3) | 0x27n]);
    expect(qwords(level1, 2)).toEqual([0x1234_5067n, 0x1234_5025n]);
    expect(qwords(level2 + 8, 1)).toEqual([0x4000_00e7n]);
    expect(qwords(level3 + 8, 1)).toEqual([0x4000_00e7n]);
  });
});

describe("descriptors of scalable mode (VT-d 6.5.2, 7.6.1), literally", () => {
  const words = (request: InvalidationRequest, profile: ProfileOptions = FULL) => {
    const descriptor = descriptorOf(request, createProfile(profile).capabilities);
    return [...new BigUint64Array(descriptor.slice().buffer)];
  };
  const place = { domainId: 5, pasid: 0x21 };
  const device = { sourceId: 0x10, physicalFunction: 0x10, pendingInvalidations: 32 };
  const twoMiB = { address: 0x20_0000, order: 9 };

  it.each<[string, InvalidationRequest, bigint, bigint]>([
    [
      "PASID IOTLB, all of a PASID",
      { cache: "pasid-iotlb", granularity: "pasid", ...place },
      0x21_0005_0026n,
      0n,
    ],
    [
      "PASID IOTLB, 2 MiB",
      { cache: "pasid-iotlb", granularity: "page", leafOnly: false, ...place, ...twoMiB },
      0x21_0005_0036n,
      0x20_0009n,
    ],
    [
      "PASID IOTLB, leaf entries alone",
      { cache: "pasid-iotlb", granularity: "page", leafOnly: true, ...place, ...twoMiB },
      0x21_0005_0036n,
      0x20_0049n,
    ],
    [
      "PASID cache, a PASID",
      { cache: "pasid", granularity: "pasid", ...place },
      0x21_0005_0017n,
      0n,
    ],
    ["PASID cache, global", { cache: "pasid", granularity: "global" }, 0x37n, 0n],
    [
      "device-TLB, all",
      { cache: "device-tlb", pasid: null, ...device, ...EVERYTHING },
      0x10_0000_0003n,
      0x7fff_ffff_ffff_f001n,
    ],
    [
      "device-TLB of a PASID, all",
      { cache: "device-tlb", pasid: 0x21, ...device, ...EVERYTHING },
      0x21_0010_0008n,
      0x7fff_ffff_ffff_f800n,
    ],
    [
      "device-TLB of a PASID, a page",
      { cache: "device-tlb", pasid: 0x21, ...device, address: 0x1234_5000, order: 0 },
      0x21_0010_0008n,
      0x1234_5000n,
    ],
    [
      "device-TLB of a PASID, 2 MiB, 4 at a time",
      { cache: "device-tlb", pasid: 0x21, ...device, pendingInvalidations: 4, ...twoMiB },
      0x21_0010_0048n,
      0x2f_f800n,
    ],
    [
      "device-TLB, 4 at a time",
      { cache: "device-tlb", pasid: null, ...device, pendingInvalidations: 4, ...twoMiB },
      0x10_0004_0003n,
      0x2f_f001n,
    ],
    [
      "response, success",
      { cache: "page-response", sourceId: 0x10, pasid: 0x21, group: 3, code: 0 },
      0x21_0010_0019n,
      0x18n, // without the old LPIG
    ],
    [
      "response, failure",
      { cache: "page-response", sourceId: 0x10, pasid: 0x21, group: 3, code: 15 },
      0x21_0010_f019n,
      0x18n,
    ],
    ["host permissions, global", { cache: "host-permission", granularity: "global" }, 0x1an, 0n],
    [
      "host permissions, a table, all levels",
      { cache: "host-permission", granularity: "domain", hptDomainId: 0x1234, levels: 4 },
      0x1234_002an,
      0xc0n,
    ],
    [
      "host permissions, a page, level 1",
      {
        ...{ cache: "host-permission", granularity: "page", hptDomainId: 3, levels: 1 },
        ...{ address: 0x12_3456_7000, order: 0 },
      },
      0x3_003an,
      0x12_3456_7000n,
    ],
    [
      "host permissions, 1 GiB, levels 3 to 1",
      {
        ...{ cache: "host-permission", granularity: "page", hptDomainId: 3, levels: 3 },
        ...{ address: 0x12_4000_0000, order: 18 },
      },
      0x3_003an,
      0x12_4000_0092n,
    ],
    [
      "response without PASID, invalid",
      { cache: "page-response", sourceId: 0x10, pasid: null, group: 0x1ff, code: 1 },
      0x10_1009n,
      0xff8n,
    ],
  ])("%s", (_name, request, low, high) => {
    expect(words(request).slice(0, 2)).toEqual([low, high]);
  });

  it("the physical function in its two parts, where the unit wants it (DIT)", () => {
    const virtual = { ...device, physicalFunction: 0xabcd };
    const withDit = { ...FULL, deviceTlbThrottle: true };
    const request = (pasid: number | null) =>
      ({ cache: "device-tlb", pasid, ...virtual, address: 0, order: 0 }) as const;
    expect(words(request(null), withDit)[0]).toBe(0xabc0_0010_0000_d003n);
    expect(words(request(0x21), withDit)[0]).toBe(0xabc0_0021_0010_d008n);
    expect(words(request(null))[0]).toBe(0x10_0000_0003n);
  });

  it("waits: with a status, with page-request drain, and as a fence", () => {
    const qword = (descriptor: Int32Array) => new BigUint64Array(descriptor.slice().buffer)[0];
    expect(qword(waitDescriptor(0x1000, false))).toBe(0x2_0000_0025n);
    expect(qword(waitDescriptor(0x1000, true))).toBe(0x2_0000_00a5n);
    expect(qword(fenceDescriptor())).toBe(0x45n);
  });
});
