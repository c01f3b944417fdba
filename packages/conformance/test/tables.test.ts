import { createMemory } from "@viommu/memory";
import { Access } from "@viommu/plugin";
import { SourceValidation, TranslationType } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import { InterruptTable, RootTable, SecondStageTable, TableSpace } from "../src/index.ts";

function tables(size = 0x10_0000) {
  const memory = createMemory({ regions: [{ base: 0, size: 0x30_0000 }] });
  const space = new TableSpace({ memory, base: 0x10_0000, size });
  /** The 64-bit words at an address. */
  const words = (address: bigint, count: number): string[] =>
    Array.from({ length: count }, (_, i) => memory.read64(Number(address) + 8 * i).toString(16));
  return { memory, space, words };
}

describe("TableSpace", () => {
  it("gives out zeroed pages one after the other", () => {
    const { memory, space } = tables();
    memory.fill(0x10_0000, 0x4000, 0xff);
    expect([space.allocate(), space.allocate(2), space.allocate()]).toEqual([
      0x10_0000n,
      0x10_1000n,
      0x10_3000n,
    ]);
    expect(memory.read64(0x10_3ff8)).toBe(0n);
  });

  it("says when there is no more room", () => {
    const { space } = tables(0x1fff);
    space.allocate();
    expect(() => space.allocate()).toThrow("give the tables more memory");
  });

  it("says where no memory is", () => {
    const { space } = tables();
    expect(() => {
      space.store(2n ** 40n, Int32Array.of(1));
    }).toThrow("0x10000000000 is no memory");
    expect(() => space.load(2n ** 40n, 1)).toThrow("0x10000000000 is no memory");
    expect(() => tables(2 ** 40).space.allocate(0x1000)).toThrow("0x100000 is no memory");
  });
});

describe("SecondStageTable (VT-d 9.8)", () => {
  it("leads through four levels to a page", () => {
    const { space, words } = tables();
    const table = new SecondStageTable(space);
    const access = Access.READ | Access.WRITE | Access.SNOOP;
    table.map({ iova: 0x0000_ff80_4020_3000n, gpa: 0x1234_5000n, access });
    expect(words(0x10_0ff8n, 1)).toEqual(["101003"]);
    expect(words(0x10_1008n, 1)).toEqual(["102003"]);
    expect(words(0x10_2008n, 1)).toEqual(["103003"]);
    expect(words(0x10_3018n, 1)).toEqual(["12345803"]);
    expect(table.entryAddress(0x0000_ff80_4020_3000n, 1)).toBe(0x10_3018n);
  });

  it("keeps what is mapped beside, and unmaps one page", () => {
    const { space, words } = tables();
    const table = new SecondStageTable(space, 3);
    table.map({ iova: 0n, gpa: 0x5000n, access: Access.READ });
    table.map({ iova: 0x1000n, gpa: 0x6000n, access: Access.WRITE });
    expect(words(0x10_2000n, 2)).toEqual(["5001", "6002"]);
    table.unmap(0n);
    expect(words(0x10_2000n, 2)).toEqual(["0", "6002"]);
  });

  it("maps large pages at their level", () => {
    const { space, words } = tables();
    const table = new SecondStageTable(space, 5);
    table.map({ iova: 1n << 48n, gpa: 0x4000_0000n, pageShift: 30 });
    table.map({ iova: 1n << 30n, gpa: 0x20_0000n, pageShift: 21 });
    expect(words(table.entryAddress(1n << 48n, 3), 1)).toEqual(["40000083"]);
    expect(words(table.entryAddress(1n << 30n, 2), 1)).toEqual(["200083"]);
    table.unmap(1n << 30n, 21);
    expect(words(table.entryAddress(1n << 30n, 2), 1)).toEqual(["0"]);
  });
});

describe("RootTable (VT-d 9.1, 9.3)", () => {
  it("puts a device into a domain", () => {
    const { space, words } = tables();
    const root = new RootTable(space);
    const table = new SecondStageTable(space);
    root.attach(0x1234, table, 5);
    expect(words(root.address + 0x120n, 2)).toEqual(["102001", "0"]);
    expect(words(0x10_2340n, 2)).toEqual(["101001", "502"]);
    root.detach(0x1234);
    expect(words(0x10_2340n, 2)).toEqual(["0", "0"]);
  });

  it("writes any context entry, in one context table for each bus", () => {
    const { space, words } = tables();
    const root = new RootTable(space);
    root.setContext(0x1200, { P: 1, TT: TranslationType.PASS_THROUGH, AW: 2, DID: 1 });
    root.setContext(0x12ff, { FPD: 1 });
    expect(words(0x10_1000n, 2)).toEqual(["9", "102"]);
    expect(words(0x10_1ff0n, 2)).toEqual(["2", "0"]);
  });
});

describe("InterruptTable (VT-d 9.9, 9.10)", () => {
  const source = { SVT: SourceValidation.SOURCE_ID, SID: 0x0010 };

  it("writes entries with 32-bit ids, as Linux does", () => {
    const { space, words } = tables();
    const table = new InterruptTable(space);
    table.remap(3, { ...source, V: 0x31, DST: 5, RH: 1 });
    expect(words(table.entryAddress(3), 2)).toEqual(["500310009", "40010"]);
    table.clear(3);
    expect(words(table.entryAddress(3), 2)).toEqual(["0", "0"]);
  });

  it("writes entries with 8-bit ids, as Linux does", () => {
    const { space, words } = tables();
    const table = new InterruptTable(space, { extended: false });
    table.remap(0, { ...source, V: 0x31, DST: 5, RH: 1, DM: 1 });
    expect(words(table.address, 2)).toEqual(["5000031000d", "40010"]);
  });

  it("writes posted entries", () => {
    const { space, words } = tables();
    const table = new InterruptTable(space);
    table.post(255, 0x1_2345_6780n, { ...source, VV: 0x31, URG: 1 });
    expect(words(table.address + 0xff0n, 2)).toEqual(["234567800031c001", "100040010"]);
  });

  it("has room for all its entries", () => {
    const { space } = tables(0x10_1000);
    const table = new InterruptTable(space, { sizeLog2: 16 });
    table.clear(0xffff);
    expect(space.allocate()).toBe(table.address + 0x10_0000n);
  });

  it("gives the message of an entry", () => {
    const { space } = tables();
    const table = new InterruptTable(space);
    expect(table.message(5)).toEqual({ address: 0xfee000b0 | 0, data: 0 });
    expect(table.message(0x8001)).toEqual({ address: 0xfee00034 | 0, data: 0 });
  });
});
