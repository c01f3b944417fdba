import { describe, expect, it } from "vitest";
import { createMemory } from "@viommu/memory";

const WASM_PAGE = 65536;

describe("an adopted WebAssembly.Memory", () => {
  it("is the module's own memory", () => {
    const wasm = new WebAssembly.Memory({ initial: 2, maximum: 8 });
    const memory = createMemory({
      regions: [{ base: 0x100000, size: WASM_PAGE, buffer: wasm, bufferOffset: WASM_PAGE }],
    });
    memory.write32(0x100000, 0x01020304);
    expect(new Uint8Array(wasm.buffer)[WASM_PAGE]).toBe(4);
    expect(memory.shared).toBe(false);
  });

  it("is adopted anew by the first access after it grew", () => {
    const wasm = new WebAssembly.Memory({ initial: 1, maximum: 8 });
    const memory = createMemory({ regions: [{ base: 0, size: WASM_PAGE, buffer: wasm }] });
    memory.write32(0x40, 7);
    const { chunks } = memory;
    wasm.grow(1);
    expect(chunks[0]!.length).toBe(0); // detached: whoever uses views goes to the slow methods
    const out = new Int32Array(1);
    expect(memory.readWords(0, 0x40, 1, out)).toBe(true);
    expect(out[0]).toBe(7);
    expect(chunks[0]!.length).toBe(WASM_PAGE / 4);
    expect(chunks[0]!.buffer).toBe(wasm.buffer);
  });

  it("can be adopted anew at once", () => {
    const wasm = new WebAssembly.Memory({ initial: 1, maximum: 8 });
    const memory = createMemory({ regions: [{ base: 0, size: WASM_PAGE, buffer: wasm }] });
    wasm.grow(1);
    memory.refresh();
    expect(memory.chunks[0]!.length).toBe(WASM_PAGE / 4);
    expect(memory.chunks[0]!.buffer).toBe(wasm.buffer);
  });

  it("is shared when the module's memory is", () => {
    const wasm = new WebAssembly.Memory({ initial: 1, maximum: 2, shared: true });
    const memory = createMemory({ regions: [{ base: 0, size: WASM_PAGE, buffer: wasm }] });
    expect(memory.shared).toBe(true);
    wasm.grow(1);
    memory.write32(0, 9);
    expect(new Int32Array(wasm.buffer)[0]).toBe(9);
  });
});

describe("an adopted ArrayBuffer", () => {
  it("spanning several chunks gives one view for each of them", () => {
    const buffer = new SharedArrayBuffer(2 ** 30 + 0x2000);
    const memory = createMemory({
      regions: [{ base: 2 ** 30 - 0x1000, size: 2 ** 30 + 0x2000, buffer }],
    });
    expect(memory.chunks[0]).toBeUndefined();
    expect(memory.chunks[1]!.length).toBe(2 ** 28);
    expect(memory.chunks[1]!.byteOffset).toBe(0x1000);
    expect(memory.chunks[2]!.length).toBe(0x1000 / 4);
    memory.write32(2 ** 31, 3);
    expect(new Int32Array(buffer, 2 ** 30 + 0x1000, 1)[0]).toBe(3);
  });

  it("that was transferred away is a mistake of the host", () => {
    const buffer = new ArrayBuffer(0x1000);
    const memory = createMemory({ regions: [{ base: 0, size: 0x1000, buffer }] });
    structuredClone(buffer, { transfer: [buffer] });
    expect(() => memory.read32(0)).toThrow(
      expect.objectContaining({ code: "ERR_VIOMMU_MEMORY_DETACHED" }),
    );
  });
});
