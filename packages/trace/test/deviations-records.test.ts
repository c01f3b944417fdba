import { describe, expect, it } from "vitest";
import { DMA, HEADER, IRQ } from "./lines.ts";
import { lastOf, SCALABLE, verdicts } from "./scripted-unit.ts";
import type { ScriptedUnit } from "./scripted-unit.ts";

/** A denied request: the trace's reason and record, against the unit's. */
async function denied(
  mode: readonly object[],
  expected: { reason: number; high: bigint },
  actual: { reason: number; high: bigint },
): Promise<string> {
  const event = {
    ...DMA,
    frcd: [[0, `0x${expected.high.toString(16)}`, "0x1000"]],
    result: { ok: false, fault: `0x${expected.reason.toString(16).padStart(2, "0")}` },
  };
  const { comparisons } = await lastOf([...mode, event], (unit) => {
    unit.onDma = () => actual.reason;
    unit.effect = () => {
      unit.record(actual.high, 0x1000n);
    };
  });
  return verdicts(comparisons);
}

/** Bits 127:64 of a record of a read by 00:02.0. */
const high = (reason: number, extra = 0n): bigint =>
  (0xc000_0000_0000_0010n | (BigInt(reason) << 32n)) ^ extra;

const PP = 1n << 31n;
const pasid = (value: bigint): bigint => value << 40n;

describe("fault-record-pasid-field", () => {
  const legacy = (expected: bigint, actual = 0n): Promise<string> =>
    denied([], { reason: 6, high: high(6, expected) }, { reason: 6, high: high(6, actual) });

  it("accepts ffffh against 0", async () => {
    expect(await legacy(pasid(0xffffn))).toBe("dma equal, frcd accepted(fault-record-pasid-field)");
    expect(await legacy(0n)).toBe("dma equal, frcd equal");
  });

  it("accepts no other value, nothing in our record, nothing with PP = 1", async () => {
    const different = "dma equal, frcd different";
    expect(await legacy(pasid(0xfffen))).toBe(different);
    expect(await legacy(pasid(0xf_ffffn))).toBe(different);
    expect(await legacy(pasid(0xffffn), pasid(1n))).toBe(different);
    expect(await legacy(pasid(0xffffn) | PP, PP)).toBe(different);
  });

  it("hides no other bit of the record", async () => {
    for (let bit = 0n; bit < 63n; bit += 1n) {
      if (bit >= 40n && bit < 60n) continue;
      expect(await legacy(pasid(0xffffn), 1n << bit), `bit ${64n + bit}`).toBe(
        "dma equal, frcd different",
      );
    }
  });

  it("does not apply in scalable mode", async () => {
    const expected = { reason: 0x71, high: high(0x71, pasid(0xffffn)) };
    expect(await denied(SCALABLE, expected, { reason: 0x71, high: high(0x71) })).toBe(
      "dma equal, frcd different",
    );
  });
});

describe("fault-record-pp", () => {
  const scalable = (
    expected: bigint,
    actual: bigint,
    mode: readonly object[] = SCALABLE,
  ): Promise<string> =>
    denied(
      mode,
      { reason: 0x71, high: high(0x71, expected) },
      { reason: 0x71, high: high(0x71, actual) },
    );

  it("accepts PP = 1 with PASID 0 for a request without PASID", async () => {
    expect(await scalable(PP, 0n)).toBe("dma equal, frcd accepted(fault-record-pp)");
  });

  it("does not accept it the other way round, with a PASID, or in legacy mode", async () => {
    const different = "dma equal, frcd different";
    expect(await scalable(0n, PP)).toBe(different);
    expect(await scalable(PP | pasid(5n), pasid(5n))).toBe(different);
    expect(await scalable(PP, 0n, [])).toBe(different);
  });

  it("hides no other bit of the record", async () => {
    for (let bit = 0n; bit < 63n; bit += 1n) {
      if (bit === 31n) continue;
      expect(await scalable(PP, 1n << bit), `bit ${64n + bit}`).toBe("dma equal, frcd different");
    }
  });
});

