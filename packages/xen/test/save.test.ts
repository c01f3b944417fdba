import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { busyMachine, QUEUE, SaveMachine, STATUS } from "./support/save-machine.ts";

/** A busy machine as an earlier release has saved it. */
const EARLIER = gunzipSync(
  readFileSync(new URL("../../../fixtures/saves/busy-machine.viommu-save.gz", import.meta.url)),
);

const FSTS = 0x34;
const IQE = 0x10;
const PPF = 2;

function restored(save: Uint8Array): SaveMachine {
  const copy = new SaveMachine();
  copy.put(0x18_0000, 1, 2, 3); // what was there before is gone
  copy.restore(save);
  expect(copy.word(0x18_0000)).toBe(0);
  return copy;
}

/** What the guest does next, each step with what it sees then. */
const STEPS: readonly [string, (machine: SaveMachine) => unknown, unknown][] = [
  ["the queue has stopped at a descriptor", (m) => m.read32(FSTS) & 0xff, IQE | PPF],
  ["the wait behind it is not done", (m) => m.word(STATUS), 0],
  [
    "it goes on when the guest has cleared the error",
    (m) => {
      m.put(QUEUE + 32, 0x11);
      m.write32(FSTS, IQE);
      return [m.word(STATUS), m.read32(FSTS) & 0xff];
    },
    [5, PPF],
  ],
  [
    "a fault event that waits comes once, when it is unmasked",
    (m) => {
      m.lapics.accept(0);
      m.lapics.eoi(0);
      const before = m.lapics.pending(0);
      m.write32(0x38, 0);
      return [before, m.lapics.accept(0), m.lapics.pending(0)];
    },
    [-1, 0xef, -1],
  ],
  ["the second fault is in the log", (m) => m.read32(0x23c) >>> 31, 1],
  [
    "a masked vector that is pending is sent when it is unmasked",
    (m) => {
      m.lapics.accept(2);
      m.lapics.eoi(2);
      m.msix.table.write(12, 4, 0, 0);
      return [m.lapics.accept(2), m.lapics.pending(2)];
    },
    [0x51, -1],
  ],
  [
    "a level in service comes again after its end, as its line is up",
    (m) => {
      m.lapics.eoi(1);
      const before = m.lapics.pending(1);
      m.chip.write(0x40, 4, 5);
      return [before, m.lapics.pending(1)];
    },
    [-1, 0x61],
  ],
  ["a page request waits to be served", (m) => [m.read32(0xdc) & 1, m.read32(0xc8)], [1, 32]],
  [
    "a root pointer written by half takes effect with its command only",
    (m) => {
      const blocked = m.dma(0x3000);
      m.write32(0x24, 1);
      m.command(0x4000_0000);
      return [blocked === m.dma(0x3000), m.read32(0x20), m.read32(0x24)];
    },
    [false, 0x7777_7000, 1],
  ],
];

describe("a machine in the middle of everything", () => {
  it.each([
    ["that was not moved", () => busyMachine()],
    ["restored from its save", () => restored(busyMachine().save())],
    ["that an earlier release has saved", () => restored(EARLIER)],
  ])("goes on as it should: one %s", (_, make) => {
    const machine = make();
    for (const [what, step, expected] of STEPS)
      expect([what, step(machine)]).toEqual([what, expected]);
  });

  it("is the same to the last byte when it is saved again", () => {
    const save = busyMachine().save();
    expect(Buffer.compare(restored(save).save(), save)).toBe(0);
    // which did not count interrupts that were merged (version 1 of the local APICs)
    const earlier = restored(EARLIER);
    expect([...earlier.lapics.lapics.merged]).toEqual([0, 0, 0, 0]);
    const { lapics, counters } = restored(save).lapics;
    earlier.lapics.lapics.accepted.set(lapics.accepted);
    earlier.lapics.lapics.merged.set(lapics.merged);
    Object.assign(earlier.lapics.counters, counters);
    expect(Buffer.compare(earlier.save(), save)).toBe(0);
  });
});
