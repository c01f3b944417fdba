import type { ChunkedMemory } from "@viommu/memory";

const PRESENT_WRITABLE_USER = 0x7n;

/**
 * Four-level first-stage tables of 4 KiB pages (VT-d 9.7), as a guest writes them, for pages below
 * 1 GiB: root at `table`, others behind it. Guest frames are host frames here. Returns the root.
 */
export function buildFirstStage(
  memory: ChunkedMemory,
  table: number,
  pages: readonly (readonly [page: number, frame: number, flags?: bigint])[],
): number {
  const at = (frame: number, index: number): number => frame * 4096 + index * 8;
  memory.fill(table * 4096, 3 * 4096, 0);
  for (const level of [0, 1]) {
    memory.write64(
      at(table + level, 0),
      (BigInt(table + level + 1) << 12n) | PRESENT_WRITABLE_USER,
    );
  }
  let next = table + 3;
  const lasts = new Map<number, number>();
  for (const [page, frame, flags = PRESENT_WRITABLE_USER] of pages) {
    const region = page >>> 9;
    let last = lasts.get(region);
    if (last === undefined) {
      last = next;
      next += 1;
      lasts.set(region, last);
      memory.fill(last * 4096, 4096, 0);
      memory.write64(at(table + 2, region), (BigInt(last) << 12n) | PRESENT_WRITABLE_USER);
    }
    memory.write64(at(last, page & 0x1ff), (BigInt(frame) << 12n) | flags);
  }
  return table;
}
