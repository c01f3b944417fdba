import { Access, NO_PASID } from "@viommu/plugin";
import { encode, faultReason, FaultReason, HPTL4E } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import { walkScalable } from "../src/explain-scalable.ts";
import { ExplainedTables } from "../src/explain-tables.ts";
import type { ExplainedStep, Outcome } from "../src/explanation.ts";
import type { WalkedRequest } from "../src/explain-requests.ts";
import { meaningOf } from "../src/explain-meanings.ts";
import { TraceMemory } from "../src/trace-memory.ts";
import * as hpt from "./host-permissions.ts";
import type { Tables } from "./host-permissions.ts";

interface Asked extends Partial<WalkedRequest> {
  capabilities?: Partial<Capabilities>;
  hostAddressWidth?: number;
}

/** Explains a translated request without PASID, a read of `ADDRESS` unless `asked` says otherwise. */
function walk(
  change: Tables = {},
  asked: Asked = {},
): { outcome: Outcome; steps: ExplainedStep[] } {
  const { capabilities, hostAddressWidth = 48, ...given } = asked;
  const memory = new TraceMemory();
  for (const [at, words] of Object.entries({ ...hpt.TABLES, ...change })) {
    const bytes = words.length === 0 ? null : new Uint8Array(words.buffer);
    memory.storeReads([{ address: BigInt(at), bytes }]);
  }
  const offered = { ...hpt.CAPABILITIES, ...capabilities };
  const tables = new ExplainedTables(memory, offered, hostAddressWidth);
  const root = { table: BigInt(hpt.ROOT), ioPermissions: false };
  const request: WalkedRequest = {
    sid: 0x10,
    pasid: NO_PASID,
    iova: hpt.ADDRESS,
    access: Access.READ,
    index: 1,
    ...given,
  };
  return { outcome: walkScalable(tables, root, request), steps: tables.steps };
}

/** The address of the answer, or the reason, as "a5h". */
function endOf({ outcome }: { outcome: Outcome }): string {
  return outcome.fault === undefined
    ? outcome.address.toString(16)
    : `${outcome.fault.toString(16)}h`;
}

const NOWHERE = new Int32Array(0);
const ALLOWED = hpt.ADDRESS.toString(16);
const WRITE = { access: Access.WRITE };
const ATOMIC = { access: Access.ATOMIC };
const ZERO_LENGTH = { access: Access.NONE };
const WITHOUT_ZLR = { capabilities: { ZLR: 0 } };
/** Sets one bit of an entry of two words. */
const bit = (position: number): Int32Array =>
  Int32Array.from({ length: 4 }, (_, i) => (i === position >> 5 ? 1 << (position & 31) : 0));

