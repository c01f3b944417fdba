import { randomPages } from "../lib/addresses.mjs";
import { createEngine } from "../lib/engine.mjs";
import { guestWithDevices, IOVA } from "../lib/kit.mjs";
import { baselineLanes } from "../lib/translation-lanes.mjs";

/** The hit of 512 pages through the number and bigint interfaces. */
export const rows = [
  convenienceRow("number", "hit, number in and out", numberWindow, 1),
  convenienceRow("bigint", "hit, bigint in and out", bigintWindow, 1.8),
];

function convenienceRow(id, title, window, atMost) {
  return {
    id,
    title,
    packages: ["translation"],
    goals: [{ against: "glib", atMost }],
    lanes: (kit) => {
      const list = randomPages(IOVA, 512);
      const setup = guestWithDevices({ pages: 512 });
      const { engine, request } = createEngine(kit, setup);
      const lane = { engine, list, sourceId: request.sourceId, access: request.access };
      return {
        viommu: { run: (start, count) => window(lane, start, count) },
        ...baselineLanes(kit, setup, { list }),
      };
    },
  };
}

function numberWindow(lane, start, count) {
  const { engine, sourceId, access } = lane;
  const { numbers, length } = lane.list;
  let sum = 0;
  for (let i = start; i < start + count; i++) {
    const address = engine.translateNumber(sourceId, numbers[i & (length - 1)], access);
    sum = (sum + Math.floor(address / 4096)) | 0;
  }
  return sum;
}

function bigintWindow(lane, start, count) {
  const { engine, sourceId, access } = lane;
  const { bigints, length } = lane.list;
  const used = new BigUint64Array(1); // storing is the cheapest use of a bigint
  const words = new Int32Array(used.buffer);
  let sum = 0;
  for (let i = start; i < start + count; i++) {
    used[0] = engine.translateBigint(sourceId, bigints[i & (length - 1)], access);
    sum = (sum + ((words[1] << 20) | (words[0] >>> 12))) | 0;
  }
  return sum;
}
