import { Access, NO_PASID } from "@viommu/plugin";
import {
  decodeCapabilities,
  encode,
  FS_PAGE_2M,
  FS_PAGE_4K,
  FS_TABLE,
  FS_UPPER,
  PASID_DIR_ENTRY,
  PASID_ENTRY,
  SM_CONTEXT_ENTRY,
  SM_ROOT_ENTRY,
  SS_PAGE_1G,
  SS_PAGE_4K,
  SS_TABLE,
  SS_UPPER,
} from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import { walkScalable } from "../src/explain-scalable.ts";
import { ExplainedTables } from "../src/explain-tables.ts";
import { TraceMemory } from "../src/trace-memory.ts";

/** SMTS with first stage, second stage, nesting, PASIDs of 20 bits and pass-through. */
const CAPABILITIES = {
  ...decodeCapabilities(0x81d2_008c_222f_0606n, 0x8800_00f0_0f4an),
  SSTS: 1,
  NEST: 1,
  PASID: 1,
  PSS: 19,
  DT: 1,
  PTRS: 1,
};

const ROOT = 0x1000;
const CONTEXT = 0x2000;
const DIRECTORY = 0x3000;
const PASIDS = 0x4000;
const FIRST = 0x5000;
const SECOND = 0xa000;
/** Device 00:02.0, address 0x40201234: index 0, 1, 1, 1 from level 4 down. */
const ADDRESS = 0x4020_1234n;

type Memory = Record<number, Int32Array>;

const user = { P: 1, RW: 1, US: 1, A: 1 };
const both = { R: 1, W: 1 };

/** Tables for the device; the PASID table entry of PASID 0 and 5 has this type. */
function tables(type: number, second = both): Memory {
  const entry = encode(PASID_ENTRY, {
    P: 1,
    PGTT: type,
    AW: 2,
    DID: 7,
    FSPTPTR: FIRST,
    SSPTPTR: SECOND,
  });
  return {
    [ROOT]: encode(SM_ROOT_ENTRY, { LP: 1, LCTP: CONTEXT }),
    [CONTEXT + 32 * 0x10]: encode(SM_CONTEXT_ENTRY, { P: 1, PASIDE: 1, PASIDDIRPTR: DIRECTORY }),
    [DIRECTORY]: encode(PASID_DIR_ENTRY, { P: 1, SMPTBLPTR: PASIDS }),
    [PASIDS]: entry,
    [PASIDS + 5 * 64]: entry,
    [FIRST]: encode(FS_UPPER, { ...user, ADDR: FIRST + 0x1000 }),
    [FIRST + 0x1008]: encode(FS_TABLE, { ...user, ADDR: FIRST + 0x2000 }),
    [FIRST + 0x2008]: encode(FS_TABLE, { ...user, ADDR: FIRST + 0x3000 }),
    [FIRST + 0x3008]: encode(FS_PAGE_4K, { ...user, D: 1, ADDR: 0x7000_0000 }),
    [SECOND]: encode(SS_UPPER, { ...second, ADDR: SECOND + 0x1000 }),
    [SECOND + 0x1008]: encode(SS_TABLE, { ...second, ADDR: SECOND + 0x2000 }),
    [SECOND + 0x2008]: encode(SS_TABLE, { ...second, ADDR: SECOND + 0x3000 }),
    [SECOND + 0x3008]: encode(SS_PAGE_4K, { ...second, ADDR: 0x9000_0000 }),
  };
}

interface Asked {
  sid: number;
  pasid: number;
  iova: bigint;
  access: number;
  index: 0 | 1;
}

function walk(
  content: Memory,
  asked: Partial<Asked> = {},
  capabilities: Capabilities = CAPABILITIES,
): { end: string; names: string[] } {
  const memory = new TraceMemory();
  for (const [at, words] of Object.entries(content)) {
    const bytes = words.length === 0 ? null : new Uint8Array(words.buffer);
    memory.storeReads([{ address: BigInt(at), bytes }]);
  }
  const explained = new ExplainedTables(memory, capabilities, 48);
  const request: Asked = {
    sid: 0x10,
    pasid: NO_PASID,
    iova: ADDRESS,
    access: Access.READ,
    index: 0,
    ...asked,
  };
  const root = { table: BigInt(ROOT), ioPermissions: false };
  const outcome = walkScalable(explained, root, request);
  const end =
    outcome.fault === undefined ? outcome.address.toString(16) : `${outcome.fault.toString(16)}h`;
  return { end, names: explained.steps.map(({ name }) => name) };
}

