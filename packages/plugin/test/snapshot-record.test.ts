import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeRecord, encodeRecord } from "../src/index.ts";

const header = { id: "dmar0", version: 1, shape: "cap=0x1" };
const payload = Int32Array.of(1, -2, 0x7fff_ffff);

describe("snapshot record", () => {
  it("gives the payload back", () => {
    expect(decodeRecord(header, encodeRecord(header, payload))).toEqual(payload);
  });

  it.each([
    ["another part", { ...header, id: "dmar1" }, /belongs to "dmar0"/],
    ["another version", { ...header, version: 2 }, /has version 1, this machine reads 2/],
    ["another shape", { ...header, shape: "cap=0x2" }, /fits cap=0x1, this machine is cap=0x2/],
  ])("refuses a record of %s", (_, expected, reason) => {
    expect(() => decodeRecord(expected, encodeRecord(header, payload))).toThrow(reason);
  });

  it("tells what differs, where the part knows", () => {
    const expected = {
      ...header,
      shape: "cap=0x2",
      differences: (saved: string) => `${saved.slice(4)} instead of 0x2`,
    };
    expect(() => decodeRecord(expected, encodeRecord(header, payload))).toThrow(
      "fits cap=0x1, this machine is cap=0x2 (0x1 instead of 0x2)",
    );
  });

  it("takes older versions through the steps that the part names", () => {
    const upgrades = {
      3: (words: Int32Array) => Int32Array.of(...words, 3),
      4: (words: Int32Array) => Int32Array.of(...words, 4),
    };
    const now = { ...header, version: 5 };
    const read = (version: number): Int32Array =>
      decodeRecord(now, encodeRecord({ ...header, version }, payload), upgrades);
    expect(read(5)).toEqual(payload);
    expect(read(4)).toEqual(Int32Array.of(...payload, 4));
    expect(read(3)).toEqual(Int32Array.of(...payload, 3, 4));
    expect(() => read(2)).toThrow("has version 2, this machine reads 3 to 5");
    expect(() => read(6)).toThrow("has version 6, this machine reads 3 to 5");
  });

  it("refuses lengths that only add up", () => {
    const record = encodeRecord(header, payload);
    const view = new DataView(record.buffer);
    const [characters, words] = [view.getInt32(16, true), view.getInt32(20, true)];
    view.setInt32(16, -1, true);
    view.setInt32(20, characters + words + 1, true);
    let hash = 0x811c_9dc5;
    record.forEach((byte, i) => {
      if (i < 12 || i >= 16) hash = Math.imul(hash ^ byte, 0x0100_0193);
    });
    view.setInt32(12, hash, true);
    expect(() => decodeRecord(header, record)).toThrow("the lengths in the record disagree");
  });

  it("refuses every damaged record with the documented error", () => {
    const record = encodeRecord(header, payload);
    fc.assert(
      fc.property(
        fc.nat({ max: record.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        (at, flip, cut) => {
          const damaged = cut ? record.slice(0, at) : record.slice();
          if (!cut) damaged[at] = damaged[at]! ^ flip;
          expect(() => decodeRecord(header, damaged)).toThrow(
            expect.objectContaining({ code: "ERR_VIOMMU_SNAPSHOT" }) as Error,
          );
        },
      ),
      { numRuns: 1000 },
    );
  });
});
