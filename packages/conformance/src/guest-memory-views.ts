import { hiFromNumber, loFromNumber } from "@viommu/plugin";
import type { Judge, Requirement } from "./check.ts";
import type { MemoryUnderTest } from "./memory-under-test.ts";
import { GIB } from "./memory-layout.ts";
import { Random } from "./random.ts";

const VIEW =
  "A zero-copy view of `length` bytes (at most up to the next 1 GiB border), or null where the range is not plain memory.";
const CHUNK = "Fast views, indexed by `hi`: `chunks[hi][lo >>> 2]` is the word at that address.";

/** Views and chunks of GuestMemory. */
export function viewRequirements(): readonly Requirement<MemoryUnderTest>[] {
  return [
    {
      name: "a view is the memory itself",
      chapterOrPort: "GuestMemory.view",
      sentence: VIEW,
      prove: (memory, judge) => {
        const { layout } = memory;
        const random = new Random(5);
        for (const { address, length } of layout.runsAroundEdges()) {
          if (!layout.covers(address, length, true)) continue;
          judge.subject = `view, ${layout.describe(address, length)}`;
          const view = memory.view(address, length, true);
          if (view === null) continue;
          judge.equal("length", view.length, length);
          const stored = random.bytes(length);
          memory.writeBytes(address, stored);
          judge.sameBytes("the view after writeBytes", view, stored);
          const seen = random.bytes(length);
          view.set(seen);
          judge.sameBytes(
            "readBytes after a write to the view",
            memory.bytes(address, length),
            seen,
          );
        }
      },
    },
    {
      name: "there is no view of what is not there or must not be written",
      chapterOrPort: "GuestMemory.view",
      sentence: VIEW,
      prove: (memory, judge) => {
        const { layout } = memory;
        for (const { address, length } of layout.runsAroundEdges()) {
          for (const write of [false, true]) {
            if (layout.covers(address, length, write)) continue;
            const kind = write ? "for writing" : "for reading";
            judge.subject = `view ${kind}, ${layout.describe(address, length)}`;
            judge.equal("result", memory.view(address, length, write), null);
          }
        }
      },
    },
    {
      name: "a view for reading shows read-only memory as it is",
      chapterOrPort: "GuestMemory.view",
      sentence: VIEW,
      applies: ({ layout }) => layout.ranges.some(({ readOnly }) => readOnly === true),
      prove: (memory, judge) => {
        const { layout } = memory;
        for (const { address, length } of layout.runsAroundEdges()) {
          if (!layout.covers(address, length) || layout.covers(address, length, true)) continue;
          judge.subject = `view for reading, ${layout.describe(address, length)}`;
          const view = memory.view(address, length, false);
          if (view !== null) judge.sameBytes("the view", view, memory.bytes(address, length));
        }
      },
    },
    {
      name: "a chunk shows memory from its first byte to its last",
      chapterOrPort: "GuestMemory.chunks",
      sentence:
        "A view holds readable memory from its first byte to its last; it may be shorter than 1 GiB.",
      prove: (memory, judge) => {
        const { layout } = memory;
        memory.port.chunks.forEach((chunk, hi) => {
          if (chunk === undefined) return;
          const bytes = chunk.length * 4;
          judge.subject = `chunks[${hi}], ${bytes} bytes`;
          judge.that(bytes <= GIB, "at most 1 GiB", bytes);
          judge.that(layout.covers(hi * GIB, bytes), "memory only", "a hole in it");
        });
      },
    },
    {
      name: "a chunk shows the words that the methods read",
      chapterOrPort: "GuestMemory.chunks",
      sentence: CHUNK,
      prove: (memory, judge) => {
        const random = new Random(6);
        memory.port.chunks.forEach((chunk, hi) => {
          if (chunk === undefined || chunk.length === 0) return;
          const some = Array.from({ length: 200 }, () => random.below(chunk.length));
          for (const at of [0, chunk.length - 1, ...some]) {
            judge.subject = `chunks[${hi}][${at}]`;
            judge.equal("the word", chunk[at], memory.word(hi * GIB + at * 4));
          }
        });
      },
    },
    {
      name: "a chunk shows every write at once",
      chapterOrPort: "GuestMemory.chunks",
      sentence: CHUNK,
      prove: (memory, judge) => {
        const { layout } = memory;
        for (const address of layout.writableWords()) {
          memory.writeWord(address, 0x1111_1111);
          judgeChunk(memory, judge, address, "writeWord", 0x1111_1111);
          memory.writeBytes(address, Uint8Array.of(0x22, 0x22, 0x22, 0x22));
          judgeChunk(memory, judge, address, "writeBytes", 0x2222_2222);
          memory.exchange(address, 0x2222_2222, 0x3333_3333);
          judgeChunk(memory, judge, address, "exchangeWord", 0x3333_3333);
          const view = memory.view(address, 4, true);
          if (view === null) continue;
          view.fill(0x44);
          judgeChunk(memory, judge, address, "a write to a view", 0x4444_4444);
        }
      },
    },
    {
      name: "it says whether other threads write to it",
      chapterOrPort: "GuestMemory.shared",
      sentence:
        "True when other threads (a guest CPU in a worker) write this memory at the same time.",
      prove: (memory, judge) => {
        const shared: unknown = memory.port.shared;
        judge.that(typeof shared === "boolean", "true or false", shared);
      },
    },
  ];
}

function judgeChunk(
  memory: MemoryUnderTest,
  judge: Judge,
  address: number,
  after: string,
  expected: number,
): void {
  const chunk = memory.port.chunks[hiFromNumber(address)];
  const at = loFromNumber(address) >>> 2;
  if (chunk === undefined || at >= chunk.length) return;
  judge.subject = `chunks at 0x${address.toString(16)}, after ${after}`;
  judge.equal("the word", chunk[at], expected);
}