describe("host permission tables in explanations (VT-d 4.2.4)", () => {
  it("shows every entry on the way, with the permission that counts", () => {
    const { outcome, steps } = walk();
    expect(outcome).toEqual({
      address: hpt.ADDRESS,
      pageShift: 12,
      because:
        "the request was translated already, and PP7 gives the right to read and write a page of 0x1000 bytes",
    });
    expect(steps.map(({ name, chapter, address, note }) => [name, chapter, address, note])).toEqual(
      [
        ["root entry of bus 0x00", "9.2", "0x1000", "lower half: context table at 0x2000"],
        ["context entry of 00:02.0", "9.4", "0x2200", "PASID directory at 0x3000; PASID 0x0"],
        ["PASID directory entry 0", "9.5", "0x3000", "PASID table at 0x4000"],
        [
          "PASID table entry 0x0",
          "9.6",
          "0x4000",
          "host permission table of domain 0x9 at 0x100000",
        ],
        ["host permission entry, level 4", "9.12.1", "0x100010", "next table at 0x200000"],
        ["host permission entry, level 3", "9.12.2", "0x200020", "next table at 0x210000"],
        ["host permission entry, level 2", "9.12.3", "0x210a30", "next table at 0x220000"],
        [
          "host permission entry, level 1",
          "9.12.4",
          "0x220640",
          "PP7 gives the right to read and write a page of 0x1000 bytes",
        ],
      ],
    );
    expect(steps[5]!.fields).toEqual([
      { name: "ADDR", value: "0x210000", doc: "level 2 table" },
      { name: "AV", value: "0x1", doc: "ADDR is valid" },
      { name: "PP5", value: "0x0", doc: "permissions of page 5" },
    ]);
    expect(steps[7]!.fields).toEqual([{ name: "PP7", value: "0x3", doc: "permissions of page 7" }]);
  });

  it.each<[string, Tables, number, string]>([
    ["4 KByte", {}, 12, "0x1000"],
    ["2 MByte", hpt.level2({ PP6: 1 }), 21, "0x200000"],
    ["2 MByte, AV or not", hpt.level2({ PP6: 1, AV: 1, ADDR: hpt.HPTL1 }), 21, "0x200000"],
    ["1 GByte", hpt.level3({ PP5: 1 }), 30, "0x40000000"],
    ["1 GByte, AV or not", hpt.level3({ PP5: 1, AV: 1, ADDR: hpt.HPTL2 }), 30, "0x40000000"],
  ])("tells the page size: %s", (_, change, pageShift, size) => {
    const { outcome, steps } = walk(change);
    expect(outcome).toMatchObject({ address: hpt.ADDRESS, pageShift });
    expect(steps.at(-1)!.note).toContain(`a page of ${size} bytes`);
  });

  it.each<[string, Tables, Asked, string]>([
    ["the address is beyond HPTSZ", {}, { iova: 1n << 49n }, "60h"],
    ["beyond HPTSZ counts before the host's width", {}, { iova: 1n << 63n }, "60h"],
    ["the address is beyond the host's width", {}, { iova: 1n << 48n }, "83h"],
    ["the address is in FEEx_xxxxh", {}, { iova: 0xfee0_1000n }, "87h"],
    ["the top entry can't be read", { [hpt.AT.L4]: NOWHERE }, {}, "a2h"],
    ["the entry of level 3 can't be read", { [hpt.AT.L3]: NOWHERE }, {}, "a0h"],
    ["the entry of level 2 can't be read", { [hpt.AT.L2]: NOWHERE }, {}, "a0h"],
    ["the entry of level 1 can't be read", { [hpt.AT.L1]: NOWHERE }, {}, "a0h"],
    ["a reserved bit at level 4, AV 0", { [hpt.AT.L4]: bit(0) }, {}, "a1h"],
    ["an address beyond the host's width, AV 0", { [hpt.AT.L4]: bit(64 + 48) }, {}, "a1h"],
    ["a reserved bit at level 3", { [hpt.AT.L3]: bit(32) }, {}, "a1h"],
    ["a reserved bit in a page's permissions", { [hpt.AT.L2]: bit(2) }, {}, "a1h"],
    ["a reserved bit at level 1", { [hpt.AT.L1]: bit(127) }, {}, "a1h"],
    ["pages of 1 GByte without HPT1GPS", hpt.level3({ PP5: 3 }), noLarge(), "a1h"],
    ["another page of 1 GByte without HPT1GPS", hpt.level3({ PP0: 1 }), noLarge(), "a1h"],
    ["ignored bits", { [hpt.AT.L4]: withIgnoredBits() }, {}, ALLOWED],
    ["a write, the page is read-only", hpt.level1({ PP7: 1 }), WRITE, "a4h"],
    ["an atomic, the page is read-only", hpt.level1({ PP7: 1 }), ATOMIC, "a4h"],
    ["a read, the page is write-only", hpt.level1({ PP7: 2 }), {}, "a5h"],
    ["an atomic, the page is write-only", hpt.level1({ PP7: 2 }), ATOMIC, "a5h"],
    ["an atomic without any permission", hpt.level1({}), ATOMIC, "a4h"],
    ["a write, the page may be written", hpt.level1({ PP7: 2 }), WRITE, ALLOWED],
    ["a read, level 4 ends", hpt.level4({ ADDR: hpt.HPTL3 }), {}, "a5h"],
    ["a read, level 3 ends", hpt.level3({ PP4: 3 }), {}, "a5h"],
    ["a write, level 2 ends", hpt.level2({ PP7: 3 }), WRITE, "a4h"],
    ["a read, the page has nothing", hpt.level1({ PP6: 3, PP8: 3 }), {}, "a5h"],
    ["a zero-length read, write-only", hpt.level1({ PP7: 2 }), ZERO_LENGTH, ALLOWED],
    ["a zero-length read, read-only", hpt.level1({ PP7: 1 }), ZERO_LENGTH, ALLOWED],
    ["a zero-length read, nothing", hpt.level1({}), ZERO_LENGTH, "a3h"],
    ["a zero-length read, level 4 ends", hpt.level4({}), ZERO_LENGTH, "a3h"],
    [
      "a zero-length read without ZLR is a read",
      hpt.level1({ PP7: 2 }),
      { ...ZERO_LENGTH, ...WITHOUT_ZLR },
      "a5h",
    ],
    ["nothing, without ZLR", hpt.level1({}), { ...ZERO_LENGTH, ...WITHOUT_ZLR }, "a5h"],
  ])("conditions of 7.1.3: %s", (_, change, asked, end) => {
    expect(endOf(walk(change, asked))).toBe(end);
  });

  it("says in words where it ended", () => {
    const because = (change: Tables, asked: Asked = {}): string =>
      walk(change, asked).outcome.because;
    expect(because({}, { iova: 1n << 49n })).toBe(
      "0x2000000000000 needs more than the 49 bits that HPTSZ gives",
    );
    expect(because(hpt.level3({}))).toBe("level 3 denies a read: AV and PP5 are 0");
    expect(because(hpt.level4({}), WRITE)).toBe("level 4 denies a write: AV is 0");
    expect(because(hpt.level1({}))).toBe("level 1 denies a read: PP7 is 0");
    expect(because(hpt.level2({ PP6: 1 }), ATOMIC)).toBe(
      "level 2 denies a read and write: PP6 gives the right to read a page of 0x200000 bytes",
    );
    expect(because({ [hpt.AT.L1]: NOWHERE })).toBe(
      "the host permission entry, level 1 at 0x220640 is in no memory",
    );
    const reserved = walk(hpt.level3({ PP0: 1 }), noLarge());
    expect(reserved.outcome.because).toBe(
      "a reserved bit is set in the host permission entry, level 3",
    );
    expect(reserved.steps.at(-1)!.fields).toContainEqual({
      name: "PP0",
      value: "0x1",
      doc: "reserved, has to be 0",
    });
  });

  it("HPTSZ makes the top table larger", () => {
    const high = hpt.ADDRESS | (7n << 49n);
    const top = { [hpt.HPTL4 + 16 * (7 * 256 + 1)]: encode(HPTL4E, { AV: 1, ADDR: hpt.HPTL3 }) };
    const change = { ...hpt.pasidEntry({ HPTSZ: 3 }), ...top };
    const asked = { iova: high, hostAddressWidth: 52 };
    expect(endOf(walk(change, asked))).toBe(high.toString(16));
    expect(endOf(walk({ ...change, ...hpt.pasidEntry({ HPTSZ: 2 }) }, asked))).toBe("60h");
    expect(endOf(walk(hpt.pasidEntry({ HPTSZ: 3 }), asked))).toBe("a5h");
  });
});

