import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Exchange, hiFromNumber, loFromNumber } from "@viommu/plugin";
import { createMemory } from "@viommu/memory";
import type { ChunkedMemory, MemoryRegion } from "@viommu/memory";

const PAGE = 4096;
const GIB = 2 ** 30;
const seed = Number(process.env.VIOMMU_SEED ?? 20251122);

/** Places with a border in the middle: of the address space, of chunks, of nothing special. */
const PLACES = [4 * PAGE, GIB, 3 * GIB, 3 * GIB + 64 * PAGE, 2 ** 41, 2 ** 52 - 4 * PAGE];

const place = fc.constantFrom(...PLACES);

const region = fc.record({
  place,
  page: fc.integer({ min: -4, max: 3 }),
  pages: fc.integer({ min: 1, max: 4 }),
  readOnly: fc.boolean(),
  backing: fc.constantFrom("made", "array", "shared"),
  bufferOffset: fc.constantFrom(0, 4, 0x100c),
});

const address = fc
  .record({ place, offset: fc.integer({ min: -4 * PAGE, max: 4 * PAGE }), onBorder: fc.boolean() })
  .map(
    (a) => a.place + (a.onBorder ? Math.round(a.offset / PAGE) * PAGE + (a.offset % 7) : a.offset),
  )
  .filter((a) => a >= 0 && a < 2 ** 52);

const length = fc.oneof(
  { arbitrary: fc.integer({ min: 0, max: 20 }), weight: 4 },
  { arbitrary: fc.integer({ min: 0, max: 2 * PAGE + 50 }), weight: 1 },
);

const step = fc.record({
  action: fc.constantFrom("read", "write", "words", "word", "exchange", "view", "fill", "dirty"),
  address,
  length,
  value: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  agree: fc.boolean(),
});

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Memory as a table of bytes: what each address holds, and which pages were written. */
class Oracle {
  readonly bytes = new Map<number, number>();
  readonly dirty = new Set<number>();
  readonly #regions: readonly MemoryRegion[];

  constructor(regions: readonly MemoryRegion[]) {
    this.#regions = regions;
  }

  possible(start: number, count: number, write: boolean): boolean {
    for (let a = start; a < start + count; a += 1) {
      const found = this.#regions.find((r) => a >= r.base && a < r.base + r.size);
      if (found === undefined || (write && found.readOnly === true)) return false;
    }
    return true;
  }

  /** Whether a view can be had: one region, one chunk. */
  inOneRegion(start: number, count: number): boolean {
    const end = start + count;
    const chunkEnd = Math.floor(start / GIB) * GIB + GIB;
    return this.#regions.some(
      (r) =>
        start >= r.base && start < r.base + r.size && end <= Math.min(chunkEnd, r.base + r.size),
    );
  }

  get(start: number, count: number): number[] {
    return Array.from({ length: count }, (_, i) => this.bytes.get(start + i) ?? 0);
  }

  init(start: number, content: Uint8Array): void {
    content.forEach((byte, i) => this.bytes.set(start + i, byte));
  }

  set(start: number, values: readonly number[]): void {
    values.forEach((value, i) => {
      this.bytes.set(start + i, value);
      this.dirty.add(start + i - ((start + i) % PAGE));
    });
  }

  word(start: number): number {
    return this.get(start, 4).reduceRight((sum, byte) => sum * 256 + byte, 0) | 0;
  }
}

const bytesOf = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 255);

function createBoth(drawn: readonly (typeof region extends fc.Arbitrary<infer T> ? T : never)[]): {
  memory: ChunkedMemory;
  oracle: Oracle;
} {
  const regions: MemoryRegion[] = [];
  const contents: Uint8Array[] = [];
  for (const { place: at, page, pages, readOnly, backing, bufferOffset } of drawn) {
    const base = at + page * PAGE;
    const size = pages * PAGE;
    if (base + size > 2 ** 52) continue;
    if (regions.some((r) => base < r.base + r.size && r.base < base + size)) continue;
    if (backing === "made") {
      regions.push({ base, size, readOnly });
      contents.push(new Uint8Array(0));
      continue;
    }
    const bytes = bufferOffset + size + 8;
    const buffer = backing === "array" ? new ArrayBuffer(bytes) : new SharedArrayBuffer(bytes);
    const content = new Uint8Array(buffer, bufferOffset, size);
    for (let i = 0; i < size; i += 1) content[i] = (i * 7 + page) & 255;
    regions.push({ base, size, readOnly, buffer, bufferOffset });
    contents.push(content);
  }
  const oracle = new Oracle(regions);
  regions.forEach((r, i) => {
    oracle.init(r.base, contents[i]!);
  });
  return { memory: createMemory({ regions, dirtyLog: true }), oracle };
}

