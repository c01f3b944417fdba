import { describe, expect, it } from "vitest";
import { FIRST_STAGE, hex, legacyMode, outcome, read, reads } from "./recording.ts";
import { scalableMode, SECOND_STAGE, write } from "./recording.ts";
import type { Reads } from "./recording.ts";

const SID = 0x10;

/** A request of 00:02.0. */
const dma = (iova: bigint, access: string, result: object, more: object = {}): object => ({
  e: "dma",
  sid: "0x0010",
  pasid: null,
  iova: hex(iova),
  access,
  ...more,
  result,
});
const fault = (reason: number, more: object = {}): object => ({
  ok: false,
  fault: `0x${reason.toString(16).padStart(2, "0")}`,
  ...more,
});
/** A record of a read of 00:02.0. */
const record = (reason: number, iova: bigint, bits = 0n): object => ({
  frcd: [[0, hex((3n << 62n) | (BigInt(reason) << 32n) | BigInt(SID) | bits), hex(iova & ~0xfffn)]],
});
const LEGACY_PASID = 0xffffn << 40n;
const PP = 1n << 31n;
/** FSTS with PPF, FECTL with the event masked and pending. */
const logged = [read(0x34, 2), read(0x38, 0xc000_0000n)];

/** Root entry, context entry and a 48-bit table at 3000h, in legacy mode. */
const legacyTables: Reads = [
  [0x1000, 0x2001, 0],
  [0x2100, 0x3001, 0x102],
];
/** Context entry, PASID directory and PASID table entry of 00:02.0 in scalable mode. */
const scalableTables = (...entry: readonly (bigint | number)[]): Reads => [
  [0x1000, 0x2001, 0],
  [0x2200, 0x3001, 0, 0, 0],
  [0x3000, 0x4001],
  [0x4000, ...entry, ...Array.from({ length: 8 - entry.length }, () => 0)],
];
/** A PASID table entry of a first stage with its table at 5000h. */
const firstStage = (aw = 2): Reads => scalableTables(BigInt((1 << 6) | (aw << 2) | 1), 1, 0x5000);

describe("interrupt-range-whole-page", () => {
  const name = "interrupt-range-whole-page";
  const large = (page: bigint): Reads => [
    ...legacyTables,
    [0x3000, 0x6003],
    [0x6018, page | 0x83n],
  ];
  const GIB = large(0xc000_0000n);

  it("blocks a request to a 1 GiB page around the range, and has logged it", async () => {
    const event = dma(0xc000_1000n, "r", fault(0x0e), {
      reads: reads(GIB),
      ...record(0x0e, 0xc000_1000n, LEGACY_PASID),
    });
    expect(await outcome([...legacyMode, event, ...logged])).toBe(
      `clean ${name}:1 fault-record-pasid-field:1`,
    );
  });

  it("blocks a request to a 2 MiB page around the range", async () => {
    const tables: Reads = [
      ...legacyTables,
      [0x3000, 0x6003],
      [0x6018, 0x7003],
      [0x7000, 0xfee0_0083n],
    ];
    const event = dma(0xc010_1000n, "r", fault(0x0e), {
      reads: reads(tables),
      ...record(0x0e, 0xc010_1000n, LEGACY_PASID),
    });
    expect(await outcome([...legacyMode, event, ...logged])).toBe(
      `clean ${name}:1 fault-record-pasid-field:1`,
    );
  });

  it("is not needed where the address itself is in the range", async () => {
    const iova = 0x3ee0_0000n;
    const event = dma(iova, "r", fault(0x0e), {
      reads: reads([...legacyTables, [0x3000, 0x6003], [0x6000, 0xc000_0083n]]),
      ...record(0x0e, iova, LEGACY_PASID),
    });
    expect(await outcome([...legacyMode, event])).toBe("clean fault-record-pasid-field:1");
  });

  it.each<[string, bigint, number, Reads]>([
    ["another 1 GiB page", 0xc000_1000n, 0x0e, large(0x8000_0000n)],
    ["another reason", 0xc000_1000n, 0x06, GIB],
    ["87h of a unit without scalable mode", 0xc000_1000n, 0x87, GIB],
  ])("does not accept %s", async (_, iova, reason, tables) => {
    const event = dma(iova, "r", fault(reason), {
      reads: reads(tables),
      ...record(reason, iova, LEGACY_PASID),
    });
    expect(await outcome([...legacyMode, event])).toMatch(/^event 5 dma/);
  });
});

