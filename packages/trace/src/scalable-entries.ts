import { NO_PASID } from "@viommu/plugin";
import { Offset } from "@viommu/vtd-spec";
import type { DmaEvent } from "./format.ts";
import type { ReplayContext } from "./replay-context.ts";
import { readRegister } from "./replay-unit.ts";

const P = 1n;
const ADDRESS = 0xf_ffff_ffff_f000n;

/** Where the entries of scalable mode lie that a request goes through, as far as they are known. */
export interface ScalableEntries {
  readonly contextEntry?: bigint;
  readonly directoryEntry?: bigint;
  readonly pasidEntry?: bigint;
}

/** Follows root table, context table, PASID directory and PASID table (VT-d 3.4.3, 9.2 to 9.6). */
export function scalableEntries(
  { sid, pasid }: DmaEvent,
  { unit, memory }: ReplayContext,
): ScalableEntries {
  const root = readRegister(unit, Offset.RTADDR, 8) & ADDRESS;
  const half = memory.peekQword(root + BigInt(((sid >> 8) << 4) + ((sid >> 7) & 1) * 8));
  if ((half & P) === 0n) return {};
  const contextEntry = (half & ADDRESS) + BigInt((sid & 0x7f) << 5);
  const directory = memory.peekQword(contextEntry);
  if ((directory & P) === 0n) return { contextEntry };
  const ridPasid = memory.peekQword(contextEntry + 8n) & 0xf_ffffn;
  const index = pasid === NO_PASID ? ridPasid : BigInt(pasid);
  const directoryEntry = (directory & ADDRESS) + ((index >> 6n) << 3n);
  const table = memory.peekQword(directoryEntry);
  if ((table & P) === 0n) return { contextEntry, directoryEntry };
  return { contextEntry, directoryEntry, pasidEntry: (table & ADDRESS) + ((index & 0x3fn) << 6n) };
}
