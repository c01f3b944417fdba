import type { Answer, Bench, BenchOptions } from "./machine.ts";
import { CONTEXT_AT, DIRECTORY, PASID_AT, PASIDS, scalableBench } from "./scalable-machine.ts";
import { SECOND_STAGE } from "./scalable-machine.ts";
import type { Changes } from "./scalable-machine.ts";

/** Address of every test, and what VT-d 4.2.4, table 11 selects by it. */
export const HOST_ADDRESS =
  (3n << 41n) | // HPTL4E 3
  (0x85n << 33n) | // HPTL3E 85h
  (6n << 30n) | // PP6 of it
  (9n << 25n) | // with the bits before, HPTL2E C9h
  (11n << 21n) | // PP11 of it
  (5n << 17n) | // with the bits before, HPTL1E B5h
  (21n << 12n) | // PP21 of it
  0x678n;

// where the tables lie; the top one has up to 32 KiB
export const L4 = 0x10_0000n;
export const L3 = 0x11_0000n;
export const L2 = 0x12_0000n;
export const L1 = 0x13_0000n;
/** Entries for {@link HOST_ADDRESS} by level; 128 bits each. */
export const ENTRY = [0n, L1 + 0xb50n, L2 + 0xc90n, L3 + 0x850n, L4 + 0x30n] as const;
/** Lowest bit of the page permission for it in the entry, by level. */
const PERMISSION = [0, 84, 44, 24] as const;

/** Writes an entry of 128 bits. */
export const entry = (at: bigint, value: bigint): Changes => [
  [at, value & 0xffff_ffff_ffff_ffffn],
  [at + 8n, value >> 64n],
];
/** An entry that leads to a table. */
export const pointer = (table: bigint): bigint => (table | 1n) << 64n;
/** The entry of a level with a page permission for {@link HOST_ADDRESS}, and AV if there is a table. */
export const permission = (level: 1 | 2 | 3, rights: bigint, table = 0n): bigint =>
  (rights << BigInt(PERMISSION[level])) | (table === 0n ? 0n : pointer(table));

export const HPTE = 0x20n;
export const EPTR = 0x40n;
/** DTE, PASIDE and P, as the bench sets them. */
export const CONTEXT_FLAGS = 0xdn;

/** HPTDID of both PASID table entries of the bench. */
export const HPT_DOMAIN = 7;

/** Words 256 and up of a PASID table entry: HPTPTR with HPTSZ, and HPTDID. */
export const hptFields = (base: bigint, root: bigint, hptDomainId = HPT_DOMAIN): Changes => [
  [base + 32n, root],
  [base + 40n, BigInt(hptDomainId)],
];

/** Both tables of {@link scalableBench} with HPTE, and a table that lets all be done to one page. */
export function permissionBench(options: BenchOptions = {}, changes: Changes = []): Bench {
  const capabilities = { HPTS: 1, HPT1GPS: 1, ...options.capabilities };
  return scalableBench(SECOND_STAGE, { ...options, capabilities }, [
    [CONTEXT_AT, DIRECTORY | CONTEXT_FLAGS | HPTE],
    ...hptFields(PASIDS, L4),
    ...hptFields(PASID_AT, L4),
    ...entry(ENTRY[4], pointer(L3)),
    ...entry(ENTRY[3], pointer(L2)),
    ...entry(ENTRY[2], pointer(L1)),
    ...entry(ENTRY[1], permission(1, 3n)),
    ...changes,
  ]);
}

/** A permitted request: the output address is the address. */
export const passes = (pageShift: number, granted = 0x23, address = HOST_ADDRESS): Answer => ({
  result: 0,
  out: address,
  pageShift,
  granted,
});