describe("first-stage-canonical-by-aw", () => {
  const name = "first-stage-canonical-by-aw";
  const iova = 0x4001_0000n;
  const event = (aw: number, address = iova): object =>
    dma(address, "r", fault(0x80), {
      reads: reads(firstStage(aw)),
      ...record(0x80, address, PP),
    });

  it("blocks what is not canonical in the width of AW, and has logged it", async () => {
    expect(await outcome([...scalableMode, event(0), ...logged], FIRST_STAGE)).toBe(
      `clean ${name}:1 fault-record-pp:1`,
    );
  });

  it("does not accept what is canonical in that width; both may find the same", async () => {
    expect(await outcome([...scalableMode, event(2)], FIRST_STAGE)).toMatch(/unknown|event 5 dma/);
    expect(await outcome([...scalableMode, event(0, 0x1000n)], FIRST_STAGE)).toMatch(
      /unknown|event 5 dma/,
    );
    expect(await outcome([...scalableMode, event(0, 1n << 47n)], FIRST_STAGE)).toBe(
      "clean fault-record-pp:1",
    );
  });
});

/** Table entries down to the page of address 0: present, writable, user, accessed. */
const firstStageTables = (leaf: number, top: Reads = firstStage()): Reads => [
  ...top,
  [0x5000, 0x6027],
  [0x6000, 0x7027],
  [0x7000, 0x8027],
  [0x8000, leaf],
];
const firstAllowed = { ok: true, gpa: "0x9000", mask: "0xfff", perm: "rw" };
const firstAccess = (access: string, leaf: number, more: object = {}): object =>
  dma(0n, access, firstAllowed, { reads: reads(firstStageTables(leaf)), ...more });
const leafIs = (value: number): object => ({ writes: reads([[0x8000, value]]) });
/** Leaves: neither flag, A, A and D. */
const PLAIN = 0x9007;
const ACCESSED = 0x9027;
const DIRTY = 0x9067;

describe("first-stage-flags-unsnooped", () => {
  const name = "first-stage-flags-unsnooped";

  it("accepts that flags are set by walks that do not snoop", async () => {
    for (const event of [
      firstAccess("r", PLAIN, leafIs(ACCESSED)),
      firstAccess("w", PLAIN, leafIs(DIRTY)),
    ]) {
      expect(await outcome([...scalableMode, event], FIRST_STAGE)).toBe(`clean ${name}:2`);
    }
  });

  it("accepts flags above an entry that is not present", async () => {
    const tables: Reads = [...firstStage(), [0x5000, 0x6007], [0x6000, 0]];
    const event = dma(0n, "w", fault(0x71), {
      reads: reads(tables),
      writes: reads([[0x5000, 0x6027]]),
      frcd: [[0, hex((1n << 63n) | (0x71n << 32n) | PP | BigInt(SID)), "0x0"]],
    });
    expect(await outcome([...scalableMode, event], FIRST_STAGE)).toBe(
      `clean ${name}:2 fault-record-pp:1`,
    );
  });

  it("accepts no other flag than the request sets, and no other entry", async () => {
    for (const event of [
      firstAccess("w", PLAIN, leafIs(ACCESSED)),
      firstAccess("r", PLAIN, leafIs(DIRTY)),
      firstAccess("r", PLAIN, leafIs(ACCESSED | 0x100)),
      firstAccess("r", PLAIN, { writes: reads([[0x8008, 0x20]]) }),
    ]) {
      expect(await outcome([...scalableMode, event], FIRST_STAGE)).toMatch(/^event 5 memWrite/);
    }
  });
});

