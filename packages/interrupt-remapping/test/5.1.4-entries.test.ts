import { describe, expect, it } from "vitest";
import { createMemory } from "@viommu/memory";
import { FaultReason } from "@viommu/vtd-spec";
import { createHarness, remappable, SOURCE, TABLE, writeEntry, X2APIC_ENTRY } from "./harness.ts";

type Entry = readonly [bigint, bigint];

const ADDRESS = 0xfee00258; // index 12h
const INDEX = 0x12;
const REMAPPED = "00000000 fee05008 00004031";

describe("VT-d 9.9: entries as drivers write them", () => {
  it.each<[string, boolean, Entry, number, string]>([
    ["x2APIC", true, X2APIC_ENTRY, SOURCE, REMAPPED],
    [
      "x2APIC, logical, destination of 17 bits",
      true,
      [0x000100200031000dn, 0x40010n],
      SOURCE,
      "00010000 fee2000c 00004031",
    ],
    [
      "xAPIC, logical",
      false,
      [0x000005000031000dn, 0x40010n],
      SOURCE,
      "00000000 fee0500c 00004031",
    ],
    ["of an I/O APIC", true, [0x0000000000300009n, 0x4f0f8n], 0xf0f8, "00000000 fee00008 00004030"],
    [
      "of an HPET, function ignored",
      true,
      [0x0000000000320009n, 0x7f0f0n],
      0xf0f7,
      "00000000 fee00008 00004032",
    ],
    [
      "for a range of buses",
      true,
      [0x0000012300500009n, 0x80506n],
      0x06ff,
      "00000100 fee23008 00004050",
    ],
    [
      "destination of 32 bits",
      true,
      [0xfedcba9800310001n, 0n],
      0x1234,
      "fedcba00 fee98000 00004031",
    ],
  ])("%s", (_, eime, words, sourceId, message) => {
    const { entry, latch, send } = createHarness();
    latch(eime);
    entry(INDEX, words);
    expect(send(ADDRESS, 0, sourceId)).toBe(message);
  });

  it("give every delivery mode, trigger mode and vector; level is asserted", () => {
    const { entry, send } = createHarness();
    const messages = [0n, 1n, 2n, 4n, 5n, 7n].map((mode) => {
      entry(INDEX, [0x0000000700ff0011n | (mode << 5n), 0n]);
      return send(ADDRESS);
    });
    expect(messages).toEqual([
      "00000000 fee07000 0000c0ff",
      "00000000 fee07000 0000c1ff",
      "00000000 fee07000 0000c2ff",
      "00000000 fee07000 0000c4ff",
      "00000000 fee07000 0000c5ff",
      "00000000 fee07000 0000c7ff",
    ]);
  });

  it("leave the ignored address bits 1:0 to the request", () => {
    const { entry, send } = createHarness();
    entry(INDEX, X2APIC_ENTRY);
    expect(send(ADDRESS + 3)).toBe("00000000 fee0500b 00004031");
  });

  it("may use AVAIL", () => {
    const { entry, send } = createHarness();
    entry(INDEX, [X2APIC_ENTRY[0] | 0xf00n, X2APIC_ENTRY[1]]);
    expect(send(ADDRESS)).toBe(REMAPPED);
  });
});

describe("VT-d 5.1.4.1: an entry that cannot be read", () => {
  it("in a hole gives 23h", () => {
    const { latch, send, blocked } = createHarness();
    latch(true, 0x100_0000);
    expect(send(ADDRESS)).toBe(FaultReason.IRTE_ACCESS);
    expect(blocked).toEqual([{ reason: 0x23, index: INDEX, suppressed: false }]);
  });

  it("above the host address width gives 21h, even where there is memory", () => {
    const base = 2 ** 39 - 0x1000;
    const memory = createMemory({ regions: [{ base, size: 0x4000 }] });
    const { latch, send, blocked } = createHarness({ memory, hostAddressWidth: 39 });
    latch(true, base, 9);
    writeEntry(memory, base, 0xff, X2APIC_ENTRY);
    writeEntry(memory, base, 0x100, X2APIC_ENTRY);
    expect(send(remappable(0xff))).toBe(REMAPPED);
    expect(send(remappable(0x100))).toBe(FaultReason.IR_INDEX_BEYOND_TABLE);
    expect(blocked).toEqual([{ reason: 0x21, index: 0x100, suppressed: false }]);
    latch(true, 2 ** 51);
    expect(send(ADDRESS)).toBe(0x21);
  });
});

