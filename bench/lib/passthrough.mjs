import { createGuestMemory } from "./engine.mjs";
import { Guest } from "./guest-tables.mjs";
import { IOVA } from "./kit.mjs";
import { GCMD, IQA, IQT, QIE, RTADDR, SRTP, TE } from "./registers.mjs";
import { shuffled } from "./stats.mjs";

const QUEUE_BYTES = 4096;
const GUEST_BYTES = 32 * 2 ** 20;
/** Frames for the host's tables: as many as two million pages of 4 KiB need. */
const HOST_FRAMES = 8192;
/** The guest's frames: 16 GiB that no table lies in, from 32 GiB of the host on. */
const GUEST_FRAMES = 2 ** 22;
const FIRST_MFN = 2 ** 23;
/** Guest frames that pages are mapped to: from 4 GiB on. */
export const TARGETS = 2 ** 20;

/** Translation types of a context entry (VT-d 9.3). */
export const SECOND_STAGE = 0;
export const PASS_THROUGH = 2;

/** Source-ids: on the host 100h more. Both are in domain 1. */
export const DEVICES = [0x10, 0x18];
const DOMAIN_ID = 1;

/**
 * A guest with two passed-through devices behind a unit with caching mode, and the host below it with
 * a physical unit. `pages` pages from IOVA on are mapped for both devices, scattered over the guest's
 * memory. Among them `spots` places are left for what is measured: side by side, as a driver's ring
 * is, or `scattered` over all tables.
 */
export class PassthroughGuest {
  #tail = 0;
  #done = 0;

  constructor({ packages }, { pages, spots = 0, scattered = false, translate = true }) {
    const { memory, piommu, plugin, vtd } = packages;
    this.guest = new Guest(GUEST_BYTES);
    const host = memory.createMemory({ regions: [{ base: 0, size: 4096 * (HOST_FRAMES + 1) }] });
    const profile = { hostAddressWidth: 46, addressWidths: [39, 48] };
    const sink = { deliver: () => undefined };
    const hooks = plugin.createHookTable();
    this.frames = new piommu.FrameAllocator({ memory: host, firstFrame: 1, frames: HOST_FRAMES });
    this.physical = piommu.createPhysicalUnit({
      name: "host",
      memory: host,
      frames: this.frames,
      ...vtd.createProfile(profile),
      sink,
    });
    const guestMemory = createGuestMemory(memory, this.guest);
    this.unit = vtd.createUnit({
      name: "bench",
      base: 0xfed9_0000,
      profile: vtd.createProfile({ ...profile, cachingMode: true, passThrough: true }),
      memory: guestMemory,
      sink,
      hooks,
    });
    this.p2m = new piommu.P2m();
    this.p2m.map(0, FIRST_MFN, GUEST_FRAMES, "ram");
    this.driver = piommu.createGuestIommu({
      name: "bench",
      physical: this.physical,
      memory: guestMemory,
      p2m: this.p2m,
      units: [this.unit],
      inlineBudget: Infinity,
    });
    hooks.invalidate = this.driver.hooks.invalidate;
    hooks.modeChange = this.driver.hooks.modeChange;
    for (const sourceId of DEVICES) this.assign(sourceId);

    this.root = this.guest.allocate();
    this.queue = this.guest.allocate();
    this.status = this.guest.allocate();
    const places = shuffled(pages + spots, 5);
    const first = pages >> 1;
    const isSpot = (place, turn) =>
      scattered ? turn < spots : place >= first && place < first + spots;
    const addressesOf = (list) => list.map((place) => IOVA + 4096 * place);
    this.spots = addressesOf(places.filter(isSpot));
    if (!scattered) this.spots.sort((a, b) => a - b);
    this.mapped = addressesOf(places.filter((place, turn) => !isSpot(place, turn)));
    this.mapped.forEach((address, page) => this.map(address, TARGETS + page));
    // so that the tables of all places are there
    for (const address of this.spots) this.map(address, 0, { leafBits: 0 });
    const devices = DEVICES.map((sourceId) => ({
      sourceId,
      domainId: DOMAIN_ID,
      root: this.root,
      levels: 4,
    }));
    const rootTable = this.guest.legacyRootTable(devices);
    this.contexts = this.guest.targetOf(rootTable);
    this.unit.write(RTADDR, 8, rootTable, 0);
    this.unit.write(GCMD, 4, SRTP, 0);
    this.unit.write(IQA, 8, this.queue, 0);
    this.unit.write(GCMD, 4, QIE, 0);
    if (translate) this.translate(true);
  }

  assign(sourceId) {
    const { driver, unit } = this;
    driver.assign({ sourceId: 0x100 + sourceId, virtualSourceId: sourceId, unit });
  }

  unassign(sourceId) {
    this.driver.unassign(0x100 + sourceId);
  }

  /** GCMD.TE; with it off, the tables of shadows are given back before this returns. */
  translate(on) {
    this.unit.write(GCMD, 4, on ? QIE | TE : QIE, 0);
    while (this.driver.pending) this.driver.run(4096);
  }

  /** Writes an entry of the guest's tables; nobody is told. */
  map(address, gfn, options) {
    this.guest.map(this.root, 4, address, gfn * 4096, options);
  }

  /** Where the entry of a page of 4 KiB is, by its first word. */
  entryOf(address) {
    let table = this.root;
    for (let shift = 39; shift > 12; shift -= 9) {
      table = this.guest.targetOf(table + 8 * (Math.floor(address / 2 ** shift) % 512));
    }
    return (table + 8 * (Math.floor(address / 4096) % 512)) / 4;
  }

  /** A device's context entry with this translation type, and its invalidation. */
  setContext(sourceId, type) {
    const word = (this.contexts + 16 * sourceId) >> 2;
    this.guest.words[word] = this.root | (type << 2) | 1;
    return this.invalidate(0x31 | (DOMAIN_ID << 16), sourceId, 0, 0);
  }

  /** A page-selective IOTLB invalidation. */
  invalidatePage(address) {
    const upper = Math.floor(address / 2 ** 32);
    return this.invalidate(0x32 | (DOMAIN_ID << 16), 0, (address | 0) & ~0xfff, upper);
  }

  /** All pages of the domain. */
  invalidateDomain() {
    return this.invalidate(0x22 | (DOMAIN_ID << 16), 0, 0, 0);
  }

  /** A descriptor and a wait behind it; true when the wait is over by the time the tail is written. */
  invalidate(word0, word1, word2, word3) {
    const { words } = this.guest;
    const at = (this.queue + this.#tail) >> 2;
    this.#done = (this.#done + 1) | 0;
    words[at] = word0;
    words[at + 1] = word1;
    words[at + 2] = word2;
    words[at + 3] = word3;
    words[at + 4] = 0x25;
    words[at + 5] = this.#done;
    words[at + 6] = this.status;
    words[at + 7] = 0;
    this.#tail = (this.#tail + 32) & (QUEUE_BYTES - 1);
    this.unit.write(IQT, 8, this.#tail, 0);
    return words[this.status >> 2] === this.#done;
  }
}