function play(memory: ChunkedMemory, oracle: Oracle, step: Step): void {
  const { action, value } = step;
  const wordwise = action === "words" || action === "word" || action === "exchange";
  const at = wordwise ? step.address - (step.address % 4) : step.address;
  const hi = hiFromNumber(at);
  const lo = loFromNumber(at);
  const data = Array.from({ length: step.length }, (_, i) => (value + i * 3) & 255);
  switch (action) {
    case "read": {
      const target = new Uint8Array(step.length);
      const done = memory.readBytes(hi, lo, target);
      expect(done).toBe(oracle.possible(at, step.length, false));
      if (done) expect([...target]).toEqual(oracle.get(at, step.length));
      break;
    }
    case "write": {
      const done = memory.writeBytes(hi, lo, Uint8Array.from(data));
      expect(done).toBe(oracle.possible(at, step.length, true));
      if (done) oracle.set(at, data);
      break;
    }
    case "words": {
      const count = step.length >>> 2;
      const out = new Int32Array(count + 1).fill(-1);
      const done = memory.readWords(hi, lo, count, out);
      expect(done).toBe(oracle.possible(at, count * 4, false));
      const expected = Array.from({ length: count }, (_, i) => oracle.word(at + i * 4));
      if (done) expect([...out]).toEqual([...expected, -1]);
      break;
    }
    case "word": {
      const done = memory.writeWord(hi, lo, value);
      expect(done).toBe(oracle.possible(at, 4, true));
      if (done) oracle.set(at, bytesOf(value));
      break;
    }
    case "exchange": {
      const expected = step.agree ? oracle.word(at) : value ^ 1;
      const result = memory.exchangeWord(hi, lo, expected, value);
      if (!oracle.possible(at, 4, true)) expect(result).toBe(Exchange.FAILED);
      else if (oracle.word(at) !== expected) expect(result).toBe(Exchange.DIFFERS);
      else {
        expect(result).toBe(Exchange.DONE);
        oracle.set(at, bytesOf(value));
      }
      break;
    }
    case "view": {
      const view = memory.view(hi, lo, step.length, false);
      expect(view !== null).toBe(oracle.inOneRegion(at, step.length));
      if (view !== null) expect([...view]).toEqual(oracle.get(at, step.length));
      break;
    }
    case "fill": {
      if (!oracle.possible(at, step.length, true)) break;
      memory.fill(at, step.length, value & 255);
      oracle.set(
        at,
        Array.from({ length: step.length }, () => value & 255),
      );
      break;
    }
    case "dirty": {
      const base = at - (at % PAGE);
      const size = step.length * PAGE;
      const pages = [...oracle.dirty].filter((page) => page >= base && page < base + size);
      expect(memory.dirtyPages(base, size)).toEqual(pages.sort((a, b) => a - b));
      for (const page of pages) oracle.dirty.delete(page);
    }
  }
}

/** Fast views hold what memory holds, and nothing that is no memory. */
function checkViews(memory: ChunkedMemory, oracle: Oracle): void {
  Object.entries(memory.chunks).forEach(([hi, view]) => {
    const start = Number(hi) * GIB;
    expect(oracle.possible(start, view!.length * 4, false)).toBe(true);
    for (let i = 0; i < view!.length; i += 37) expect(view![i]).toBe(oracle.word(start + i * 4));
  });
}

describe("ChunkedMemory", () => {
  it("is a table of bytes with holes and read-only parts", () => {
    fc.assert(
      fc.property(
        fc.array(region, { minLength: 1, maxLength: 8 }),
        fc.array(step, { maxLength: 25 }),
        (regions, steps) => {
          const { memory, oracle } = createBoth(regions);
          for (const each of steps) play(memory, oracle, each);
          checkViews(memory, oracle);
          expect(memory.dirtyPages(0, 2 ** 52)).toEqual([...oracle.dirty].sort((a, b) => a - b));
        },
      ),
      { seed, numRuns: 500 },
    );
  });
});
