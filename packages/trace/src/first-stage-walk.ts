import { Access } from "@viommu/plugin";
import type { DmaEvent } from "./format.ts";
import type { ReplayContext } from "./replay-context.ts";
import { scalableEntries } from "./scalable-entries.ts";

/** Accessed and dirty, in the lowest byte of a first-stage entry (VT-d 9.7). */
export const FLAG_A: number = 1 << 5;
export const FLAG_D: number = 1 << 6;

const P = 1n;
const PS = 1n << 7n;
const ADDRESS = 0xf_ffff_ffff_f000n;
const FIRST_STAGE = 1n;

/** The lowest byte of an entry on the way of a request, and the flags that the request sets there. */
export interface EntryOnTheWay {
  readonly address: bigint;
  readonly before: number;
  readonly flags: number;
}

/**
 * First-stage entries that a request of scalable mode goes through, as far as the replay's memory
 * has them; none for a request of another kind (VT-d 3.4.3, 3.6).
 */
export function firstStageWay(event: DmaEvent, context: ReplayContext): EntryOnTheWay[] {
  const entry = context.scalable ? scalableEntries(event, context).pasidEntry : undefined;
  if (entry === undefined) return [];
  const qword = (address: bigint): bigint => context.memory.peekQword(address);
  if (((qword(entry) >> 6n) & 7n) !== FIRST_STAGE) return [];
  const paging = qword(entry + 16n);
  const way: EntryOnTheWay[] = [];
  let table = paging & ADDRESS;
  for (let level = (paging & 4n) === 0n ? 4n : 5n; level > 0n; level -= 1n) {
    const address = table + (((event.iova >> (9n * level + 3n)) & 0x1ffn) << 3n);
    const value = qword(address);
    if ((value & P) === 0n) break;
    const isPage = level === 1n || (level < 4n && (value & PS) !== 0n);
    const isWritten = isPage && (event.access & Access.WRITE) !== 0;
    const before = Number(value & 0xffn);
    way.push({ address, before, flags: isWritten ? FLAG_A | FLAG_D : FLAG_A });
    if (isPage) break;
    table = value & ADDRESS;
  }
  return way;
}

/** Does something while the flags are set that a request would set. */
export function withFlags<T>(
  way: readonly EntryOnTheWay[],
  context: ReplayContext,
  action: () => T,
): T {
  return way.reduce<() => T>(
    (inner, { address, before, flags }) =>
      () =>
        context.memory.lend(address, Uint8Array.of(before | flags), inner),
    action,
  )();
}
