import { PAGE } from "./domain-pages.ts";
import type { SavedRegion } from "./domain-pages.ts";

/** Regions of a save: first page (low and high word) and number of pages of each. */
export function encodeRegions(regions: readonly SavedRegion[]): Int32Array {
  return Int32Array.from(
    regions.flatMap(({ base, size }) => [base / PAGE, base / PAGE / 2 ** 32, size / PAGE]),
  );
}

/** Regions as {@link encodeRegions} writes them, in words. */
export function regionsText(words: Int32Array): string {
  const texts: string[] = [];
  for (let i = 0; i + 2 < words.length; i += 3) {
    const base = ((words[i + 1]! >>> 0) * 2 ** 32 + (words[i]! >>> 0)) * PAGE;
    texts.push(`0x${base.toString(16)}+0x${((words[i + 2]! >>> 0) * PAGE).toString(16)}`);
  }
  return texts.join(", ");
}
