import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { Guest } from "./guest-tables.mjs";
import { shuffled } from "./stats.mjs";

/** Where the mapped I/O addresses begin: below 4 GiB, as guests allocate them, in no special range. */
export const IOVA = 0x8000_0000;
/** Where the pages lie that they are mapped to; translation never touches them. */
const TARGET = 0x1_0000_0000;
const GUEST_BYTES = 64 * 2 ** 20;

const PACKAGES = ["plugin", "memory", "vtd-spec", "translation", "interrupt-remapping", "vtd"];

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
