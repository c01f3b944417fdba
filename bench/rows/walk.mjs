import { randomPages } from "../lib/addresses.mjs";
import { walkerOf } from "../lib/engine.mjs";
import { guestWithDevices, IOVA, scalableGuest } from "../lib/kit.mjs";
import { eachBaseline, nestedLane } from "../lib/translation-lanes.mjs";

/**
 * The walk alone, from the top table to the page: our walker is called without its engine and told
 * not to use the paging-structure cache.
 */
export const rows = [
  walkRow("walk-4-levels", "walk, 4 levels", { pages: 512, levels: 4 }),
  walkRow("walk-5-levels", "walk, 5 levels", { pages: 512, levels: 5 }),
  walkRow("walk-65536", "walk, 4 levels, 65536 pages", { pages: 65_536, levels: 4 }),
  {
    id: "walk-nested",
    title: "walk, nested, 4 by 4 levels",
    packages: ["translation"],
    goals: [{ against: "ideal", atMost: 2.3 }],
    lanes: (kit) => {
      const list = randomPages(IOVA, 512);
      const setup = scalableGuest({ pages: 512, stage: "nested" });
      const lane = { ...walkerOf(kit, setup, IOVA), list };
      return {
        viommu: { run: (start, count) => walkWindow(lane, start, count) },
        ...nestedLane(kit, setup, list),
      };
    },
  },
];

function walkRow(id, title, shape) {
  return {
    id,
    title,
    packages: ["translation"],
    goals: [{ against: "ideal", atMost: 2.5 }],
    lanes: (kit) => {
      const list = randomPages(IOVA, shape.pages);
      const setup = guestWithDevices(shape);
      const lane = { ...walkerOf(kit, setup, IOVA), list };
      const { ideal } = eachBaseline(kit, setup, {}, (iotlb) => ({
        run: (start, count) => kit.native.walk(iotlb, 0, list.values, start, count),
      }));
      return {
        viommu: { run: (start, count) => walkWindow(lane, start, count) },
        ...(ideal && { ideal }),
      };
    },
  };
}

function walkWindow({ walker, space, walk, list }, start, count) {
  const { pairs, length } = list;
  let sum = 0;
  for (let i = start; i < start + count; i++) {
    const at = (i & (length - 1)) << 1;
    const failed = walker.walk(space, pairs[at], pairs[at | 1], 1, walk) !== 0;
    sum = (sum + (failed ? 1 << 31 : (walk.outHi << 18) | (walk.outLo >>> 12))) | 0;
  }
  return sum;
}
