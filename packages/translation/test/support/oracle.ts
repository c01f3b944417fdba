import { FaultReason } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import type { Answer, Ask } from "./machine.ts";

/*
 * A slow model of a remapping unit without any cache, after the text of VT-d 3, 4.2, 7.1.3 and 9,
 * with whole 64-bit entries. It shares nothing with the engine but the numbers of the reasons.
 */

/** What a unit sees and how it is set. */
export interface World {
  readonly capabilities: Capabilities;
  readonly hostAddressWidth: number;
  readonly majorVersion: number;
  enabled: boolean;
  root: bigint;
  ttm: number;
  ssirwe: boolean;
  /** First and last byte. */
  protectedRanges: [bigint, bigint][];
  /** A 64-bit entry; null where there is no memory. */
  read(address: bigint): bigint | null;
  /** Replaces the low half; false where it can't be written. */
  write(address: bigint, value: bigint): boolean;
}

/** A request that is blocked; FPD is known by then. */
export class Blocked extends Error {
  readonly reason: number;
  readonly qualified: boolean;

  constructor(reason: number, qualified = true) {
    super(`blocked, ${reason.toString(16)}h`);
    this.reason = reason;
    this.qualified = qualified;
  }
}

/** What a translation found: an output address, good for 2^shift bytes, with rights. */
export interface Page {
  readonly out: bigint;
  readonly shift: bigint;
  readonly read: boolean;
  readonly write: boolean;
  readonly snoop?: boolean;
  readonly bypass?: boolean;
}

/** One request on its way: the tables set `fpd` as they go. */
export interface Passage {
  readonly world: World;
  readonly ask: Required<Ask>;
  fpd: boolean;
}

export type Mode = (passage: Passage) => Page;

export const bit = (value: bigint, index: number): boolean =>
  ((value >> BigInt(index)) & 1n) === 1n;
export const field = (value: bigint, high: number, low: number): bigint =>
  (value >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);
/** Bits high:low as ones. */
export const ones = (high: number, low: number): bigint =>
  high < low ? 0n : ((1n << BigInt(high - low + 1)) - 1n) << BigInt(low);

/** Reads an entry of up to eight qwords as one number; null where part of it is no memory. */
export function readEntry({ world }: Passage, address: bigint, qwords: number): bigint | null {
  let value = 0n;
  for (let i = 0; i < qwords; i += 1) {
    const qword = world.read(address + 8n * BigInt(i));
    if (qword === null) return null;
    value |= qword << BigInt(64 * i);
  }
  return value;
}

export const inInterruptRange = (address: bigint): boolean => address >> 20n === 0xfeen;

const touchesInterruptRange = (address: bigint, shift: bigint): boolean =>
  (address >> shift) << shift < 0xfef0_0000n && ((address >> shift) + 1n) << shift > 0xfee0_0000n;

const touchesProtected = (world: World, address: bigint, shift: bigint): boolean => {
  const first = (address >> shift) << shift;
  const last = first + (1n << shift) - 1n;
  return world.protectedRanges.some(([base, limit]) => base <= last && first <= limit);
};

const READ = 1;
const WRITE = 2;
const SNOOP = 16;
const BYPASS = 32;

/** Conditions that a translation request answers with success and no rights (VT-d 7.1.3). */
const SOFT = new Set<number>([
  0x04, 0x05, 0x06, 0x51, 0x59, 0x5c, 0x5d, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x79,
  0x80, 0x81, 0x83, 0x84, 0x85, 0x86, 0x90, 0x91,
]);
const NO_RIGHTS: Answer = { result: 0, out: 0n, pageShift: 12, granted: 0 };

/** What the unit answers. `modes` translate while remapping is on, by TTM. */
export function oracle(world: World, given: Ask, modes: Partial<Record<number, Mode>>): Answer {
  const ask = { sourceId: 0x10, pasid: -1, addressType: 0, access: 1, ...given };
  const passage: Passage = { world, ask, fpd: false };
  const { address, addressType } = ask;
  if (!world.enabled) {
    if (addressType !== 0) return { result: -1 };
    return finish(passage, { out: address, shift: 30n, read: true, write: true, bypass: true });
  }
  if (addressType > 2) return { result: -1 };
  const toInterrupts = ask.pasid < 0 && inInterruptRange(address);
  const nw = world.capabilities.NWFS === 1 && (ask.access & WRITE) === 0;
  try {
    if (toInterrupts && addressType === 0) {
      if ((ask.access & 3) !== 0) throw new Blocked(FaultReason.IR_MALFORMED, false);
      return { result: 0, out: address, pageShift: 12, granted: BYPASS };
    }
    const mode = modes[world.ttm];
    if (mode === undefined) throw new Blocked(FaultReason.TTM_INVALID, false);
    const page = mode(passage);
    if (addressType === 1 && toInterrupts) {
      return { ...NO_RIGHTS, granted: nw ? 0 : WRITE | BYPASS };
    }
    const answer = finish(passage, page);
    if (addressType !== 1 || !nw) return answer;
    return { ...answer, granted: answer.granted! & ~WRITE };
  } catch (error) {
    if (!(error instanceof Blocked)) throw error;
    if (addressType === 1 && SOFT.has(error.reason)) return NO_RIGHTS;
    return { result: error.reason, suppressed: error.qualified && passage.fpd };
  }
}

/** Protected memory, and the size for which the answer holds. */
function finish({ world, ask }: Passage, page: Page): Answer {
  const { out } = page;
  if (ask.addressType !== 1 && touchesProtected(world, out, 12n)) return { result: -1 };
  const mixed =
    touchesInterruptRange(ask.address, page.shift) ||
    touchesInterruptRange(out, page.shift) ||
    touchesProtected(world, out, page.shift);
  return {
    result: 0,
    out,
    pageShift: mixed ? 12 : Number(page.shift),
    granted:
      (page.read ? READ : 0) |
      (page.write ? WRITE : 0) |
      (page.snoop === true ? SNOOP : 0) |
      (page.bypass === true ? BYPASS : 0),
  };
}

/** Whether a read, write or zero-length read gets what it needs; null for a translation request. */
export function missingRight(
  { world, ask }: Passage,
  read: boolean,
  write: boolean,
): "read" | "write" | null {
  if (ask.addressType === 1) return read || write ? null : "read";
  const access = ask.access & 3;
  if (access === 0) {
    if (world.capabilities.ZLR === 1 && write) return null;
    return read ? null : "read";
  }
  if ((access & WRITE) !== 0 && !write) return "write";
  return (access & READ) !== 0 && !read ? "read" : null;
}
