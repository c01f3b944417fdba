import { Exchange } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";
import { RETRY } from "./walk.ts";
import type { Walk } from "./walk.ts";

/**
 * Sets flags in the low word of the entry at a word index of a 1 GiB chunk, in one step with the check
 * that nothing has changed the word (VT-d 3.6.2, 3.7.2). Returns 0, RETRY if something has, or
 * `failed` where memory can't be written. A probe writes nothing.
 */
export function setEntryFlags(
  memory: GuestMemory,
  hi: number,
  word: number,
  low: number,
  flags: number,
  failed: number,
  walk: Walk,
): number {
  const lo = word << 2;
  // all that an exchange for another word can tell is whether memory can be written
  if (!walk.effects)
    return memory.exchangeWord(hi, lo, ~low, ~low) === Exchange.FAILED ? failed : 0;
  const result = memory.exchangeWord(hi, lo, low, low | flags);
  if (result === Exchange.DONE) return 0;
  return result === Exchange.DIFFERS ? RETRY : failed;
}
