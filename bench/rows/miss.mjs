import { randomPages } from "../lib/addresses.mjs";
import { IOVA } from "../lib/kit.mjs";
import { translationLanes } from "../lib/translation-lanes.mjs";

/** A miss: look-up, walk, fill. The IOTLB is emptied once a round, so that every access misses. */
export const rows = [
  {
    id: "miss-4096",
    title: "miss, 4 levels, 4096 pages",
    goals: [
      { against: "glib", atMost: 0.25 },
      { against: "ideal", atMost: 4 },
    ],
    peer: "369 ns",
    lanes: (kit) =>
      translationLanes(kit, { pages: 4096, list: randomPages(IOVA, 4096), flush: true }),
  },
  {
    id: "miss-5-levels",
    title: "miss, 5 levels, 4096 pages",
    goals: [{ against: "ideal", atMost: 4 }],
    lanes: (kit) =>
      translationLanes(kit, { pages: 4096, levels: 5, list: randomPages(IOVA, 4096), flush: true }),
  },
  {
    id: "miss-2m",
    title: "miss, 512 pages of 2 MiB",
    goals: [{ against: "ideal", atMost: 4 }],
    peer: "386 ns",
    lanes: (kit) =>
      translationLanes(kit, {
        pages: 512,
        pageShift: 21,
        list: randomPages(IOVA, 512, { pageShift: 21 }),
        flush: true,
      }),
  },
].map((row) => ({ ...row, packages: ["translation"] }));
