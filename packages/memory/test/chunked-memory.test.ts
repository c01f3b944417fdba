import { describe, expect, it } from "vitest";
import { createMemory } from "@viommu/memory";
import { Exchange, UNREACHABLE } from "@viommu/plugin";

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const words = (count: number): Int32Array => new Int32Array(count);

describe("the fast view of a chunk", () => {
  it("ends at the first hole, and slow reads serve the rest", () => {
    const memory = createMemory({
      regions: [
        { base: 0, size: 0xa0000 },
        { base: MIB, size: MIB },
      ],
    });
    expect(memory.chunks[0]!.length).toBe(0xa0000 / 4);
    memory.write32(MIB + 4, 0xdeadbeef);
    const out = words(1);
    expect(memory.readWords(0, MIB + 4, 1, out)).toBe(true);
    expect(out[0]! >>> 0).toBe(0xdeadbeef);
    expect(memory.readWords(0, 0xa0000, 1, out)).toBe(false);
  });

  it("is absent where memory does not begin at the first byte", () => {
    const memory = createMemory({ regions: [{ base: GIB + 0x1000, size: 0x1000 }] });
    expect(memory.chunks[1]).toBeUndefined();
    expect(memory.readWords(1, 0x1000, 1, words(1))).toBe(true);
    expect(memory.readWords(1, 0, 1, words(1))).toBe(false);
  });

  it("spans made regions that touch, read-only ones too", () => {
    const memory = createMemory({
      regions: [
        { base: 0, size: 0xf0000 },
        { base: 0xf0000, size: 0x10000, readOnly: true },
        { base: MIB, size: MIB },
      ],
    });
    expect(memory.chunks[0]!.length).toBe((2 * MIB) / 4);
    memory.write32(2 * MIB - 4, 5);
    expect(memory.chunks[0]![(2 * MIB - 4) >>> 2]).toBe(5);
  });

  it("spans adopted regions that touch in the same buffer only", () => {
    const buffer = new ArrayBuffer(0x4000);
    const first = { base: 0, size: 0x1000, buffer };
    const next = { base: 0x1000, size: 0x1000, buffer, readOnly: true };
    const joined = createMemory({ regions: [first, { ...next, bufferOffset: 0x1000 }] });
    const apart = createMemory({ regions: [first, { ...next, bufferOffset: 0x2000 }] });
    expect(joined.chunks[0]!.length).toBe(0x2000 / 4);
    expect(apart.chunks[0]!.length).toBe(0x1000 / 4);
    const gap = createMemory({
      regions: [first, { base: 0x2000, size: 0x1000, buffer, bufferOffset: 0x1000 }],
    });
    expect(gap.chunks[0]!.length).toBe(0x1000 / 4);
  });
});

describe("an access across a border", () => {
  const buffer = new ArrayBuffer(0x1000);
  const memory = createMemory({
    regions: [
      { base: GIB - 0x1000, size: 0x2000 },
      { base: GIB + 0x1000, size: 0x1000, buffer },
      { base: GIB + 0x2000, size: 0x1000, readOnly: true },
    ],
  });
  const data = Uint8Array.from({ length: 0x2800 }, (_, i) => i % 251);

  it("of chunks and of regions stores and reads every byte", () => {
    expect(memory.writeBytes(0, GIB - 0x800, data.subarray(0, 0x2800))).toBe(true);
    const back = new Uint8Array(0x2800);
    expect(memory.readBytes(0, GIB - 0x800, back)).toBe(true);
    expect(back).toEqual(data);
    expect(new Uint8Array(buffer, 0, 4)).toEqual(data.subarray(0x1800, 0x1804));
    const out = words(4);
    expect(memory.readWords(0, GIB - 8, 4, out)).toBe(true);
    expect(new Uint8Array(out.buffer)).toEqual(data.subarray(0x7f8, 0x808));
  });

  it("into a hole or read-only memory stores and reads nothing", () => {
    memory.fill(GIB, 0x2000, 0);
    expect(memory.writeBytes(1, 0x1ff8, new Uint8Array(16).fill(1))).toBe(false);
    expect(memory.read64(GIB + 0x1ff8)).toBe(0n);
    expect(memory.writeBytes(1, 0x2ff8, new Uint8Array(16))).toBe(false);
    expect(memory.readBytes(1, 0x2ff8, new Uint8Array(8))).toBe(true);
    expect(memory.readBytes(1, 0x2ff8, new Uint8Array(9))).toBe(false);
    expect(memory.readWords(1, 0x2ff8, 3, words(3))).toBe(false);
  });

  it("is possible for a view inside one region only", () => {
    expect(memory.view(0, GIB - 0x1000, 0x1000, true)!.length).toBe(0x1000);
    expect(memory.view(0, GIB - 0x1000, 0x1001, false)).toBeNull();
    expect(memory.view(1, 0xff0, 0x20, false)).toBeNull();
  });
});