describe("on the way to the host permission table (VT-d 4.2.5, table 30)", () => {
  it("HPTE = 0: the table has no say", () => {
    const change = { ...hpt.context({ HPTE: 0 }), [hpt.DIRECTORY]: NOWHERE };
    const { outcome, steps } = walk(change);
    expect(outcome).toMatchObject({ address: hpt.ADDRESS });
    expect(steps).toHaveLength(2);
    expect(steps[1]!.note).toBe("HPTE is 0: no host permission table has a say");
    expect(endOf(walk(change, { iova: 1n << 49n }))).toBe("83h");
    const without = walk(change, { capabilities: { HPTS: 0 } });
    expect(without.steps[1]!.note).toBe("");
  });

  it.each<[string, Tables, Asked, string]>([
    ["HPTE is reserved without HPTS", {}, { capabilities: { HPTS: 0, HPT1GPS: 0 } }, "42h"],
    ["DTE is 0", hpt.context({ DTE: 0 }), {}, "44h"],
    ["a PASID where EPTR is 0", hpt.context({ EPTR: 0 }), { pasid: 5 }, "49h"],
    ["the entry of the request's PASID counts", {}, { pasid: 5 }, "a5h"],
    ["the entry of RID_PASID counts without one", hpt.context({ RID_PASID: 5 }), {}, "a5h"],
    ["the directory entry can't be read", { [hpt.DIRECTORY]: NOWHERE }, {}, "50h"],
    ["the directory entry is not present", { [hpt.DIRECTORY]: new Int32Array(2) }, {}, "51h"],
    ["the PASID entry can't be read", { [hpt.PASIDS]: NOWHERE }, {}, "58h"],
    ["the PASID entry is not present", hpt.pasidEntry({ P: 0 }), {}, "59h"],
    ["a reserved bit, SPT.3", hpt.pasidEntry({ RSVD_5: 1 }), {}, "5ah"],
    ["an undefined type, SPT.4", hpt.pasidEntry({ PGTT: 5 }), {}, "5bh"],
    ["five levels without FS5LP, SPT.4", hpt.pasidEntry({ FSPM: 1 }), {}, "5bh"],
    [
      "a supervisor request where SRE is 0",
      hpt.context({ RID_PRIV: 1 }),
      { capabilities: { SRS: 1, RPRIVS: 1 } },
      ALLOWED,
    ],
  ])("%s", (_, change, asked, end) => {
    expect(endOf(walk(change, asked))).toBe(end);
  });

  it("requests that are not translated yet don't go through it", () => {
    const { outcome, steps } = walk({}, { index: 0, iova: 0n });
    expect(outcome.fault).toBe(FaultReason.FS_NOT_PRESENT);
    expect(steps.map(({ name }) => name)).not.toContain("host permission entry, level 4");
  });

  it("the PASID table entry shows its host permission fields where the unit has them", () => {
    const shown = (asked: Asked): string[] =>
      walk(hpt.context({ HPTE: 0 }), { index: 0, ...asked })
        .steps.find(({ name }) => name.startsWith("PASID table entry"))!
        .fields.filter(({ name }) => name.startsWith("HPT"))
        .map(({ name, value, doc }) => `${name} ${value} ${doc}`);
    expect(shown({})).toEqual([
      "HPTDID 0x9 domain-id of the host permission table",
      "HPTPTR 0x100000 top table of the host permission table",
      "HPTPFD 0x0 no prefetch of host permissions",
      "HPTSZ 0x0 translated addresses are below 2^(49 + HPTSZ)",
    ]);
    expect(shown({ capabilities: { HPTS: 0, HPT1GPS: 0 } })).toEqual([
      "HPTDID 0x9 reserved, has to be 0",
      "HPTPTR 0x100000 reserved, has to be 0",
    ]);
  });

  it("the fault reasons have words", () => {
    const codes = [0x60, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5];
    const meanings = codes.map((code) => meaningOf("see FaultReason", BigInt(code)));
    expect(meanings).toEqual(codes.map((code) => faultReason(code)!.text));
    expect(meanings[0]).toBe("the translated address is beyond HPTSZ");
  });
});

function noLarge(): Asked {
  return { capabilities: { HPT1GPS: 0 } };
}

/** The entry of level 4 with bits 127:116 set. */
function withIgnoredBits(): Int32Array {
  const words = encode(HPTL4E, { AV: 1, ADDR: hpt.HPTL3 });
  words[3]! |= 0xfff0_0000;
  return words;
}