describe("first-stage-dirty-missed", () => {
  const name = "first-stage-dirty-missed";

  it("accepts that D is missing where A was set before", async () => {
    expect(await outcome([...scalableMode, firstAccess("w", ACCESSED)], FIRST_STAGE)).toBe(
      `clean ${name}:1`,
    );
  });

  it("accepts that a write after a read sets nothing", async () => {
    const events = [
      firstAccess("r", PLAIN, leafIs(ACCESSED)),
      dma(0n, "w", firstAllowed),
      dma(0n, "w", firstAllowed),
    ];
    expect(await outcome([...scalableMode, ...events], FIRST_STAGE)).toMatch(
      /^clean first-stage-flags-unsnooped:2 first-stage-dirty-missed:[12]$/,
    );
  });

  it("accepts that A is missing where D was set before", async () => {
    const event = firstAccess("w", 0x9047);
    expect(await outcome([...scalableMode, event], FIRST_STAGE)).toBe(`clean ${name}:1`);
    const read = firstAccess("r", 0x9047);
    expect(await outcome([...scalableMode, read], FIRST_STAGE)).toBe(`clean ${name}:1`);
  });

  it("does not accept that a walk has set no flag at all, nor another answer", async () => {
    const none = firstAccess("w", PLAIN);
    expect(await outcome([...scalableMode, none], FIRST_STAGE)).toMatch(/^event 5 dma/);
    const other = dma(
      0n,
      "w",
      { ...firstAllowed, gpa: "0xa000" },
      {
        reads: reads(firstStageTables(ACCESSED)),
      },
    );
    expect(await outcome([...scalableMode, other], FIRST_STAGE)).toMatch(/^event 5 dma/);
  });

  describe("on a unit whose walks snoop", () => {
    const unit = { ...FIRST_STAGE, ecap: hex(0x8800_00f0_0f4an | (1n << 48n)) };
    const snooped = scalableTables(BigInt((1 << 6) | (2 << 2) | 1), 1 | (1 << 23), 0x5000);
    const access = (letter: string, leaf: number, more: object = {}): object =>
      dma(0n, letter, firstAllowed, { reads: reads(firstStageTables(leaf, snooped)), ...more });

    it("accepts a missing D, where A was set or the entry was cached", async () => {
      expect(await outcome([...scalableMode, access("w", ACCESSED)], unit)).toBe(`clean ${name}:1`);
      const events = [access("r", PLAIN, leafIs(ACCESSED)), dma(0n, "w", firstAllowed)];
      expect(await outcome([...scalableMode, ...events], unit)).toBe(`clean ${name}:1`);
    });

    it("is not needed where both set A and D at once", async () => {
      expect(await outcome([...scalableMode, access("w", PLAIN, leafIs(DIRTY))], unit)).toBe(
        "clean",
      );
    });

    it("accepts no other bit, no missing A, and no flag of the reference alone", async () => {
      for (const event of [
        access("w", PLAIN),
        access("w", PLAIN, leafIs(ACCESSED)),
        access("r", ACCESSED, leafIs(DIRTY)),
        access("w", ACCESSED, leafIs(ACCESSED | 0x100)),
      ]) {
        expect(await outcome([...scalableMode, event], unit)).toMatch(/^event 5 memWrite/);
      }
    });
  });
});

describe("root-halves-checked", () => {
  const name = "root-halves-checked";
  const event = (low: bigint | number, high: bigint | number): object =>
    dma(0x1000n, "r", fault(0x0a), {
      reads: reads([[0x1000, low, high]]),
      ...record(0x0a, 0x1000n),
    });

  it("blocks a request for reserved bits in the other half", async () => {
    expect(await outcome([...scalableMode, event(0x2001, 0x2002), ...logged], SECOND_STAGE)).toBe(
      `clean ${name}:1`,
    );
  });

  it("is not needed for those in the half of the device", async () => {
    expect(await outcome([...scalableMode, event(0x2003, 0)], SECOND_STAGE)).toBe(
      "clean scalable-legacy-reason:2",
    );
  });

  it("accepts neither half without reserved bits", async () => {
    expect(await outcome([...scalableMode, event(0x2001, 0x2001)], SECOND_STAGE)).toMatch(
      /unknown/,
    );
  });
});

