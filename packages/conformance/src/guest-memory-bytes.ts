import type { Requirement } from "./check.ts";
import type { MemoryUnderTest } from "./memory-under-test.ts";
import { Random } from "./random.ts";

/** Byte accesses of GuestMemory. */
export function byteRequirements(): readonly Requirement<MemoryUnderTest>[] {
  return [
    {
      name: "bytes that were stored are read back, across every border",
      chapterOrPort: "GuestMemory.writeBytes",
      sentence: "Stores `source` at any byte address.",
      prove: (memory, judge) => {
        const { layout } = memory;
        const random = new Random(2);
        for (const { address, length } of layout.runsAroundEdges()) {
          if (!layout.covers(address, length, true)) continue;
          judge.subject = `writeBytes, ${layout.describe(address, length)}`;
          const source = random.bytes(length);
          judge.equal("result", memory.writeBytes(address, source), true);
          judge.sameBytes("memory", memory.bytes(address, length), source);
        }
      },
    },
    {
      name: "a store changes no byte beside it",
      chapterOrPort: "GuestMemory.writeBytes",
      sentence: "Stores `source` at any byte address.",
      prove: (memory, judge) => {
        const { layout } = memory;
        const random = new Random(3);
        for (const { address, length } of layout.runsAroundEdges()) {
          if (address < 8 || !layout.covers(address - 8, length + 16, true)) continue;
          judge.subject = `writeBytes, ${layout.describe(address, length)}`;
          const around = random.bytes(length + 16);
          const source = random.bytes(length);
          memory.writeBytes(address - 8, around);
          memory.writeBytes(address, source);
          around.set(source, 8);
          judge.sameBytes("memory", memory.bytes(address - 8, length + 16), around);
        }
      },
    },
    {
      name: "a store that meets a byte which is not writable stores nothing",
      chapterOrPort: "GuestMemory.writeBytes",
      sentence: "False (nothing stored) when any byte is not writable.",
      prove: (memory, judge) => {
        const { layout } = memory;
        for (const { address, length } of layout.runsAroundEdges()) {
          if (layout.covers(address, length, true)) continue;
          judge.subject = `writeBytes, ${layout.describe(address, length)}`;
          const before = readable(memory, address, length);
          const source = Uint8Array.from(before, (byte) => (byte ?? 0) ^ 0xff);
          judge.equal("result", memory.writeBytes(address, source), false);
          readable(memory, address, length).forEach((byte, i) => {
            judge.equal(`byte ${i}`, byte, before[i]);
          });
        }
      },
    },
    {
      name: "readBytes fills the whole target, and nothing beside it",
      chapterOrPort: "GuestMemory.readBytes",
      sentence: "Fills `target`, from any byte address.",
      prove: (memory, judge) => {
        const { layout } = memory;
        const random = new Random(4);
        for (const { address, length } of layout.runsAroundEdges()) {
          if (!layout.covers(address, length, true)) continue;
          judge.subject = `readBytes, ${layout.describe(address, length)}`;
          const expected = random.bytes(length + 10);
          memory.writeBytes(address, expected.subarray(5, 5 + length));
          const buffer = expected.slice();
          const target = buffer.subarray(5, 5 + length).fill(0);
          judge.equal("result", memory.readBytes(address, target), true);
          judge.sameBytes("the target and its surroundings", buffer, expected);
        }
      },
    },
    {
      name: "readBytes refuses when any byte is missing",
      chapterOrPort: "GuestMemory.readBytes",
      sentence: "False (target undefined) when any byte is unreadable.",
      prove: (memory, judge) => {
        const { layout } = memory;
        for (const { address, length } of layout.runsAroundEdges()) {
          judge.subject = `readBytes, ${layout.describe(address, length)}`;
          const result = memory.readBytes(address, new Uint8Array(length));
          judge.equal("result", result, layout.covers(address, length));
        }
      },
    },
  ];
}

/** The bytes of a range one by one, undefined where there are none. */
function readable(
  memory: MemoryUnderTest,
  address: number,
  length: number,
): readonly (number | undefined)[] {
  return Array.from({ length }, (_, i) => memory.bytes(address + i, 1)[0]);
}
