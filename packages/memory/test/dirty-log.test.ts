import { describe, expect, it } from "vitest";
import { createMemory } from "@viommu/memory";

const GIB = 2 ** 30;

describe("the dirty log", () => {
  const create = () =>
    createMemory({
      regions: [
        { base: GIB - 0x40000, size: 0x80000 },
        { base: 2 * GIB, size: 0x2000 },
      ],
      dirtyLog: true,
    });

  it("names each written page once, by whatever it was written", () => {
    const memory = create();
    expect(memory.dirtyPages(0, 4 * GIB)).toEqual([]);
    memory.writeWord(0, GIB - 4, 1);
    memory.writeBytes(1, 0x1ffe, new Uint8Array(4));
    memory.exchangeWord(1, 0x21000, 0, 5);
    memory.view(2, 0x1000, 16, true);
    memory.fill(2 * GIB, 1, 1);
    const written = [
      GIB - 0x1000,
      GIB + 0x1000,
      GIB + 0x2000,
      GIB + 0x21000,
      2 * GIB,
      2 * GIB + 0x1000,
    ];
    expect(memory.dirtyPages(0, 4 * GIB)).toEqual(written);
    expect(memory.dirtyPages(0, 4 * GIB)).toEqual([]);
  });

  it("is read and cleared for the range asked for only", () => {
    const memory = create();
    memory.fill(GIB - 0x40000, 0x80000, 1);
    expect(memory.dirtyPages(GIB - 0x2000, 0x3001)).toEqual([
      GIB - 0x2000,
      GIB - 0x1000,
      GIB,
      GIB + 0x1000,
    ]);
    expect(memory.dirtyPages(GIB - 0x2000, 0x3001)).toEqual([]);
    expect(memory.dirtyPages(0, 4 * GIB).length).toBe(0x80 - 4);
  });

  it("does not count reads, failed writes and failed exchanges", () => {
    const memory = create();
    memory.read64(2 * GIB);
    memory.view(2, 0, 16, false);
    memory.view(2, 0, 0x3000, true);
    memory.writeBytes(2, 0x1ff8, new Uint8Array(16));
    memory.exchangeWord(2, 0, 1, 2);
    expect(memory.dirtyPages(0, 4 * GIB)).toEqual([]);
  });

  it("has to be asked for", () => {
    const memory = createMemory({ regions: [{ base: 0, size: 0x1000 }] });
    expect(() => memory.dirtyPages(0, 0x1000)).toThrow(
      expect.objectContaining({ code: "ERR_VIOMMU_MEMORY_DIRTY_LOG_OFF" }),
    );
  });
});