describe("read-only memory", () => {
  it("is read, but not written", () => {
    const firmware = Uint32Array.from({ length: 0x400 }, (_, i) => i);
    const memory = createMemory({
      regions: [{ base: 0, size: 0x1000, readOnly: true, buffer: firmware.buffer }],
    });
    expect(memory.read32(0x1c)).toBe(7);
    expect(memory.writeWord(0, 0, 1)).toBe(false);
    expect(memory.writeBytes(0, 0, new Uint8Array(1))).toBe(false);
    expect(memory.exchangeWord(0, 0, 0, 1)).toBe(Exchange.FAILED);
    expect(memory.view(0, 0, 4, true)).toBeNull();
    expect(memory.view(0, 0, 4, false)!.length).toBe(4);
    expect(memory.read32(0)).toBe(0);
  });
});

describe("an address outside of everything", () => {
  const memory = createMemory({ regions: [{ base: 0, size: 0x1000 }] });
  it.each([1, -1, UNREACHABLE, 0x1fff_ffff])("hi %i answers no", (hi) => {
    expect(memory.readWords(hi, 0, 1, words(1))).toBe(false);
    expect(memory.writeWord(hi, 0, 1)).toBe(false);
    expect(memory.exchangeWord(hi, 0, 0, 1)).toBe(Exchange.FAILED);
    expect(memory.readBytes(hi, 0, new Uint8Array(1))).toBe(false);
    expect(memory.writeBytes(hi, 0, new Uint8Array(1))).toBe(false);
    expect(memory.view(hi, 0, 1, false)).toBeNull();
  });
});

describe("exchangeWord", () => {
  it.each([
    ["ArrayBuffer", new ArrayBuffer(0x1000)],
    ["SharedArrayBuffer", new SharedArrayBuffer(0x1000)],
  ])("replaces in %s only what was expected", (_, buffer) => {
    const memory = createMemory({ regions: [{ base: 0, size: 0x1000, buffer }] });
    expect(memory.exchangeWord(0, 8, 0, 0x80000000)).toBe(Exchange.DONE);
    expect(memory.exchangeWord(0, 8, 0, 1)).toBe(Exchange.DIFFERS);
    expect(memory.read32(8)).toBe(0x80000000);
    expect(memory.exchangeWord(0, 8, 0x80000000, 1)).toBe(Exchange.DONE);
    expect(memory.read32(8)).toBe(1);
  });
});

describe("words for hosts", () => {
  const memory = createMemory({
    regions: [
      { base: 0, size: 0x1000 },
      { base: 0x1000, size: 0x1000, readOnly: true },
    ],
  });

  it("are little-endian and unsigned", () => {
    memory.write64(0x10, 0xfedcba9876543210n);
    expect(memory.read32(0x10)).toBe(0x76543210);
    expect(memory.read32(0x14)).toBe(0xfedcba98);
    expect(memory.read64(0x10)).toBe(0xfedcba9876543210n);
    memory.fill(0x12, 3, 0xaa);
    expect(memory.read64(0x10)).toBe(0xfedcbaaaaaaa3210n);
  });

  it.each([
    ["an unaligned read", () => memory.read32(2)],
    [
      "an unaligned write",
      () => {
        memory.write32(6, 0);
      },
    ],
    [
      "an unaligned 64-bit write",
      () => {
        memory.write64(4, 0n);
      },
    ],
    ["a read from a hole", () => memory.read64(0x2000)],
    [
      "a write to read-only memory",
      () => {
        memory.write32(0x1000, 0);
      },
    ],
    [
      "a fill that leaves memory",
      () => {
        memory.fill(0xff0, 0x20, 0);
      },
    ],
    ["no address at all", () => memory.read32(Number.NaN)],
  ])("%s throws", (_, access) => {
    expect(access).toThrow(expect.objectContaining({ code: "ERR_VIOMMU_MEMORY_ACCESS" }));
  });
});