describe("snoop-bit-accepted", () => {
  const name = "snoop-bit-accepted";
  const SNP = 0x800;
  const tables = (leaf: number, table = 0x8003): Reads => [
    ...legacyTables,
    [0x3000, 0x6003],
    [0x6000, 0x7003],
    [0x7000, table],
    [0x8000, leaf],
  ];
  const allowed = { ok: true, gpa: "0x9000", mask: "0xfff", perm: "rw" };
  const event = (list: Reads, gpa = "0x9000"): object =>
    dma(0n, "r", { ...allowed, gpa }, { reads: reads(list) });

  it("allows a page with SNP on a unit with scalable mode and without snoop control", async () => {
    const page = event(tables(0x9003 | SNP));
    expect(await outcome([...legacyMode, page], SECOND_STAGE)).toBe(`clean ${name}:1`);
    expect(await outcome([...legacyMode, page])).toMatch(/^event 5 dma/);
  });

  it("accepts no other reserved bit, no other address, and no SNP further up", async () => {
    const unit = SECOND_STAGE;
    const other = event(tables(0x9003 + SNP + 2 ** 50));
    expect(await outcome([...legacyMode, other], unit)).toMatch(/^event 5 dma/);
    const address = event(tables(0x9003 | SNP), "0xa000");
    expect(await outcome([...legacyMode, address], unit)).toMatch(/^event 5 dma/);
  });
});

describe("fault-disable-incomplete", () => {
  const name = "fault-disable-incomplete";

  it("accepts a record of reserved bits in a context entry with FPD", async () => {
    const tables: Reads = [
      [0x1000, 0x2001, 0],
      [0x2100, 0x3013, 0x102],
    ];
    const event = dma(0n, "r", fault(0x0b), { reads: reads(tables), ...record(0x0b, 0n) });
    expect(await outcome([...legacyMode, event, ...logged])).toBe(`clean ${name}:1`);
    const disabled = dma(0n, "r", fault(0x0b, { disabled: true }), { reads: reads(tables) });
    expect(await outcome([...legacyMode, disabled, read(0x34, 0)])).toBe("clean");
  });

  it("accepts a record of a PASID table entry that is absent and has FPD", async () => {
    const event = dma(0n, "r", fault(0x5b), {
      reads: reads(scalableTables(2)),
      ...record(0x5b, 0n),
    });
    expect(await outcome([...scalableMode, event, ...logged], SECOND_STAGE)).toBe(
      `clean ${name}:1 pasid-entry-absent-reason:2`,
    );
  });

  it("does not accept a record of another reason", async () => {
    const tables: Reads = [
      [0x1000, 0x2001, 0],
      [0x2100, 2, 0],
    ];
    const event = dma(0n, "r", fault(0x02), { reads: reads(tables), ...record(0x02, 0n) });
    expect(await outcome([...legacyMode, event])).toMatch(/^event 5 frcd/);
  });
});

describe("fault processing disable", () => {
  it("is the same on both sides: nothing is recorded", async () => {
    const cases: [Reads, number][] = [
      [[...legacyTables.slice(0, 1), [0x2100, 2, 0]], 0x02],
      [[...legacyTables.slice(0, 1), [0x2100, 0x3003, 0x102], [0x3000, 0]], 0x06],
    ];
    for (const [tables, reason] of cases) {
      const event = dma(0n, "r", fault(reason, { disabled: true }), { reads: reads(tables) });
      expect(await outcome([...legacyMode, event, read(0x34, 0)])).toBe("clean");
    }
  });

  it("does not hide faults of the root table", async () => {
    const event = dma(0n, "r", fault(0x01), {
      reads: reads([[0x1000, 0, 0]]),
      ...record(0x01, 0n),
    });
    expect(await outcome([...legacyMode, event, write(0x34, 0)])).toBe("clean");
  });
});
