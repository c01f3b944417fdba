import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { Guest } from "./guest-tables.mjs";
import { shuffled } from "./stats.mjs";

/** Where the mapped I/O addresses begin: below 4 GiB, as guests allocate them, in no special range. */
export const IOVA = 0x8000_0000;
/** Where the pages lie that they are mapped to; translation never touches them. */
const TARGET = 0x1_0000_0000;
const GUEST_BYTES = 64 * 2 ** 20;

const PACKAGES = [
  "plugin",
  "memory",
  "vtd-spec",
  "translation",
  "interrupt-remapping",
  "vtd",
  "irq-hooks",
  "acpi",
  "piommu",
  "xen",
];

/** The built packages by name; a package that is not built is left out. */
export async function loadPackages() {
  const packages = {};
  for (const name of PACKAGES) {
    const entry = new URL(`../../packages/${name}/dist/index.js`, import.meta.url);
    if (existsSync(entry)) packages[name] = await import(entry.href);
  }
  return packages;
}

/** The compiled baseline, or null. */
export function loadBaseline(file) {
  return file === null ? null : createRequire(import.meta.url)(file);
}

/**
 * A guest with `devices` devices (source-id 8 i, domain i + 1), each of which sees the same `pages`
 * pages of 2^pageShift bytes from IOVA on, scattered over physical memory, through `levels` levels.
 */
export function guestWithDevices({ pages, pageShift = 12, levels = 4, devices = 1 }) {
  const guest = new Guest(GUEST_BYTES);
  const root = guest.allocate();
  const size = 2 ** pageShift;
  shuffled(pages, 11).forEach((frame, page) => {
    guest.map(root, levels, IOVA + page * size, TARGET + frame * size, { pageShift });
  });
  const list = Array.from({ length: devices }, (_, i) => ({
    sourceId: 8 * i,
    domainId: i + 1,
    root,
    levels,
  }));
  return { guest, devices: list, levels, rootTable: guest.legacyRootTable(list) };
}

/** First-stage bits: present, writable, user, accessed; in a leaf dirty too, so that none is set later. */
const FIRST_STAGE = { tableBits: 0x27, leafBits: 0x67 };
const PGTT = { first: 1, second: 2, nested: 3 };

/**
 * The same for one device in scalable mode, through tables of four levels: of the `first` stage, of
 * the `second`, or `nested`. Nested, the first stage gives pages in a row, and the second scatters
 * them; it maps the first stage's tables where they are. Requests with PASIDs 1 to `pasids` see the same.
 */
export function scalableGuest({ pages, stage, pasids = 0 }) {
  const guest = new Guest(GUEST_BYTES);
  const frames = shuffled(pages, 11);
  const pageAt = (base, page) => base + page * 4096;
  let firstStage = 0;
  let secondStage = 0;
  if (stage !== "second") {
    firstStage = guest.allocate();
    for (let page = 0; page < pages; page++) {
      const target = pageAt(TARGET, stage === "nested" ? page : frames[page]);
      guest.map(firstStage, 4, pageAt(IOVA, page), target, FIRST_STAGE);
    }
  }
  if (stage !== "first") {
    const end = guest.end;
    secondStage = guest.allocate();
    for (let table = 0; table < end; table += 4096) guest.map(secondStage, 4, table, table);
    const input = stage === "nested" ? TARGET : IOVA;
    frames.forEach((frame, page) => {
      guest.map(secondStage, 4, pageAt(input, page), pageAt(TARGET, frame));
    });
  }
  const device = { sourceId: 0, domainId: 1, pgtt: PGTT[stage], firstStage, secondStage, pasids };
  return {
    guest,
    devices: [{ ...device, root: stage === "first" ? firstStage : secondStage }],
    levels: 4,
    rootTable: guest.scalableRootTable(device),
    scalable: true,
  };
}
