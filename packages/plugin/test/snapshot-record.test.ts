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