const WRITE = { access: Access.WRITE };
const WITH_PASID = { pasid: 5 };
const CONTEXT_AT = CONTEXT + 32 * 0x10;
const context = (values: object): Memory => ({
  [CONTEXT_AT]: encode(SM_CONTEXT_ENTRY, { P: 1, PASIDDIRPTR: DIRECTORY, ...values }),
});
const pasidEntry = (values: object): Memory => ({
  [PASIDS]: encode(PASID_ENTRY, { P: 1, PGTT: 1, FSPTPTR: FIRST, AW: 2, ...values }),
});

describe("scalable-mode walk of an explanation", () => {
  it("shows every entry on the way through the first stage", () => {
    expect(walk(tables(1))).toEqual({
      end: "70000234",
      names: [
        "root entry of bus 0x00",
        "context entry of 00:02.0",
        "PASID directory entry 0",
        "PASID table entry 0x0",
        "first-stage entry, level 4",
        "first-stage entry, level 3",
        "first-stage entry, level 2",
        "first-stage entry, level 1",
      ],
    });
    expect(walk(tables(1), WITH_PASID).end).toBe("70000234");
  });

  it.each<[string, Memory, Partial<Asked>, string]>([
    ["the root entry can't be read", { [ROOT]: new Int32Array(0) }, {}, "38h"],
    ["the half is not present", {}, { sid: 0x80 }, "39h"],
    ["the half has a reserved bit", { [ROOT]: Int32Array.of(3, 0, 0, 0) }, {}, "3ah"],
    [
      "the other half may have one",
      { [ROOT]: Int32Array.of(CONTEXT | 1, 0, 2, 0) },
      {},
      "70000234",
    ],
    ["the context entry can't be read", { [CONTEXT_AT]: new Int32Array(0) }, {}, "40h"],
    ["the context entry is not present", context({ P: 0 }), {}, "41h"],
    ["the context entry has a reserved bit", context({ RSVD_8_7: 1 }), {}, "42h"],
    ["a request with PASID where PASIDE is 0", context({}), WITH_PASID, "45h"],
    ["the same with EPTR", context({ EPTR: 1 }), WITH_PASID, "45h"],
    ["EPTR without PASIDE", context({ EPTR: 1 }), {}, "43h"],
    ["a PASID beyond PSS", {}, { pasid: 0x10_0000 }, "89h"],
    ["a PASID beyond the directory", {}, { pasid: 0x2000 }, "46h"],
    ["the PASID of requests without one", {}, { pasid: 0 }, "48h"],
    ["a translated request where DTE is 0", {}, { index: 1 }, "44h"],
    ["the directory entry can't be read", { [DIRECTORY]: new Int32Array(0) }, {}, "50h"],
    ["the directory entry is not present", { [DIRECTORY]: new Int32Array(2) }, {}, "51h"],
    ["the directory entry has a reserved bit", { [DIRECTORY]: Int32Array.of(5, 0) }, {}, "52h"],
    ["the PASID entry can't be read", { [PASIDS]: new Int32Array(0) }, {}, "58h"],
    ["the PASID entry is not present", pasidEntry({ P: 0 }), {}, "59h"],
    ["the PASID entry has a reserved bit", pasidEntry({ RSVD_5: 1 }), {}, "5ah"],
    ["the type is not defined", pasidEntry({ PGTT: 5 }), {}, "5bh"],
    ["five levels without FS5LP", pasidEntry({ FSPM: 1 }), {}, "5bh"],
    ["the input is not canonical", {}, { iova: 1n << 47n }, "80h"],
    ["the top entry can't be read", { [FIRST]: new Int32Array(0) }, {}, "73h"],
    ["a lower entry can't be read", { [FIRST + 0x2008]: new Int32Array(0) }, {}, "70h"],
    ["an entry is not present", { [FIRST + 0x2008]: new Int32Array(2) }, {}, "71h"],
    ["an entry has a reserved bit", { [FIRST]: Int32Array.of(0x60a7, 0) }, {}, "72h"],
    ["an entry is for supervisors", { [FIRST + 0x1008]: Int32Array.of(0x7023, 0) }, {}, "81h"],
    ["an entry denies writes", { [FIRST + 0x1008]: Int32Array.of(0x7025, 0) }, WRITE, "85h"],
    ["a flag is to be set", { [FIRST + 0x1008]: Int32Array.of(0x7007, 0) }, {}, "90h"],
    ["the dirty flag is to be set", { [FIRST + 0x3008]: Int32Array.of(0x7027, 0) }, WRITE, "90h"],
    [
      "the output is in FEEx_xxxxh",
      { [FIRST + 0x3008]: Int32Array.of(0xfee0_0067 | 0, 0) },
      {},
      "87h",
    ],
  ])("first stage: %s", (_, change, asked, end) => {
    expect(walk({ ...tables(1), ...change }, asked).end).toBe(end);
  });

  it.each<[string, Memory, Partial<Asked>, string]>([
    ["a read", {}, {}, "90000234"],
    ["a width that is not offered", pasidEntry({ PGTT: 2, AW: 3 }), {}, "5bh"],
    ["the input is beyond the width", {}, { iova: 1n << 48n }, "84h"],
    ["the top entry can't be read", { [SECOND]: new Int32Array(0) }, {}, "7bh"],
    ["a lower entry can't be read", { [SECOND + 0x2008]: new Int32Array(0) }, {}, "78h"],
    ["no permission at all", { [SECOND + 0x3008]: Int32Array.of(0, 0) }, {}, "79h"],
    ["a reserved bit", { [SECOND]: Int32Array.of((SECOND + 0x1083) | 0, 0) }, {}, "7ah"],
    ["no write permission", { [SECOND + 0x3008]: Int32Array.of(1, 0) }, WRITE, "85h"],
    ["no read permission", { [SECOND + 0x3008]: Int32Array.of(2, 0) }, {}, "86h"],
    [
      "a page of 1 GiB",
      { [SECOND + 0x1008]: encode(SS_PAGE_1G, { ...both, PS: 1, ADDR: 0x8000_0000 }) },
      {},
      "80201234",
    ],
  ])("second stage: %s", (_, change, asked, end) => {
    expect(walk({ ...tables(2), ...change }, asked).end).toBe(end);
  });

  it("AW is reserved without second stage, but not where it plays no part (ADR 4)", () => {
    const without = { ...CAPABILITIES, SSTS: 0, NEST: 0 };
    const first = pasidEntry({ SSPTPTR: 0 });
    expect(walk({ ...tables(1), ...first }, {}, without).end).toBe("70000234");
    const second = pasidEntry({ PGTT: 2, SSPTPTR: 0 });
    expect(walk({ ...tables(2), ...second }, {}, without).end).toBe("5ah");
  });

  it("pass-through: the address itself, within the host's width, outside of FEEx_xxxxh", () => {
    expect(walk(tables(4)).end).toBe("40201234");
    expect(walk(tables(4), { iova: 1n << 48n }).end).toBe("83h");
    expect(walk(tables(4), { iova: 0xfee0_0000n }).end).toBe("87h");
  });

  it("nested: every first-stage entry and the result go through the second stage", () => {
    const nested = tables(3);
    const identity = encode(SS_PAGE_1G, { ...both, PS: 1, ADDR: 0 });
    const target = encode(SS_PAGE_1G, { ...both, PS: 1, ADDR: 0x8000_0000 });
    const content = {
      ...nested,
      [SECOND + 0x1000]: identity,
      [SECOND + 0x1008]: target,
    };
    const { end, names } = walk(content);
    expect(end).toBe("b0000234");
    expect(names.filter((name) => name.startsWith("second-stage"))).toHaveLength(10);
    const blocked = { ...content, [SECOND + 0x1000]: encode(SS_PAGE_1G, { W: 1, PS: 1 }) };
    expect(walk(blocked).end).toBe("75h");
    expect(walk({ ...content, [SECOND + 0x1000]: Int32Array.of(0, 0) }).end).toBe("79h");
    const readOnly = { ...content, [SECOND + 0x1008]: encode(SS_PAGE_1G, { R: 1, PS: 1 }) };
    expect(walk(readOnly, WRITE).end).toBe("85h");
    const large = {
      ...content,
      [FIRST + 0x2008]: encode(FS_PAGE_2M, { ...user, PS: 1, D: 1, ADDR: 0x7000_0000 }),
    };
    expect(walk(large).end).toBe("b0001234");
  });
});
