import { DEVICES, PASS_THROUGH, PassthroughGuest } from "../lib/passthrough.mjs";
import { SECOND_STAGE, TARGETS } from "../lib/passthrough.mjs";

const PACKAGES = ["plugin", "memory", "vtd", "piommu"];
const [, OTHER] = DEVICES;
const MANY = 1_000_000;
/** Changes in a window; what a window changes is changed back, untimed, before the next. */
const BATCH = 32;
/** Pages of the shadow that is built. */
const BUILT = 65_536;

/**
 * A guest's change, from the store into its table to the status word of its wait descriptor: the
 * unit's queue, the shadow and the physical unit's caches are all in it. Each row is compared with
 * the same guest with one page mapped ("one page").
 */
export const rows = [
  row("piommu-map-1", "map and invalidate, 1 page in the shadow", [], (kit) => ({
    viommu: mapLane(kit, 1),
  })),
  againstOnePage("piommu-map-1000", "map and invalidate, 1,000 pages", 1000, mapLane),
  againstOnePage("piommu-map-1000000", "map and invalidate, 1,000,000 pages", MANY, mapLane),
  againstOnePage("piommu-map-scattered", "the same at 4,096 places all over", MANY, scatteredLane),
  againstOnePage("piommu-unmap-1000000", "unmap and invalidate, 1,000,000 pages", MANY, unmapLane),
  againstOnePage("piommu-balloon", "p2m: frame out and in, 1,000,000 pages", MANY, balloonLane),
  againstOnePage("piommu-switch", "GPA-HPA to shadow and back, 1,000,000 pages", MANY, switchLane),
  againstOnePage("piommu-assign", "device given and taken, 1,000,000 pages", MANY, assignLane),
  row("piommu-build", `shadow built by TE, per page of ${BUILT}`, [], (kit) => ({
    viommu: buildLane(kit),
  })),
];

function row(id, title, goals, lanes) {
  return { id, title, packages: PACKAGES, goals, lanes };
}

function againstOnePage(id, title, pages, lane) {
  return row(id, title, [{ against: "one page", atMost: 1.5 }], (kit) => ({
    viommu: lane(kit, pages),
    "one page": lane(kit, 1),
  }));
}

function mapLane(kit, pages, options) {
  const { change, guest } = spotsOf(kit, pages, options);
  return changeLane(
    (i) => change(i, true),
    (i) => change(i, false),
    guest,
  );
}

function scatteredLane(kit, pages) {
  return mapLane(kit, pages, pages === 1 ? {} : { spots: 4096, scattered: true });
}

function unmapLane(kit, pages) {
  const { change, count, guest } = spotsOf(kit, pages);
  for (let i = 0; i < count; i++) change(i, true);
  return changeLane(
    (i) => change(i, false),
    (i) => change(i, true),
    guest,
  );
}

/** Places to map and unmap one after the other. */
function spotsOf(kit, pages, options) {
  const guest = new PassthroughGuest(kit, { pages, spots: 256, ...options });
  const { spots } = guest;
  const { words } = guest.guest;
  const entries = spots.map((address) => guest.entryOf(address));
  const change = (i, isMapped) => {
    const at = i & (spots.length - 1);
    words[entries[at]] = isMapped ? (0x4000 + at) * 4096 + 3 : 0;
    return guest.invalidatePage(spots[at]);
  };
  return { change, count: spots.length, guest };
}

/** Windows of `make`; before each of them `undo` takes back the last. Sums the failures. */
function changeLane(make, undo, guest) {
  let last = -1;
  return {
    ops: BATCH,
    prepare: () => {
      for (let i = 0; last >= 0 && i < BATCH; i++) undo(last + i);
      last = -1;
    },
    run: (start, count) => {
      let failures = 0;
      for (let i = start; i < start + count; i++) if (!make(i)) failures += 1;
      last = start;
      return failures + Number(guest.driver.pending);
    },
  };
}

/** Frames in turn: out, then the same frame in again; two operations of the host. */
function balloonLane(kit, pages) {
  const { p2m } = new PassthroughGuest(kit, { pages: pages + 1 }); // one stays in any case
  const run = { mfn: 0, count: 0, rights: 0 };
  return {
    ops: BATCH,
    run: (start, count) => {
      let failures = 0;
      for (let i = start; i < start + count; i++) {
        const gfn = TARGETS + ((i * 977) % pages);
        p2m.lookup(gfn, run);
        if (!p2m.unmap(gfn, 1)) failures += 1;
        if (!p2m.map(gfn, run.mfn, 1, "ram")) failures += 1;
      }
      return failures;
    },
  };
}

/** One of two devices leaves the shadow, which stays, and comes back. */
function switchLane(kit, pages) {
  const guest = new PassthroughGuest(kit, { pages });
  return {
    ops: BATCH,
    run: (start, count) => {
      let failures = 0;
      for (let i = 0; i < count; i++) {
        if (!guest.setContext(OTHER, PASS_THROUGH)) failures += 1;
        if (!guest.setContext(OTHER, SECOND_STAGE)) failures += 1;
      }
      return failures;
    },
  };
}

/** One of two devices is taken from the guest and given to it: into the shadow at once. */
function assignLane(kit, pages) {
  const guest = new PassthroughGuest(kit, { pages });
  return {
    ops: BATCH,
    run: (start, count) => {
      for (let i = 0; i < count; i++) {
        guest.unassign(OTHER);
        guest.assign(OTHER);
      }
      return guest.driver.devices.length - DEVICES.length;
    },
  };
}

/** The guest switches translation on; the frames are given back before each window. */
function buildLane(kit) {
  const guest = new PassthroughGuest(kit, { pages: BUILT, translate: false });
  return {
    ops: BUILT,
    windows: 21,
    prepare: () => guest.translate(false),
    run: () => {
      guest.translate(true);
      return guest.driver.report().shadows - 1;
    },
  };
}

/** Frames of the shadow's tables, against a table made from scratch; by bench/shadow-memory.mjs. */
export const memory = [
  memoryRow("shadow-dense", "shadow tables: 1,000,000 pages"),
  memoryRow("shadow-churn", "shadow tables: after 532,480 changes at random"),
  memoryRow("shadow-large", "shadow tables: 4 GiB in 2 MiB pages, 1,000 frames out and in"),
];

function memoryRow(id, title) {
  const goals = [{ against: "minimum", atMost: 1.1 }];
  return { id, title, unit: "frames", packages: PACKAGES, goals };
}