/** Where legacy reasons stand for scalable ones; any other pair is a difference. */
const REASONS: Readonly<Record<number, readonly number[]>> = {
  0x01: [0x39],
  0x02: [0x41],
  0x03: [0x7b],
  0x04: [0x84],
  0x05: [0x85, 0x79],
  0x06: [0x86, 0x79],
  0x07: [0x78],
  0x08: [0x38],
  0x09: [0x40],
  0x0a: [0x3a],
  0x0b: [0x42],
  0x0c: [0x7a],
};

describe("scalable-legacy-reason", () => {
  const pair = (expected: number, actual: number, mode = SCALABLE): Promise<string> =>
    denied(
      mode,
      { reason: expected, high: high(expected) },
      { reason: actual, high: high(actual) },
    );

  it("accepts the specified reason in the answer and in the record, and no other", async () => {
    const name = "scalable-legacy-reason";
    for (const [legacy, specified] of Object.entries(REASONS)) {
      for (let actual = 1; actual < 0xa8; actual += 1) {
        const outcome = await pair(Number(legacy), actual);
        if (actual === Number(legacy)) expect(outcome).toBe("dma equal, frcd equal");
        else if (specified.includes(actual)) {
          expect(outcome).toBe(`dma accepted(${name}), frcd accepted(${name})`);
        } else expect(outcome, `${legacy}: ${actual}`).toBe("dma different, frcd different");
      }
    }
  });

  it("does not apply in legacy mode, nor the other way round", async () => {
    expect(await pair(0x05, 0x85, [])).toBe("dma different, frcd different");
    expect(await pair(0x85, 0x05)).toBe("dma different, frcd different");
  });

  it("goes together with fault-record-pp, each with its own name", async () => {
    const expected = { reason: 5, high: high(5, PP) };
    expect(await denied(SCALABLE, expected, { reason: 0x85, high: high(0x85) })).toBe(
      "dma accepted(scalable-legacy-reason), " +
        "frcd accepted(scalable-legacy-reason+fault-record-pp)",
    );
  });

  it("hides no other bit of the record", async () => {
    const expected = { reason: 5, high: high(5) };
    expect(await denied(SCALABLE, expected, { reason: 0x85, high: high(0x85, 1n) })).toBe(
      "dma accepted(scalable-legacy-reason), frcd different",
    );
  });
});

describe("pasid-entry-absent-reason", () => {
  const pair = (expected: number, actual: number, mode = SCALABLE): Promise<string> =>
    denied(
      mode,
      { reason: expected, high: high(expected) },
      { reason: actual, high: high(actual) },
    );

  it("accepts 59h for 5Bh and nothing else", async () => {
    const name = "pasid-entry-absent-reason";
    expect(await pair(0x5b, 0x59)).toBe(`dma accepted(${name}), frcd accepted(${name})`);
    expect(await pair(0x59, 0x5b)).toBe("dma different, frcd different");
    expect(await pair(0x5b, 0x58)).toBe("dma different, frcd different");
    expect(await pair(0x5b, 0x59, [])).toBe("dma different, frcd different");
  });
});

describe("interrupt-range-reason", () => {
  const pair = async (expected: number, actual: number, header: object, mode: object[] = []) => {
    const event = {
      ...DMA,
      result: { ok: false, fault: `0x${expected.toString(16).padStart(2, "0")}` },
    };
    const { comparisons } = await lastOf(
      [...mode, event],
      (unit) => {
        unit.onDma = () => actual;
      },
      header,
    );
    return verdicts(comparisons);
  };
  const scalableUnit = { ...HEADER, unit: { ...HEADER.unit, ecap: "0x480080f00f4a" } };

  it("accepts 87h for 0Eh in legacy mode, from a reference with scalable mode", async () => {
    expect(await pair(0x87, 0x0e, scalableUnit)).toBe("dma accepted(interrupt-range-reason)");
    expect(await pair(0x0e, 0x87, scalableUnit)).toBe("dma different");
    expect(await pair(0x87, 0x0e, HEADER)).toBe("dma different");
    expect(await pair(0x87, 0x0e, scalableUnit, SCALABLE)).toBe("dma different");
  });
});

