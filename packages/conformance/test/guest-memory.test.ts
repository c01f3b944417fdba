import { createMemory } from "@viommu/memory";
import type { ChunkedMemory } from "@viommu/memory";
import { Exchange } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";
import { describe } from "vitest";
import { guestMemoryConformance } from "../src/index.ts";
import type { GuestMemoryHarness, MemoryRange } from "../src/index.ts";
import { catchesAll, passesAll } from "./mutants.ts";
import type { Mutant } from "./mutants.ts";

const GIB = 2 ** 30;

/** Low memory, a hole, a range across a 1 GiB border with firmware behind it, and one above 4 GiB. */
const RANGES: readonly MemoryRange[] = [
  { base: 0, size: 0x4000 },
  { base: GIB - 0x4000, size: 0x8000 },
  { base: GIB + 0x4000, size: 0x4000, readOnly: true },
  { base: 5 * GIB, size: 0x4000 },
];

const plain = (): GuestMemoryHarness => ({
  memory: createMemory({ regions: RANGES }),
  ranges: RANGES,
});

describe("ChunkedMemory with made memory", () => {
  passesAll(guestMemoryConformance(plain));
});

describe("ChunkedMemory with a dirty log", () => {
  const memory = () => createMemory({ regions: RANGES, dirtyLog: true });
  passesAll(guestMemoryConformance(() => ({ memory: memory(), ranges: RANGES })));
});

describe("ChunkedMemory with adopted buffers", () => {
  const memory = () =>
    createMemory({
      regions: RANGES.map((range, i) => {
        const bytes = range.size + 0x1000;
        const buffer = i === 1 ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
        return { ...range, buffer, bufferOffset: 0x1000 };
      }),
    });
  passesAll(guestMemoryConformance(() => ({ memory: memory(), ranges: RANGES })));
});

describe("ChunkedMemory with one range across four chunks", () => {
  const ranges = [{ base: 0, size: 3 * GIB + 0x1000 }];
  const memory = createMemory({ regions: ranges });
  passesAll(guestMemoryConformance(() => ({ memory, ranges })));
});

/** A memory with some members done wrong. */
function wrong(change: (right: ChunkedMemory) => Partial<GuestMemory>): () => GuestMemoryHarness {
  return () => {
    const right = createMemory({ regions: RANGES });
    const memory: GuestMemory = {
      chunks: right.chunks,
      shared: right.shared,
      readWords: right.readWords.bind(right),
      writeWord: right.writeWord.bind(right),
      exchangeWord: right.exchangeWord.bind(right),
      readBytes: right.readBytes.bind(right),
      writeBytes: right.writeBytes.bind(right),
      view: right.view.bind(right),
      ...change(right),
    };
    return { memory, ranges: RANGES };
  };
}

