import { Exchange, UNREACHABLE } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";
import type { Judge, Requirement } from "./check.ts";
import type { MemoryLayout } from "./memory-layout.ts";
import type { MemoryUnderTest } from "./memory-under-test.ts";
import { Random } from "./random.ts";

const VALUES = [1, -1, 0x1234_5678, -0x8000_0000, 0];
/** Bytes before a word at an edge, and number of words. */
const WORD_RUNS = [
  [0, 1],
  [0, 2],
  [4, 2],
  [4, 4],
  [12, 7],
  [60, 16],
] as const;
const CANARY = 0x5a5a_5a5a;

/** Word accesses of GuestMemory. */
export function wordRequirements(): readonly Requirement<MemoryUnderTest>[] {
  return [
    {
      name: "a word that was written is read back",
      chapterOrPort: "GuestMemory.writeWord",
      sentence: "Writes one word. False, when it is no writable memory.",
      prove: (memory, judge) => {
        const { layout } = memory;
        for (const address of layout.writableWords()) {
          judge.subject = `writeWord, ${layout.describe(address, 4)}`;
          for (const value of VALUES) {
            judge.equal("result", memory.writeWord(address, value), true);
            judge.equal("the word", memory.word(address), value);
          }
        }
      },
    },
    {
      name: "each address has a word of its own",
      chapterOrPort: "GuestMemory.writeWord",
      sentence: "Guest-physical memory as a unit and its devices see it.",
      prove: (memory, judge) => {
        const { layout } = memory;
        const words = layout.writableWords();
        words.forEach((address, i) => memory.writeWord(address, CANARY ^ i));
        words.forEach((address, i) => {
          judge.subject = `after writes elsewhere, ${layout.describe(address, 4)}`;
          judge.equal("the word", memory.word(address), CANARY ^ i);
        });
      },
    },
    {
      name: "a word is not written where there is no writable memory",
      chapterOrPort: "GuestMemory.writeWord",
      sentence: "Writes one word. False, when it is no writable memory.",
      prove: (memory, judge) => {
        const { layout } = memory;
        for (const address of layout.wordsAtEdges()) {
          if (layout.covers(address, 4, true)) continue;
          judge.subject = `writeWord, ${layout.describe(address, 4)}`;
          const before = memory.word(address);
          judge.equal("result", memory.writeWord(address, CANARY), false);
          judge.equal("the word", memory.word(address), before);
        }
      },
    },
    {
      name: "words are read into the array from index 0, and nothing behind them",
      chapterOrPort: "GuestMemory.readWords",
      sentence: "Reads `count` words into `out` from index 0.",
      prove: (memory, judge) => {
        const { layout } = memory;
        forWordRuns(layout, (address, count) => {
          if (!layout.covers(address, count * 4, true)) return;
          judge.subject = `readWords of ${count}, ${layout.describe(address, count * 4)}`;
          for (let i = 0; i < count; i += 1) memory.writeWord(address + i * 4, CANARY ^ i);
          const out = new Int32Array(count + 1).fill(-2);
          judge.equal("result", memory.readWords(address, count, out), true);
          for (let i = 0; i < count; i += 1) judge.equal(`out[${i}]`, out[i], CANARY ^ i);
          judge.equal(`out[${count}] untouched:`, out[count], -2);
        });
      },
    },
    {
      name: "words are not read where any of them is missing",
      chapterOrPort: "GuestMemory.readWords",
      sentence: "False, when any byte is no readable memory.",
      prove: (memory, judge) => {
        const { layout } = memory;
        forWordRuns(layout, (address, count) => {
          judge.subject = `readWords of ${count}, ${layout.describe(address, count * 4)}`;
          const result = memory.readWords(address, count, new Int32Array(count));
          judge.equal("result", result, layout.covers(address, count * 4));
        });
      },
    },
    {
      name: "bytes and words are the same memory, little-endian",
      chapterOrPort: "GuestMemory",
      sentence: "little-endian, and single-copy atomic.",
      prove: (memory, judge) => {
        const { layout } = memory;
        for (const address of layout.writableWords()) {
          judge.subject = layout.describe(address, 4);
          memory.writeWord(address, 0x0403_0201);
          judge.sameBytes("readBytes", memory.bytes(address, 4), Uint8Array.of(1, 2, 3, 4));
          memory.writeBytes(address, Uint8Array.of(0xfe, 0xfd, 0xfc, 0xfb));
          judge.equal("readWords", memory.word(address), 0xfbfc_fdfe | 0);
        }
      },
    },
    {
      name: "exchangeWord replaces a word that holds what is expected, and no other",
      chapterOrPort: "GuestMemory.exchangeWord",
      sentence:
        "Replaces a word if it still holds `expected`; the result is one of {@link Exchange}.",
      prove: (memory, judge) => {
        const { layout } = memory;
        for (const address of layout.writableWords()) {
          for (const value of VALUES) {
            judge.subject = `exchangeWord, ${layout.describe(address, 4)}`;
            memory.writeWord(address, CANARY);
            judge.equal("result", memory.exchange(address, CANARY, value), Exchange.DONE);
            judge.equal("the word", memory.word(address), value);
            judge.equal("result", memory.exchange(address, CANARY, 7), Exchange.DIFFERS);
            judge.equal("the word", memory.word(address), value);
          }
        }
      },
    },
    {
      name: "exchangeWord fails where there is no writable memory",
      chapterOrPort: "GuestMemory.exchangeWord",
      sentence:
        "Replaces a word if it still holds `expected`; the result is one of {@link Exchange}.",
      prove: (memory, judge) => {
        const { layout } = memory;
        for (const address of layout.wordsAtEdges()) {
          if (layout.covers(address, 4, true)) continue;
          judge.subject = `exchangeWord, ${layout.describe(address, 4)}`;
          const before = memory.word(address);
          judge.equal("result", memory.exchange(address, before ?? 0, CANARY), Exchange.FAILED);
          judge.equal("the word", memory.word(address), before);
        }
      },
    },
    {
      name: "an address far from all memory is refused by every access",
      chapterOrPort: "GuestMemory",
      sentence: "Addresses follow the convention of `address.ts`.",
      prove: (memory, judge) => {
        const { edges } = memory.layout;
        const above = Math.ceil(edges.at(-1)! / 2 ** 30);
        const random = new Random(1);
        const anywhere = Array.from({ length: 100 }, () => above + random.below(2 ** 27 - above));
        const low = [0, 4, 0x3fff_fffc];
        for (const hi of [above, 2 ** 27 - 1, -1, -(2 ** 27), UNREACHABLE, UNREACHABLE | above]) {
          for (const lo of low) judgeNothing(memory.port, judge, hi, lo);
        }
        for (const hi of anywhere) judgeNothing(memory.port, judge, hi, random.pick(low));
      },
    },
  ];
}

function judgeNothing(memory: GuestMemory, judge: Judge, hi: number, lo: number): void {
  judge.subject = `hi ${hi}, lo 0x${lo.toString(16)}`;
  judge.equal("readWords", memory.readWords(hi, lo, 1, new Int32Array(1)), false);
  judge.equal("writeWord", memory.writeWord(hi, lo, 1), false);
  judge.equal("exchangeWord", memory.exchangeWord(hi, lo, 0, 0), Exchange.FAILED);
  judge.equal("readBytes", memory.readBytes(hi, lo, new Uint8Array(8)), false);
  judge.equal("writeBytes", memory.writeBytes(hi, lo, new Uint8Array(8)), false);
  judge.equal("view", memory.view(hi, lo, 4, false), null);
  judge.equal("chunks[hi]", memory.chunks[hi], undefined);
}

/** Calls `prove` with runs of words around every edge. */
function forWordRuns(layout: MemoryLayout, prove: (address: number, count: number) => void): void {
  for (const address of layout.wordsAtEdges()) {
    for (const [before, count] of WORD_RUNS) {
      if (address >= before) prove(address - before, count);
    }
  }
}