describe("VT-d 5.1.4: a table", () => {
  it("may cross a 1 GiB border, and lie where there is no fast view", () => {
    const base = 2 ** 30 - 0x1000;
    const memory = createMemory({ regions: [{ base, size: 0x3000 }] });
    const { latch, send } = createHarness({ memory });
    latch(true, base, 9);
    for (const index of [0xff, 0x100]) {
      writeEntry(memory, base, index, X2APIC_ENTRY);
      expect(send(remappable(index))).toBe(REMAPPED);
    }
  });

  it("is read anew for each request", () => {
    const { entry, send } = createHarness();
    entry(INDEX, X2APIC_ENTRY);
    expect(send(ADDRESS)).toBe(REMAPPED);
    entry(INDEX, [0x0000000600310009n, 0x40010n]);
    expect(send(ADDRESS)).toBe("00000000 fee06008 00004031");
  });
});

describe("VT-d 5.1.4.1: a blocked entry", () => {
  it.each<[string, boolean, Entry, number]>([
    ["not present", true, [0x0000000500310008n, 0x40010n], 0x22],
    ["all zero", true, [0n, 0n], 0x22],
    ["of another requester", true, [X2APIC_ENTRY[0], 0x40018n], 0x26],
    ["of another bus", true, [X2APIC_ENTRY[0], 0x80102n], 0x26],
    ["SVT 3", true, [X2APIC_ENTRY[0], 0xc0010n], 0x24],
    ["bit 12", true, [X2APIC_ENTRY[0] | (1n << 12n), 0x40010n], 0x24],
    ["bit 24", true, [X2APIC_ENTRY[0] | (1n << 24n), 0x40010n], 0x24],
    ["bit 84", true, [X2APIC_ENTRY[0], 0x40010n | (1n << 20n)], 0x24],
    ["bit 127", true, [X2APIC_ENTRY[0], 0x40010n | (1n << 63n)], 0x24],
    ["IM 1 without CAP.PI", true, [X2APIC_ENTRY[0] | (1n << 15n), 0x40010n], 0x24],
    ["delivery mode 3", true, [X2APIC_ENTRY[0] | (3n << 5n), 0x40010n], 0x24],
    ["delivery mode 6", true, [X2APIC_ENTRY[0] | (6n << 5n), 0x40010n], 0x24],
    ["APIC id in 39:32 with EIME 0", false, [0x0000000500310009n, 0x40010n], 0x24],
    ["APIC id above 47 with EIME 0", false, [0x0001050000310009n, 0x40010n], 0x24],
  ])("%s", (_, eime, words, reason) => {
    const { entry, latch, send, blocked } = createHarness();
    latch(eime);
    entry(INDEX, words);
    expect(send(ADDRESS)).toBe(reason);
    entry(INDEX, [words[0] | 2n, words[1]]); // FPD
    expect(send(ADDRESS)).toBe(reason);
    expect(blocked).toEqual([
      { reason, index: INDEX, suppressed: false },
      { reason, index: INDEX, suppressed: true },
    ]);
  });

  it("does not leave its suppression to the next request", () => {
    const { entry, send, blocked, request } = createHarness();
    entry(INDEX, [2n, 0n]);
    send(ADDRESS);
    send(ADDRESS, 0x10000);
    expect(blocked.map(({ suppressed }) => suppressed)).toEqual([true, false]);
    send(ADDRESS);
    entry(INDEX, X2APIC_ENTRY);
    expect(send(ADDRESS)).toBe(REMAPPED);
    expect(request.suppressed).toBe(false);
  });

  it("wrong in both ways fails the source check before the format check", () => {
    const { entry, send } = createHarness();
    entry(INDEX, [X2APIC_ENTRY[0] | (1n << 12n), 0x40018n]);
    expect(send(ADDRESS)).toBe(FaultReason.IR_SOURCE_ID);
    entry(INDEX, [(X2APIC_ENTRY[0] | (1n << 12n)) & ~1n, 0x40018n]);
    expect(send(ADDRESS)).toBe(FaultReason.IRTE_NOT_PRESENT);
  });
});

