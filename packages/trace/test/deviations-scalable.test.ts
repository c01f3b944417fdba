import { describe, expect, it } from "vitest";
import { FIRST_STAGE, hex, outcome, reads, scalableMode, SECOND_STAGE } from "./recording.ts";
import type { Reads } from "./recording.ts";

const AW = 2 << 2;
const SECOND = (2 << 6) | AW | 1;
const FIRST = (1 << 6) | AW | 1;

/** What can be changed in the entries before the page tables. */
interface Entries {
  readonly context?: bigint | number;
  readonly ridPasid?: number;
  readonly directory?: bigint | number;
  readonly first?: bigint | number;
  readonly second?: bigint | number;
  readonly third?: bigint | number;
}

/** Second-stage tables down to the page 9000h, behind these entries. */
const tables = ({
  context = 0,
  ridPasid = 0,
  directory = 0,
  first = 0,
  second = 0,
  third = 0,
}: Entries): Reads => [
  [0x1000, 0x2001, 0],
  [0x2200, 0x3001n | BigInt(context), ridPasid, 0, 0],
  [0x3000, 0x4001n | BigInt(directory)],
  [0x4000, BigInt(first) || BigInt(0x5000 | SECOND), BigInt(second) | 1n, third, 0, 0, 0, 0, 0],
  [0x5000, 0x6003],
  [0x6000, 0x7003],
  [0x7000, 0x8003],
  [0x8000, 0x9003],
];

const event = (list: Reads, result: object, more: object = {}): object => ({
  e: "dma",
  sid: "0x0010",
  pasid: null,
  iova: "0x0",
  access: "r",
  reads: reads(list),
  ...more,
  result,
});
const allowed = (gpa = 0x9000): object => ({ ok: true, gpa: hex(gpa), mask: "0xfff", perm: "rw" });
const again = { ...event([], allowed()), reads: [] };

describe("scalable-entries-unchecked", () => {
  const name = "scalable-entries-unchecked";

  it.each<[string, Entries]>([
    ["PASIDE without PASIDs", { context: 1 << 3 }],
    ["PRE without DTE", { context: 1 << 4 }],
    ["DTE without device-TLBs", { context: 1 << 2 }],
    ["a reserved bit of the directory", { directory: 1 << 5 }],
    ["first-stage fields of a second-stage entry", { third: 1 << 2 }],
    ["a reserved bit of the PASID table entry", { second: 1n << 40n }],
  ])("accepts that %s blocks nothing, also later", async (_, entries) => {
    const first = event(tables(entries), allowed());
    expect(await outcome([...scalableMode, first, again], SECOND_STAGE)).toBe(`clean ${name}:1`);
  });

  it("accepts that the type of a PASID table entry is looked at instead", async () => {
    const first = (7 << 6) | AW | 1;
    const frcd = [[0, hex((3n << 62n) | (0x5bn << 32n) | 0x10n), "0x0"]];
    const denied = event(tables({ first }).slice(0, 4), { ok: false, fault: "0x5b" }, { frcd });
    expect(await outcome([...scalableMode, denied], FIRST_STAGE)).toBe(`clean ${name}:1`);
  });

  it("accepts no other address, nor that such an entry is blocked with another reason", async () => {
    const other = event(tables({ context: 1 << 3 }), allowed(0xa000));
    expect(await outcome([...scalableMode, other], SECOND_STAGE)).toMatch(/^event 5 dma/);
    const denied = event(tables({ context: 1 << 3 }), { ok: false, fault: "0x06" });
    expect(await outcome([...scalableMode, denied], SECOND_STAGE)).toMatch(/^event 5 dma/);
  });

  it("is not needed for reserved bits that the reference checks", async () => {
    const frcd = [[0, hex((3n << 62n) | (0x0bn << 32n) | 0x10n), "0x0"]];
    const denied = event(
      tables({ context: 1 << 7 }).slice(0, 2),
      { ok: false, fault: "0x0b" },
      { frcd },
    );
    expect(await outcome([...scalableMode, denied], SECOND_STAGE)).toBe(
      "clean scalable-legacy-reason:2",
    );
    const passed = event(tables({ context: 1 << 7 }), allowed());
    expect(await outcome([...scalableMode, passed], SECOND_STAGE)).toMatch(/^event 5 dma/);
  });
});

describe("rid-pasid-ignored", () => {
  /** ECAP.RPS: RID_PASID counts. */
  const unit = { ...SECOND_STAGE, ecap: hex(0x4800_80f0_0f4an | (1n << 49n)) };

  it("uses PASID 0 whatever RID_PASID says", async () => {
    const events = [event(tables({ ridPasid: 5 }), allowed()), again];
    expect(await outcome([...scalableMode, ...events], unit)).toMatch(
      /^clean rid-pasid-ignored:[12]$/,
    );
    expect(await outcome([...scalableMode, ...events], SECOND_STAGE)).toMatch(/^clean/);
  });

  it("accepts no other address", async () => {
    const other = event(tables({ ridPasid: 5 }), allowed(0xa000));
    expect(await outcome([...scalableMode, other], unit)).toMatch(/^event 5 dma|^unknown/);
  });

  it("is not needed where both find the same", async () => {
    const list: Reads = [
      ...tables({ ridPasid: 5 }),
      [0x4140, BigInt(0x5000 | SECOND), 1, 0, 0, 0, 0, 0, 0],
    ];
    expect(await outcome([...scalableMode, event(list, allowed())], unit)).toBe("clean");
  });
});

describe("first-stage-permission-first", () => {
  it("accepts that U/S is looked at before reserved bits", async () => {
    const list: Reads = [
      ...tables({ first: FIRST, third: 0x5000 }).slice(0, 4),
      [0x5000, 0x6000 | 0x83],
    ];
    const frcd = [[0, hex((3n << 62n) | (0x81n << 32n) | (1n << 31n) | 0x10n), "0x0"]];
    const denied = event(list, { ok: false, fault: "0x81" }, { frcd });
    expect(await outcome([...scalableMode, denied], FIRST_STAGE)).toBe(
      "clean first-stage-permission-first:2 fault-record-pp:1",
    );
  });
});
