import { randomPages } from "../lib/addresses.mjs";
import { createEngine } from "../lib/engine.mjs";
import { IOVA, scalableGuest } from "../lib/kit.mjs";
import { baselineLanes, missWindow, nestedLane } from "../lib/translation-lanes.mjs";
import { pasidWindow, translateWindow } from "../lib/translation-lanes.mjs";

const PAGES = 4096;
const HIT_PAGES = 512;
const PASIDS = 16;

/**
 * Misses in scalable mode: the look-up goes through a PASID table entry, and the walk through one
 * stage or both. Nested, C walks all 24 references each time and caches nothing; elsewhere it walks
 * the same tables as in legacy mode.
 */
export const rows = [
  scalableRow("scalable-second", "miss, scalable second-stage", "second", "852 ns", 4),
  scalableRow("scalable-first", "miss, first-stage", "first", "844 ns", 4),
  scalableRow("nested", "miss, nested, 4 by 4 levels", "nested", undefined, 2.3),
  hitRow("hit-first", "hit, first-stage", translateWindow, [{ against: "ideal", atMost: 4 }]),
  translatedRow(),
  // each request has another PASID than the one before
  hitRow("pasid-switch", `hit, ${PASIDS} PASIDs in turn`, pasidWindow(PASIDS), []),
];

function hitRow(id, title, window, goals) {
  return {
    id,
    title: `${title}, ${HIT_PAGES} pages`,
    packages: ["translation"],
    goals,
    lanes: (kit) => {
      const list = randomPages(IOVA, HIT_PAGES);
      const setup = scalableGuest({ pages: HIT_PAGES, stage: "first", pasids: PASIDS });
      const lane = { ...createEngine(kit, setup), list };
      return {
        viommu: { run: (start, count) => window(lane, start, count) },
        ...baselineLanes(kit, setup, { list }),
      };
    },
  };
}

/** Requests that a device-TLB has translated: only the host permission table is asked. */
function translatedRow() {
  return {
    id: "translated",
    title: `hit, translated requests with host permissions, ${HIT_PAGES} pages`,
    packages: ["translation"],
    goals: [],
    lanes: (kit) => {
      const list = randomPages(IOVA, HIT_PAGES);
      const setup = scalableGuest({ pages: HIT_PAGES, stage: "first" });
      setup.guest.permitTranslated(setup.rootTable, setup.devices[0], IOVA);
      const lane = { ...createEngine(kit, setup), list };
      lane.request.addressType = kit.packages.plugin.AddressType.TRANSLATED;
      if (!answers(lane)) return null;
      return { viommu: { run: (start, count) => translateWindow(lane, start, count) } };
    },
  };
}

function scalableRow(id, title, stage, peer, atMost) {
  return {
    id,
    title: `${title}, ${PAGES} pages`,
    peer,
    packages: ["translation"],
    goals: [{ against: "ideal", atMost }],
    lanes: (kit) => {
      const list = randomPages(IOVA, PAGES);
      const setup = scalableGuest({ pages: PAGES, stage });
      const lane = { ...createEngine(kit, setup), list };
      if (!answers(lane)) return null;
      return {
        viommu: { run: (start, count) => missWindow(lane, start, count) },
        ...(stage === "nested"
          ? nestedLane(kit, setup, list)
          : baselineLanes(kit, setup, { list, flush: true })),
      };
    },
  };
}

/** False when the engine does not know this kind of table. */
function answers({ engine, request, list }) {
  [request.hi, request.lo] = list.pairs;
  return engine.translate(request) === 0;
}
