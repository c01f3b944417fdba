import { randomPages } from "../lib/addresses.mjs";
import { createEngine } from "../lib/engine.mjs";
import { guestWithDevices, IOVA } from "../lib/kit.mjs";
import { eachBaseline, translateWindow } from "../lib/translation-lanes.mjs";

const DOMAINS = 256;
/** As large as the caches of a processor. */
const SWEEP = new Int32Array(2 ** 23);
const SWEPT_WINDOWS = 51;
/** Room for 65536 entries on both sides. */
const SLOTS = 131_072;

/** The engine's invalidation calls. Each window begins with the entries in place again. */
export const rows = [
  pageRow(),
  domainRow("domain-512", 512, { goals: [{ atMost: 50 }, { against: "glib", atMost: 0.1 }] }),
  domainRow("domain-512-cold", 512, { sweep: true }),
  domainRow("domain-65536", 65_536, {
    sweep: true,
    goals: [{ row: "domain-512-cold", atMost: 2 }],
    glib: { ops: 4, windows: 9 },
  }),
  globalRow("global-512", 512, { goals: [{ atMost: 50 }] }),
  globalRow("global-512-cold", 512, { sweep: true }),
  globalRow("global-65536", 65_536, {
    sweep: true,
    goals: [{ row: "global-512-cold", atMost: 2 }],
    glib: { windows: 9 },
  }),
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
function domainRow(id, entries, { goals = [], sweep = false, glib = { ops: 64 } }) {
  const list = randomPages(IOVA, entries / DOMAINS);
  const title = `domain invalidation, ${entries} entries in ${DOMAINS} domains`;
  return row(id, sweep ? `${title}, cold` : title, goals, (kit) =>
    lanes(
      kit,
      { pages: list.length, devices: DOMAINS, list, sweep },
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
function globalRow(id, entries, { goals = [], sweep = false, glib = { windows: 101 } }) {
  const list = randomPages(IOVA, entries);
  const title = `global invalidation, ${entries} entries`;
  return row(id, sweep ? `${title}, cold` : title, goals, (kit) =>
    lanes(
      kit,
      { pages: entries, list, sweep },
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

/**
 * The three sides, each filled with `list` for every device before each window. A `sweep` then
 * pushes everything out of the processor's caches, as 65536 entries do by themselves: rows that
 * are swept differ by the number of entries only.
 */
function lanes(kit, { list, sweep, ...shape }, make) {
  const windows = sweep ? { windows: SWEPT_WINDOWS } : {};
  const setup = guestWithDevices(shape);
  const filled = { ...createEngine(kit, setup, { iotlbSlots: SLOTS }), list };
  const fill = () => {
    for (const { sourceId } of setup.devices) {
      filled.request.sourceId = sourceId;
      translateWindow(filled, 0, list.length);
    }
    if (sweep) SWEEP.fill(1);
  };
  const fillInC = (iotlb) => () => {
    for (let device = 0; device < setup.devices.length; device++)
      kit.native.translate(iotlb, device, list.values, 0, list.length, 0);
    if (sweep) SWEEP.fill(1);
  };
  return {
    viommu: { prepare: fill, ...windows, ...make.viommu(filled.engine) },
    ...eachBaseline(kit, setup, { cap: 0, slots: SLOTS }, (iotlb, side) => ({
      prepare: fillInC(iotlb),
      ...windows,
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