describe("fault-record-pasid-lost", () => {
  const pair = (
    expected: { reason: number; bits: bigint },
    actual: { reason: number; bits: bigint },
    mode: readonly object[] = SCALABLE,
  ): Promise<string> =>
    denied(
      mode,
      { reason: expected.reason, high: high(expected.reason, expected.bits) },
      { reason: actual.reason, high: high(actual.reason, actual.bits) },
    );
  const name = "fault-record-pasid-lost";

  it("accepts a record without PASID for a fault before the page walk, and for no other", async () => {
    const ours = PP | pasid(0x12345n);
    const before = await pair({ reason: 0x51, bits: 0n }, { reason: 0x51, bits: ours });
    expect(before).toBe(`dma equal, frcd accepted(${name})`);
    const legacy = await pair({ reason: 2, bits: 0n }, { reason: 0x41, bits: ours });
    expect(legacy).toBe(
      `dma accepted(scalable-legacy-reason), frcd accepted(scalable-legacy-reason+${name})`,
    );
    const different = "dma equal, frcd different";
    expect(await pair({ reason: 0x71, bits: 0n }, { reason: 0x71, bits: ours })).toBe(different);
    expect(await pair({ reason: 0x51, bits: pasid(1n) }, { reason: 0x51, bits: ours })).toBe(
      different,
    );
    expect(await pair({ reason: 0x51, bits: 0n }, { reason: 0x51, bits: ours }, [])).toBe(
      different,
    );
  });

  it("accepts that the upper 4 bits of the PASID are missing, and no others", async () => {
    const ours = PP | pasid(0x12345n);
    const cut = (bits: bigint): Promise<string> =>
      pair({ reason: 0x71, bits: PP | pasid(bits) }, { reason: 0x71, bits: ours });
    expect(await cut(0x2345n)).toBe(`dma equal, frcd accepted(${name})`);
    expect(await cut(0x2344n)).toBe("dma equal, frcd different");
    expect(await cut(0x22345n)).toBe("dma equal, frcd different");
  });
});

describe("fault-record-address-whole", () => {
  const name = "fault-record-address-whole";
  const seen = async (
    expected: bigint,
    actual: bigint,
    header: object = HEADER,
  ): Promise<string> => {
    const event = {
      ...DMA,
      frcd: [[0, `0x${high(4).toString(16)}`, `0x${expected.toString(16)}`]],
      result: { ok: false, fault: "0x04" },
    };
    const prepare = (unit: ScriptedUnit): void => {
      unit.onDma = () => 4;
      unit.effect = () => {
        unit.record(high(4), actual);
      };
    };
    return verdicts((await lastOf([event], prepare, header)).comparisons);
  };
  const narrow = { ...HEADER, unit: { ...HEADER.unit, cap: "0xd2008c22260206" } };

  it("accepts address bits beyond the tables, which our record has not", async () => {
    const accepted = `dma equal, frcd accepted(${name})`;
    expect(await seen(0x1_0000_0000_1000n, 0x1000n)).toBe(accepted);
    expect(await seen(0xffff_ffff_ffff_f000n, 0xffff_ffff_f000n)).toBe(accepted);
    expect(await seen(0x80_0000_1000n, 0x1000n, narrow)).toBe(accepted);
  });

  it("accepts no bit within them, and none of our own beyond", async () => {
    const different = "dma equal, frcd different";
    expect(await seen(0x80_0000_1000n, 0x1000n)).toBe(different);
    expect(await seen(0x1000n, 0x1_0000_0000_1000n)).toBe(different);
    expect(await seen(0x1_0000_0000_2000n, 0x1000n)).toBe(different);
  });
});

