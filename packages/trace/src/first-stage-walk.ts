import { Access, NO_PASID } from "@viommu/plugin";
import { Offset } from "@viommu/vtd-spec";
import type { DmaEvent } from "./format.ts";
import type { ReplayContext } from "./replay-context.ts";
import { readRegister } from "./replay-unit.ts";

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
  const entry = context.scalable ? pasidEntry(event, context) : undefined;
  if (entry === undefined) return [];
  const qword = (address: bigint): bigint => qwordAt(context, address);
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

/** Address of the PASID table entry of a request (VT-d 9.3 to 9.5). */
function pasidEntry({ sid, pasid }: DmaEvent, context: ReplayContext): bigint | undefined {
  const root = readRegister(context.unit, Offset.RTADDR, 8) & ADDRESS;
  const contextTable = qwordAt(context, root + BigInt(((sid >> 8) << 4) + ((sid >> 7) & 1) * 8));
  if ((contextTable & P) === 0n) return undefined;
  const contextEntry = (contextTable & ADDRESS) + BigInt((sid & 0x7f) << 5);
  const directory = qwordAt(context, contextEntry);
  if ((directory & P) === 0n) return undefined;
  const ridPasid = qwordAt(context, contextEntry + 8n) & 0xf_ffffn;
  const index = pasid === NO_PASID ? ridPasid : BigInt(pasid);
  const table = qwordAt(context, (directory & ADDRESS) + ((index >> 6n) << 3n));
  return (table & P) === 0n ? undefined : (table & ADDRESS) + ((index & 0x3fn) << 6n);
}

function qwordAt({ memory }: ReplayContext, address: bigint): bigint {
  return new DataView(memory.peek(address, 8).buffer).getBigUint64(0, true);
}
