// Counts the table frames of shadows, and those that a table made from scratch would have.
import { IOVA, loadPackages } from "./lib/kit.mjs";
import { PassthroughGuest, TARGETS } from "./lib/passthrough.mjs";
import { shuffled } from "./lib/stats.mjs";

const LEVELS = 4;
const PAGE = 12;
const LARGE = 21;

const packages = await loadPackages();
const results =
  packages.piommu === undefined
    ? {}
    : { "shadow-dense": dense(), "shadow-churn": churn(), "shadow-large": large() };
process.stdout.write(JSON.stringify(results));

function dense() {
  const guest = new PassthroughGuest({ packages }, { pages: 1_000_000 });
  return framesOf(guest, guest.mapped, PAGE);
}

/** Pages come and go at random over 8 GiB; what is left is mapped thinly in some places. */
function churn() {
  const guest = new PassthroughGuest({ packages }, { pages: 0 });
  const places = shuffled(2 ** 21, 3).map((place) => IOVA + 4096 * place);
  const [first, later] = [places.slice(0, 2 ** 18), places.slice(2 ** 18, 2 ** 18 + 2 ** 13)];
  for (const address of first) change(guest, address, true);
  for (const address of first) change(guest, address, false);
  const left = later.map((address) => IOVA + ((address - IOVA) % 2 ** 28));
  for (const address of left) change(guest, address, true);
  return framesOf(guest, left, PAGE);
}

/** Large pages on both sides; the host takes single frames out of some, and puts them in again. */
function large() {
  const guest = new PassthroughGuest({ packages }, { pages: 0 });
  const { p2m } = guest;
  const addresses = Array.from({ length: 2048 }, (_, i) => IOVA + i * 2 ** LARGE);
  addresses.forEach((address, i) => {
    guest.map(address, TARGETS + 512 * i, { pageShift: LARGE });
  });
  guest.invalidateDomain();
  const run = { mfn: 0, count: 0, rights: 0 };
  for (let i = 0; i < 1000; i++) {
    const gfn = TARGETS + 1021 * i;
    p2m.lookup(gfn, run);
    p2m.unmap(gfn, 1);
    p2m.map(gfn, run.mfn, 1, "ram");
  }
  return framesOf(guest, addresses, LARGE);
}

function change(guest, address, isMapped) {
  guest.map(address, isMapped ? TARGETS : 0, { leafBits: isMapped ? 3 : 0 });
  guest.invalidatePage(address);
}

/** Frames in use for the shadow: those that come back when it goes. */
function framesOf(guest, addresses, shift) {
  const before = guest.frames.used;
  guest.translate(false);
  return { viommu: before - guest.frames.used, minimum: minimum(addresses, shift) };
}

/** One table for each part of the input, of each level above the pages, that has a page in it. */
function minimum(addresses, shift) {
  let tables = 0;
  for (let level = (shift - PAGE) / 9 + 1; level <= LEVELS; level++) {
    const size = 2 ** (PAGE + 9 * level);
    tables += new Set(addresses.map((address) => Math.floor(address / size))).size;
  }
  return tables;
}