describe("VT-d 9.9: source validation", () => {
  const accepted = (high: bigint): number[] => {
    const { entry, send } = createHarness();
    entry(INDEX, [X2APIC_ENTRY[0], high]);
    const functions = Array.from({ length: 8 }, (_, i) => 0x1230 + i);
    return functions.filter((sourceId) => typeof send(ADDRESS, 0, sourceId) === "string");
  };

  it("by SQ leaves out function bits", () => {
    expect(accepted(0x41235n)).toEqual([0x1235]);
    expect(accepted(0x51235n)).toEqual([0x1231, 0x1235]);
    expect(accepted(0x61235n)).toEqual([0x1231, 0x1233, 0x1235, 0x1237]);
    expect(accepted(0x71235n).length).toBe(8);
    expect(accepted(0x71245n)).toEqual([]);
    expect(accepted(0x01245n).length).toBe(8);
  });

  it("by bus takes both ends, start in SID 15:8, end in SID 7:0", () => {
    const { entry, send } = createHarness();
    const buses = (high: bigint): number[] => {
      entry(INDEX, [X2APIC_ENTRY[0], high]);
      const all = Array.from({ length: 256 }, (_, bus) => bus);
      return all.filter((bus) => typeof send(ADDRESS, 0, (bus << 8) | 0x55) === "string");
    };
    expect(buses(0x80507n)).toEqual([5, 6, 7]);
    expect(buses(0xb0505n)).toEqual([5]);
    expect(buses(0x80705n)).toEqual([]);
    expect(buses(0x800ffn).length).toBe(256);
  });
});

describe("an entry that another thread is changing", () => {
  it("is taken whole", () => {
    const buffer = new SharedArrayBuffer(0x1000);
    const memory = createMemory({ regions: [{ base: TABLE, size: 0x1000, buffer }] });
    const { send } = createHarness({ memory });
    writeEntry(memory, TABLE, INDEX, X2APIC_ENTRY);
    const readWords = memory.readWords.bind(memory);
    let reads = 0;
    memory.readWords = (hi, lo, count, out) => {
      const done = readWords(hi, lo, count, out);
      reads += 1;
      if (reads === 1) {
        out[1] = 9; // its first half is from after a change, this one from before
        writeEntry(memory, TABLE, INDEX, X2APIC_ENTRY);
      }
      return done;
    };
    expect(send(ADDRESS)).toBe(REMAPPED);
    expect(reads).toBe(3);
  });

  it("all the time is taken as it is in the end", () => {
    const buffer = new SharedArrayBuffer(0x1000);
    const memory = createMemory({ regions: [{ base: TABLE, size: 0x1000, buffer }] });
    const { send } = createHarness({ memory });
    const readWords = memory.readWords.bind(memory);
    let reads = 0n;
    memory.readWords = (hi, lo, count, out) => {
      reads += 1n;
      writeEntry(memory, TABLE, INDEX, [0x0000000000300001n | (reads << 32n), 0n]);
      return readWords(hi, lo, count, out);
    };
    expect(send(ADDRESS)).toBe("00000000 fee04000 00004030");
  });
});
