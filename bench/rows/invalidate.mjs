import { randomPages } from "../lib/addresses.mjs";
import { createEngine } from "../lib/engine.mjs";
import { guestWithDevices, IOVA } from "../lib/kit.mjs";
import { eachBaseline, translateWindow } from "../lib/translation-lanes.mjs";

const DOMAINS = 256;
/** Room for 65536 entries on both sides. */
const SLOTS = 131_072;

/** The engine's invalidation calls. Each window begins with the entries in place again. */
export const rows = [
  pageRow(),
  domainRow("domain-512", 512, [{ atMost: 50 }, { against: "glib", atMost: 0.1 }], { ops: 64 }),
  domainRow("domain-65536", 65_536, [{ atMost: 50 }, { row: "domain-512", atMost: 2 }], {
    ops: 4,
    windows: 9,
  }),
  globalRow("global-512", 512, [{ atMost: 50 }], { windows: 101 }),
  globalRow("global-65536", 65_536, [{ atMost: 50 }], { windows: 9 }),
];

function pageRow() {
  const list = randomPages(IOVA, 512);
  return row("page-512", "page invalidation, 512 entries", [{ atMost: 30 }], (kit) =>
    lanes(
      kit,
      { pages: 512, list },
      {
        viommu: (engine) => ({
          ops: 512,
          run: (start, count) => pageWindow(engine, list, start, count),
        }),
        ideal: (iotlb) => ({ ops: 512, run: pagesInC(kit, iotlb, list) }),
        glib: (iotlb) => ({ ops: 64, run: pagesInC(kit, iotlb, list) }),
      },
    ),
  );
}

function pagesInC({ native }, iotlb, list) {
  return (start, count) => native.invalidatePages(iotlb, 0, list.values, start, count);
}

/** All domains hold entries; each window invalidates domains that still have theirs. */
function domainRow(id, entries, goals, glib) {
  const list = randomPages(IOVA, entries / DOMAINS);
  return row(id, `domain invalidation, ${entries} entries in ${DOMAINS} domains`, goals, (kit) =>
    lanes(
      kit,
      { pages: list.length, devices: DOMAINS, list },
      {
        viommu: (engine) => ({
          ops: DOMAINS,
          run: (start, count) => domainWindow(engine, start, count),
        }),
        ideal: (iotlb) => ({ ops: DOMAINS, run: domainsInC(kit, iotlb) }),
        glib: (iotlb) => ({ ...glib, run: domainsInC(kit, iotlb) }),
      },
    ),
  );
}

function domainsInC({ native }, iotlb) {
  return (start, count) => native.invalidateDomains(iotlb, start, count);
}

/** 32 in a row, of which the first finds the entries; in glib, where the size counts, only that one. */
function globalRow(id, entries, goals, glib) {
  const list = randomPages(IOVA, entries);
  return row(id, `global invalidation, ${entries} entries`, goals, (kit) =>
    lanes(
      kit,
      { pages: entries, list },
      {
        viommu: (engine) => ({ ops: 32, run: (start, count) => globalWindow(engine, count) }),
        ideal: (iotlb) => ({
          ops: 32,
          run: (start, count) => kit.native.invalidateGlobal(iotlb, count),
        }),
        glib: (iotlb) => ({
          ops: 1,
          ...glib,
          run: (start, count) => kit.native.invalidateGlobal(iotlb, count),
        }),
      },
    ),
  );
}

function row(id, title, goals, lanesOf) {
  return { id, title, goals, packages: ["translation"], lanes: lanesOf };
}

/** The three sides, each filled with `list` for every device before each window. */
function lanes(kit, { list, ...shape }, make) {
  const setup = guestWithDevices(shape);
  const filled = { ...createEngine(kit, setup, { iotlbSlots: SLOTS }), list };
  const fill = () => {
    for (const { sourceId } of setup.devices) {
      filled.request.sourceId = sourceId;
      translateWindow(filled, 0, list.length, false);
    }
  };
  const fillInC = (iotlb) => () => {
    for (let device = 0; device < setup.devices.length; device++)
      kit.native.translate(iotlb, device, list.values, 0, list.length, 0);
  };
  return {
    viommu: { prepare: fill, ...make.viommu(filled.engine) },
    ...eachBaseline(kit, setup, { cap: 0, slots: SLOTS }, (iotlb, side) => ({
      prepare: fillInC(iotlb),
      ...make[side](iotlb),
    })),
  };
}

function pageWindow(engine, { pairs, length }, start, count) {
  for (let i = start; i < start + count; i++) {
    const at = i & (length - 1);
    engine.invalidateIotlbPages(1, pairs[2 * at], pairs[2 * at + 1] & ~0xfff, 0, false);
  }
  return 0;
}

function domainWindow(engine, start, count) {
  for (let i = start; i < start + count; i++) engine.invalidateIotlbDomain(1 + (i % DOMAINS));
  return 0;
}

function globalWindow(engine, count) {
  for (let i = 0; i < count; i++) engine.invalidateIotlbGlobal();
  return 0;
}
