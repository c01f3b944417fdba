import { randomPages } from "../lib/addresses.mjs";
import { createEngine } from "../lib/engine.mjs";
import { guestWithDevices, IOVA } from "../lib/kit.mjs";
import { eachBaseline, translateWindow } from "../lib/translation-lanes.mjs";

/**
 * The walk. Ours is a complete translation by an engine whose IOTLB has a single slot, so look-up,
 * context and fill are in it; C is the bare loop over the levels.
 */
export const rows = [
  walkRow("walk-4-levels", "walk, 4 levels", { pages: 512, levels: 4 }),
  walkRow("walk-5-levels", "walk, 5 levels", { pages: 512, levels: 5 }),
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
      const lane = { ...createEngine(kit, setup, { iotlbSlots: 1 }), list };
      const { ideal } = eachBaseline(kit, setup, {}, (iotlb) => ({
        run: (start, count) => kit.native.walk(iotlb, 0, list.values, start, count),
      }));
      return {
        viommu: { run: (start, count) => translateWindow(lane, start, count, false) },
        ...(ideal && { ideal }),
      };
    },
  };
}
