import { describe, expect, it } from "vitest";
import { createMemory } from "@viommu/memory";
import type { MemoryOptions, MemoryRegion } from "@viommu/memory";

const GIB = 2 ** 30;

function codeOf(options: MemoryOptions): string {
  try {
    createMemory(options);
    return "none";
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe("a region that cannot be", () => {
  const refused: [string, MemoryRegion[], string][] = [
    ["a base inside a page", [{ base: 0x800, size: 0x1000 }], "UNALIGNED"],
    ["a size that is no page", [{ base: 0, size: 0x1001 }], "UNALIGNED"],
    ["no size", [{ base: 0, size: 0 }], "UNALIGNED"],
    ["a negative base", [{ base: -0x1000, size: 0x2000 }], "UNALIGNED"],
    ["a base that is no number", [{ base: Number.NaN, size: 0x1000 }], "UNALIGNED"],
    ["a base above every integer", [{ base: 2 ** 60, size: 0x1000 }], "UNALIGNED"],
    [
      "a buffer offset inside a word",
      [{ base: 0, size: 0x1000, buffer: new ArrayBuffer(0x2000), bufferOffset: 2 }],
      "UNALIGNED",
    ],
    [
      "two regions on one page",
      [
        { base: 0x2000, size: 0x1000 },
        { base: 0, size: 0x3000 },
      ],
      "OVERLAP",
    ],
    ["an end above 2^52", [{ base: 2 ** 52 - 0x1000, size: 0x2000 }], "BEYOND_WIDTH"],
    ["more than 64 GiB", [{ base: 0, size: 64 * GIB + 0x1000 }], "SIZE"],
    ["a buffer too small", [{ base: 0, size: 0x2000, buffer: new ArrayBuffer(0x1fff) }], "BUFFER"],
    [
      "a buffer too small behind its offset",
      [{ base: 0, size: 0x1000, buffer: new SharedArrayBuffer(0x1000), bufferOffset: 4 }],
      "BUFFER",
    ],
    [
      "a typed array as buffer",
      [{ base: 0, size: 0x1000, buffer: new Uint8Array(0x1000) }],
      "BUFFER",
    ],
    [
      "a resizable buffer",
      [
        {
          base: 0,
          size: 0x1000,
          buffer: Reflect.construct(ArrayBuffer, [
            0x1000,
            { maxByteLength: 0x2000 },
          ]) as ArrayBuffer,
        },
      ],
      "BUFFER",
    ],
  ];
  it.each(refused)("is refused: %s", (_, regions, code) => {
    expect(codeOf({ regions })).toBe(`ERR_VIOMMU_MEMORY_${code}`);
  });

  it("is refused above the address width of the machine", () => {
    const regions = [{ base: 2 ** 39 - 0x1000, size: 0x2000 }];
    expect(codeOf({ regions, addressWidth: 39 })).toBe("ERR_VIOMMU_MEMORY_BEYOND_WIDTH");
    expect(codeOf({ regions, addressWidth: 40 })).toBe("none");
    expect(codeOf({ regions: [], addressWidth: 53 })).toBe("ERR_VIOMMU_MEMORY_WIDTH");
  });

  it("is named in the error, with what to do", () => {
    expect(() => createMemory({ regions: [{ base: 0x1234, size: 0x1000 }] })).toThrow(
      "base 0x1234 is not possible; give a multiple of 4096",
    );
    const regions = [
      { base: 0, size: 0x3000 },
      { base: 0x2000, size: 0x1000 },
    ];
    expect(() => createMemory({ regions })).toThrow("regions 0x0+0x3000 and 0x2000+0x1000 overlap");
  });
});

describe("made memory", () => {
  it("of 64 GiB is not committed by the host", () => {
    const before = process.memoryUsage().rss;
    const memory = createMemory({ regions: [{ base: 0, size: 64 * GIB }] });
    expect(memory.chunks.length).toBe(64);
    memory.write32(63 * GIB, 7);
    expect(memory.read32(63 * GIB)).toBe(7);
    expect(process.memoryUsage().rss - before).toBeLessThan(GIB);
  });

  it("takes no more than its size", () => {
    const memory = createMemory({ regions: [{ base: GIB, size: 0x3000 }] });
    expect(memory.chunks[0]).toBeUndefined();
    expect(memory.chunks[1]!.length).toBe(0x3000 / 4);
    expect(memory.chunks[1]!.buffer.byteLength).toBe(0x3000);
  });

  it("reaches the top of a 52-bit address space", () => {
    const memory = createMemory({ regions: [{ base: 2 ** 52 - 0x1000, size: 0x1000 }] });
    memory.write64(2 ** 52 - 8, 0x1122334455667788n);
    expect(memory.read64(2 ** 52 - 8)).toBe(0x1122334455667788n);
    expect(() => memory.read32(2 ** 52)).toThrow("0x10000000000000+4 is no aligned readable");
  });
});