describe("fault-record-no-requester", () => {
  const IRES = 1 << 25;
  const entry = (sid: number, reason: number, index = 5n): readonly [bigint, bigint] => [
    (1n << 63n) | (BigInt(reason) << 32n) | BigInt(sid),
    index << 48n,
  ];
  const seen = async (
    expected: readonly [bigint, bigint],
    actual: readonly [bigint, bigint],
    reason: number,
    sid: string | null = null,
  ): Promise<string> => {
    const event = {
      ...IRQ,
      sid,
      frcd: [[0, ...expected.map((part) => `0x${part.toString(16)}`)]],
      result: { ok: false, fault: `0x${reason.toString(16)}` },
    };
    const { comparisons } = await lastOf([event], (unit) => {
      unit.words.set(0x1c, IRES);
      unit.onIrq = () => reason;
      unit.effect = () => {
        unit.record(...actual);
      };
    });
    return verdicts(comparisons);
  };
  const accepted = "irq equal, frcd accepted(fault-record-no-requester)";
  const different = "irq equal, frcd different";

  it("accepts FFFFh for the source-id of the I/O APIC", async () => {
    for (const reason of [0x20, 0x21, 0x22, 0x23, 0x24]) {
      expect(await seen(entry(0xffff, reason), entry(0xff00, reason), reason)).toBe(accepted);
    }
  });

  it("accepts no other source-id on either side, and no other difference", async () => {
    expect(await seen(entry(0xfffe, 0x22), entry(0xff00, 0x22), 0x22)).toBe(different);
    expect(await seen(entry(0xffff, 0x22), entry(0xff08, 0x22), 0x22)).toBe(different);
    expect(await seen(entry(0xffff, 0x22), entry(0xff00, 0x22, 6n), 0x22)).toBe(different);
    expect(await seen(entry(0xffff, 0x26), entry(0xff00, 0x26), 0x26)).toBe(different);
  });
});

describe("fault records read later", () => {
  /** The register block or one read, after our unit has recorded a fault without the deviation. */
  const seen = async (event: object, mode: readonly object[], record: bigint): Promise<string> => {
    const prepare = (unit: ScriptedUnit): void => {
      unit.set(0x220, 0x1000n);
      unit.set(0x228, record);
    };
    return verdicts((await lastOf([...mode, event], prepare)).comparisons);
  };
  const read = (offset: number, size: number, value: bigint): object => ({
    e: "mmio-read",
    offset: `0x${offset.toString(16)}`,
    size,
    value: `0x${value.toString(16)}`,
  });

  it("are accepted in the half that was read", async () => {
    const want = high(6, pasid(0xffffn));
    const accepted = "mmioRead accepted(fault-record-pasid-field)";
    expect(await seen(read(0x22c, 4, want >> 32n), [], high(6))).toBe(accepted);
    expect(await seen(read(0x228, 8, want), [], high(6))).toBe(accepted);
    expect(await seen(read(0x22c, 4, (want >> 32n) ^ 1n), [], high(6))).toBe("mmioRead different");
    expect(await seen(read(0x220, 8, 0x1000n), [], high(6))).toBe("mmioRead equal");
    expect(await seen(read(0x220, 8, 0x2000n), [], high(6))).toBe("mmioRead different");
  });

  it("are accepted with the other half of the record in mind", async () => {
    const accepted = "mmioRead accepted(fault-record-pp)";
    expect(await seen(read(0x228, 4, 0x8000_0010n), SCALABLE, high(0x71))).toBe(accepted);
    const withPasid = high(0x71, pasid(7n));
    expect(await seen(read(0x228, 4, 0x8000_0010n), SCALABLE, withPasid)).toBe(
      "mmioRead different",
    );
    expect(await seen(read(0x22c, 4, 0xc000_0006n), SCALABLE, high(0x86))).toBe(
      "mmioRead accepted(scalable-legacy-reason)",
    );
  });

  it("are accepted in the register block, and nothing else there", async () => {
    const block = (record: bigint, low = "0x1000"): object => ({
      e: "registers",
      values: { "0x220": low, "0x228": `0x${record.toString(16)}` },
    });
    const want = high(6, pasid(0xffffn));
    expect(await seen(block(want), [], high(6))).toBe(
      "registers accepted(fault-record-pasid-field)",
    );
    expect(await seen(block(want, "0x2000"), [], high(6))).toBe("registers different");
    expect(await seen(block(want ^ 1n), [], high(6))).toBe("registers different");
  });
});
