import { randomPages, streamInPage } from "../lib/addresses.mjs";
import { IOVA } from "../lib/kit.mjs";
import { translationLanes } from "../lib/translation-lanes.mjs";

const AGAINST_GLIB = { against: "glib", atMost: 0.5 };
const AGAINST_IDEAL = { against: "ideal", atMost: 4 };

/** The IOTLB hit, and what is left of it with more live pages than slots. */
export const rows = [
  {
    id: "hit-1",
    title: "hit, 1 page",
    goals: [AGAINST_GLIB],
    peer: "46.3 ns",
    lanes: (kit) => translationLanes(kit, { pages: 1, list: randomPages(IOVA, 1, { rounds: 64 }) }),
  },
  {
    id: "hit-stream",
    title: "hit, stream inside one page",
    goals: [{ against: "glib", atMost: 0.3 }],
    peer: "46.3 ns",
    lanes: (kit) => translationLanes(kit, { pages: 1, list: streamInPage(IOVA, 64) }),
  },
  {
    id: "hit-512",
    title: "hit, 512 pages",
    goals: [AGAINST_GLIB, AGAINST_IDEAL],
    peer: "50.4 ns",
    lanes: (kit) => translationLanes(kit, { pages: 512, list: randomPages(IOVA, 512) }),
  },
  {
    id: "live-4096",
    title: "4096 live pages",
    goals: [{ against: "glib", atMost: 0.1 }, AGAINST_IDEAL],
    peer: "369 ns",
    lanes: (kit) => translationLanes(kit, { pages: 4096, list: randomPages(IOVA, 4096) }),
  },
  {
    id: "live-65536",
    title: "65536 live pages",
    goals: [{ against: "glib", atMost: 0.15 }, AGAINST_IDEAL],
    peer: "600 ns",
    // all sides have room for them, but the hash table with its cap
    lanes: (kit) =>
      translationLanes(kit, { pages: 65536, list: randomPages(IOVA, 65536), slots: 65_536 }),
  },
  {
    id: "hit-2m",
    title: "hit, 512 pages of 2 MiB",
    goals: [{ against: "glib", atMost: 0.3 }, AGAINST_IDEAL],
    peer: "53.8 ns",
    lanes: (kit) =>
      translationLanes(kit, {
        pages: 512,
        pageShift: 21,
        list: randomPages(IOVA, 512, { pageShift: 21, rounds: 128 }),
      }),
  },
].map((row) => ({ ...row, packages: ["translation"] }));
