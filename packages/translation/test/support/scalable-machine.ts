import type { Capabilities } from "@viommu/vtd-spec";
import { Bench, DEVICE, ROOT } from "./machine.ts";
import type { BenchOptions } from "./machine.ts";

/** All that scalable mode has, but host permission tables. */
export const SCALABLE: Partial<Capabilities> = {
  SMTS: 1,
  FSTS: 1,
  SSTS: 1,
  NEST: 1,
  FS5LP: 1,
  FS1GP: 1,
  SMPWCS: 1,
  SSADS: 1,
  EAFS: 1,
  SRS: 1,
  RPS: 1,
  RPRIVS: 1,
  PASID: 1,
  PSS: 19,
  PTRS: 1,
  PRS: 1,
  NWFS: 1,
};

// where the tables lie
export const LOWER = 0x2000n;
export const UPPER = 0x3000n;
export const DIRECTORY = 0x4000n;
export const PASIDS = 0x5000n;
export const FIRST = 0x6000n;
export const SECOND = 0xa000n;
/** No memory. */
export const FAR = 0x4000_0000n;

/** Context entry of {@link DEVICE}. */
export const CONTEXT_AT = LOWER + 32n * BigInt(DEVICE);
/** The PASID that a test uses in requests; those without use 0. */
export const PASID = 0x21;
export const PASID_AT = PASIDS + 64n * BigInt(PASID);

/** An address in the page that both stages map. */
export const ADDRESS = 0x1234n;

export const READ = 1;
export const WRITE = 2;

/** A request for {@link ADDRESS}, and variants of it. */
export const at = { address: ADDRESS, access: READ };
export const write = { address: ADDRESS, access: WRITE };
export const withPasid = { ...at, pasid: PASID };
export const withZeroLength = { address: ADDRESS, access: 0 };

// PASID table entries as drivers write them: domain 5, PWSNP (vtd-structures of the specification: 9.6)
export const FIRST_STAGE = [0x49n, 0x80_0005n, FIRST];
export const SECOND_STAGE = [SECOND | 0x89n, 0x80_0005n, 0n];
export const SECOND_STAGE_FLAGS = [SECOND | 0x289n, 0x80_0005n, 0n];
export const NESTED = [SECOND | 0xc9n, 0x80_0005n, FIRST];
export const NESTED_FLAGS = [SECOND | 0x2c9n, 0x80_0005n, FIRST];
export const PASS_THROUGH = [0x109n, 0x80_0001n, 0n];

/** Where the entries of both stages for {@link ADDRESS} lie, by level; four levels each. */
export const firstEntry = (level: number): bigint =>
  FIRST + 0x1000n * BigInt(4 - level) + (level === 1 ? 8n : 0n);
export const secondEntry = (level: number): bigint =>
  SECOND + 0x1000n * BigInt(4 - level) + (level === 1 ? 8n : 0n);

/** Page that the first stage maps; nested, the second stage maps it on. */
export const FIRST_PAGE = 0x1_2000n;
/** Page that the second stage maps {@link ADDRESS} to. */
export const SECOND_PAGE = 0x2345_6000n;
/** Page that the second stage maps {@link FIRST_PAGE} to. */
export const NESTED_PAGE = 0x3456_7000n;

/** Changes of single qwords, by address. */
export type Changes = readonly (readonly [bigint, bigint])[];

/**
 * A bench in scalable mode: requests of {@link DEVICE} without PASID and with {@link PASID} go to a
 * space as `entry` says. All flags of the first stage are set, those of the second are not.
 */
export function scalableBench(
  entry: readonly bigint[],
  options: BenchOptions = {},
  changes: Changes = [],
): Bench {
  const capabilities = { ...SCALABLE, ...options.capabilities };
  const bench = new Bench({ ...options, capabilities, ttm: 1 });
  bench.write(ROOT, LOWER | 1n, UPPER | 1n);
  bench.write(CONTEXT_AT, DIRECTORY | 0xdn, 0n, 0n, 0n); // DTE, PASIDE, PDTS 0
  bench.write(DIRECTORY, PASIDS | 1n);
  bench.write(PASIDS, ...entry);
  bench.write(PASID_AT, ...entry);
  for (const level of [4, 3, 2]) {
    bench.write(firstEntry(level), (firstEntry(level - 1) & ~0xfffn) | 0x27n);
    bench.write(secondEntry(level), (secondEntry(level - 1) & ~0xfffn) | 3n);
  }
  bench.write(firstEntry(1), FIRST_PAGE | 0x67n);
  const last = secondEntry(1) & ~0xfffn;
  // the second stage maps the tables of the first one to themselves
  for (let page = FIRST; page < SECOND; page += 0x1000n)
    bench.write(last + (page >> 9n), page | 3n);
  bench.write(last + (FIRST_PAGE >> 9n), NESTED_PAGE | 3n);
  bench.write(secondEntry(1), SECOND_PAGE | 3n);
  for (const [address, value] of changes) bench.write(address, value);
  return bench;
}

/** The second-stage entry of the last level for a page below 2 MiB. */
export const secondEntryOf = (page: bigint): bigint => (secondEntry(1) & ~0xfffn) + (page >> 9n);
