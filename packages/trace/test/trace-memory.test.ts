import { Exchange } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { TraceMemory } from "../src/trace-memory.ts";

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

describe("trace memory", () => {
  it("knows what the trace told, across pages and above 4 GiB", () => {
    const memory = new TraceMemory();
    memory.storeReads([{ address: 0x1_4000_0ffen, bytes: bytes(1, 2, 3, 4) }]);
    const target = new Uint8Array(4);
    expect(memory.readBytes(5, 0xffe, target)).toBe(true);
    expect(target).toEqual(bytes(1, 2, 3, 4));
    expect(memory.unknownReads).toEqual({ count: 0, first: undefined });
    expect(memory.knows(0x1_4000_0ffen, 4)).toBe(true);
    expect(memory.knows(0x1_4000_0ffen, 5)).toBe(false);
  });

  it("reads unknown bytes as zero and counts each such read", () => {
    const memory = new TraceMemory();
    memory.storeReads([{ address: 0x1000n, bytes: bytes(9, 9) }]);
    const words = new Int32Array(2).fill(-1);
    expect(memory.readWords(0, 0x1000, 2, words)).toBe(true);
    expect(words).toEqual(Int32Array.of(0x0909, 0));
    memory.readWords(0, 0x1000, 1, words);
    expect(memory.unknownReads).toEqual({ count: 2, first: 0x1002n });
  });

  it("fails where the reference failed to read, except for bytes it knows", () => {
    const memory = new TraceMemory();
    memory.storeReads([
      { address: 0x2000n, bytes: bytes(1, 0, 0, 0) },
      { address: 0x2ff0n, bytes: null },
    ]);
    const word = new Int32Array(1);
    expect(memory.readWords(0, 0x2ff0, 1, word)).toBe(false);
    expect(memory.readWords(0, 0x2004, 1, word)).toBe(false);
    expect(memory.readWords(0, 0x2000, 1, word)).toBe(true);
    expect(memory.writeWord(0, 0x2ff0, 1)).toBe(false);
    expect(memory.exchangeWord(0, 0x2ff0, 0, 1)).toBe(Exchange.FAILED);
    expect(memory.takeWrites()).toEqual([]);
  });

  it("captures the unit's writes with what was there before", () => {
    const memory = new TraceMemory();
    memory.storeReads([{ address: 0x1000n, bytes: bytes(1, 0, 0, 0) }]);
    expect(memory.writeWord(0, 0x1000, 2)).toBe(true);
    expect(memory.exchangeWord(0, 0x1000, 1, 3)).toBe(Exchange.DIFFERS);
    expect(memory.exchangeWord(0, 0x1000, 2, 3)).toBe(Exchange.DONE);
    expect(memory.takeWrites()).toEqual([
      { address: 0x1000n, bytes: bytes(2, 0, 0, 0), before: bytes(1, 0, 0, 0) },
      { address: 0x1000n, bytes: bytes(3, 0, 0, 0), before: bytes(2, 0, 0, 0) },
    ]);
    expect(memory.takeWrites()).toEqual([]);
  });

  it("refuses a write where the reference failed to write, until it could", () => {
    const memory = new TraceMemory();
    memory.prepareWrites([{ address: 0x3000n, bytes: null }]);
    expect(memory.writeWord(0, 0x3000, 1)).toBe(false);
    memory.prepareWrites([{ address: 0x3000n, bytes: bytes(1, 0, 0, 0) }]);
    expect(memory.writeWord(0, 0x3000, 1)).toBe(true);
  });
});