const MUTANTS: readonly Mutant<GuestMemoryHarness>[] = [
  {
    that: "loses the bytes behind a 1 GiB border",
    make: wrong((right) => ({
      writeBytes: (hi, lo, source) => right.writeBytes(hi, lo, source.subarray(0, GIB - lo)),
    })),
    foundBy: "bytes that were stored are read back, across every border",
  },
  {
    that: "stores a word more than it was given",
    make: wrong((right) => ({
      writeBytes: (hi, lo, source) => {
        const more = new Uint8Array(source.length + 4);
        more.set(source);
        return right.writeBytes(hi, lo, more) || right.writeBytes(hi, lo, source);
      },
    })),
    foundBy: "a store changes no byte beside it",
  },
  {
    that: "reports success for a word in a hole",
    make: wrong((right) => ({
      writeWord: (hi, lo, value) => right.writeWord(hi, lo, value) || hi < 2,
    })),
    foundBy: "a word is not written where there is no writable memory",
  },
  {
    that: "stores what fits before a hole",
    make: wrong((right) => ({
      writeBytes: (hi, lo, source) => {
        if (right.writeBytes(hi, lo, source)) return true;
        for (let i = 0; i < source.length; i += 1) {
          if (!right.writeBytes(hi, lo + i, source.subarray(i, i + 1))) break;
        }
        return false;
      },
    })),
    foundBy: "a store that meets a byte which is not writable stores nothing",
  },
  {
    that: "reads zeros out of a hole",
    make: wrong((right) => ({
      readBytes: (hi, lo, target) => {
        if (!right.readBytes(hi, lo, target)) target.fill(0);
        return true;
      },
    })),
    foundBy: "readBytes refuses when any byte is missing",
  },
  {
    that: "fills the buffer behind the target",
    make: wrong((right) => ({
      readBytes: (hi, lo, target) => right.readBytes(hi, lo, new Uint8Array(target.buffer)),
    })),
    foundBy: "readBytes fills the whole target, and nothing beside it",
  },
  {
    that: "checks the first word of several only",
    make: wrong((right) => ({
      readWords: (hi, lo, count, out) => {
        if (!right.readWords(hi, lo, 1, out)) return false;
        right.readWords(hi, lo, count, out);
        return true;
      },
    })),
    foundBy: "words are not read where any of them is missing",
  },
  {
    that: "reads a word too many",
    make: wrong((right) => ({
      readWords: (hi, lo, count, out) =>
        (out.length > count && right.readWords(hi, lo, count + 1, out)) ||
        right.readWords(hi, lo, count, out),
    })),
    foundBy: "words are read into the array from index 0, and nothing behind them",
  },
  {
    that: "always exchanges",
    make: wrong((right) => ({
      exchangeWord: (hi, lo, _expected, value) =>
        right.writeWord(hi, lo, value) ? Exchange.DONE : Exchange.FAILED,
    })),
    foundBy: "exchangeWord replaces a word that holds what is expected, and no other",
  },
  {
    that: "says that the word in read-only memory differs",
    make: wrong((right) => ({
      exchangeWord: (hi, lo, expected, value) => {
        const result = right.exchangeWord(hi, lo, expected, value);
        return result === Exchange.FAILED ? Exchange.DIFFERS : result;
      },
    })),
    foundBy: "exchangeWord fails where there is no writable memory",
  },
  {
    that: "keeps words big-endian",
    make: wrong((right) => {
      const swap = (value: number) => {
        const bytes = new DataView(new ArrayBuffer(4));
        bytes.setInt32(0, value, true);
        return bytes.getInt32(0, false);
      };
      return {
        readWords: (hi, lo, count, out) => {
          const read = right.readWords(hi, lo, count, out);
          if (read) for (let i = 0; i < count; i += 1) out[i] = swap(out[i]!);
          return read;
        },
        writeWord: (hi, lo, value) => right.writeWord(hi, lo, swap(value)),
      };
    }),
    foundBy: "bytes and words are the same memory, little-endian",
  },
  {
    that: "repeats itself every 4 GiB",
    make: wrong((right) => ({
      readWords: (hi, lo, count, out) => right.readWords(hi > 5 ? hi & 3 : hi, lo, count, out),
    })),
    foundBy: "an address far from all memory is refused by every access",
  },
  {
    that: "has the same memory at two addresses",
    make: wrong((right) => ({
      readWords: (hi, lo, count, out) => right.readWords(hi === 5 ? 0 : hi, lo, count, out),
      writeWord: (hi, lo, value) => right.writeWord(hi === 5 ? 0 : hi, lo, value),
    })),
    foundBy: "each address has a word of its own",
  },
  {
    that: "throws on a negative address",
    make: wrong((right) => ({
      readWords: (hi, lo, count, out) => {
        if (hi < 0) throw new RangeError("negative address");
        return right.readWords(hi, lo, count, out);
      },
    })),
    foundBy: "an address far from all memory is refused by every access",
  },
  {
    that: "gives copies for views",
    make: wrong((right) => ({
      view: (hi, lo, length, write) => right.view(hi, lo, length, write)?.slice() ?? null,
    })),
    foundBy: "a view is the memory itself",
  },
  {
    that: "cuts views at the border",
    make: wrong((right) => ({
      view: (hi, lo, length, write) => right.view(hi, lo, Math.min(length, GIB - lo), write),
    })),
    foundBy: "a view is the memory itself",
  },
  {
    that: "gives views of read-only memory for writing",
    make: wrong((right) => ({
      view: (hi, lo, length) => right.view(hi, lo, length, false),
    })),
    foundBy: "there is no view of what is not there or must not be written",
  },
  {
    that: "has a chunk over a hole",
    make: wrong((right) => ({ chunks: [new Int32Array(0x2000), right.chunks[1]] })),
    foundBy: "a chunk shows memory from its first byte to its last",
  },
  {
    that: "has chunks of its own",
    make: wrong((right) => ({ chunks: right.chunks.map((chunk) => chunk?.slice()) })),
    foundBy: "a chunk shows every write at once",
  },
  {
    that: "forgets every hundredth word",
    make: wrong((right) => {
      let writes = 0;
      return {
        writeWord: (hi, lo, value) =>
          right.writeWord(hi, lo, (writes += 1) % 100 === 0 ? value ^ 1 : value),
      };
    }),
    foundBy: "any sequence of accesses leaves what it wrote last",
  },
];

describe("guestMemoryConformance", () => {
  catchesAll("a memory", guestMemoryConformance, MUTANTS);
});
