/** Rights of a mapping (second-stage entry bits 1:0, VT-d 9.9). */
const READ_WRITE = 3;

const PAGE = 4096;
const LARGE_PAGE = 0x80;

/**
 * A guest that owns one ArrayBuffer at guest-physical address 0 and lays tables into it. All
 * addresses are byte addresses as numbers. Nothing is ever freed.
 */
export class Guest {
  #next = PAGE;

  constructor(bytes) {
    this.buffer = new ArrayBuffer(bytes);
    this.words = new Int32Array(this.buffer);
  }

  /** A zeroed, naturally aligned area of 2^order pages. */
  allocate(order = 0) {
    const size = PAGE * 2 ** order;
    const address = Math.ceil(this.#next / size) * size;
    this.#next = address + size;
    if (this.#next > this.buffer.byteLength) throw new Error("the guest's memory is full");
    return address;
  }

  /** Stores a 64-bit entry given as low word and high word. */
  store(address, low, high) {
    this.words[address / 4] = low;
    this.words[address / 4 + 1] = high;
  }

  /** Stores a 64-bit entry: an aligned address with bits below and above it. */
  storeEntry(address, target, lowBits, highBits = 0) {
    this.store(address, (target % 2 ** 32) | lowBits, Math.floor(target / 2 ** 32) | highBits);
  }

  /** The address part (bits 51:12) of the entry at `address`; 0 when the entry is empty. */
  targetOf(address) {
    const low = this.words[address / 4] & ~0xfff;
    return (this.words[address / 4 + 1] & 0xfffff) * 2 ** 32 + (low >>> 0);
  }

  /**
   * Maps 2^pageShift bytes (shift 12, 21 or 30) in the paging structure of `levels` levels at
   * `root`. `tableBits` are the low bits of the entries above the leaf, `leafBits` those of the leaf.
   */
  map(root, levels, address, target, options = {}) {
    const { pageShift = 12, leafBits = READ_WRITE, tableBits = READ_WRITE } = options;
    let table = root;
    for (let shift = 12 + 9 * (levels - 1); ; shift -= 9) {
      const entry = table + 8 * (Math.floor(address / 2 ** shift) % 512);
      if (shift === pageShift) {
        this.storeEntry(entry, target, shift === 12 ? leafBits : leafBits | LARGE_PAGE);
        return;
      }
      if (this.targetOf(entry) === 0) this.storeEntry(entry, this.allocate(), tableBits);
      table = this.targetOf(entry);
    }
  }

  /**
   * Legacy-mode root and context tables (VT-d 9.1, 9.3) for devices `{ sourceId, domainId, root,
   * levels }`, all with second-stage translation. Returns the address of the root table.
   */
  legacyRootTable(devices) {
    const rootTable = this.allocate();
    for (const { sourceId, domainId, root, levels } of devices) {
      const rootEntry = rootTable + 16 * (sourceId >> 8);
      if (this.targetOf(rootEntry) === 0) this.storeEntry(rootEntry, this.allocate(), 1);
      const contextEntry = this.targetOf(rootEntry) + 16 * (sourceId & 0xff);
      this.storeEntry(contextEntry, root, 1);
      this.store(contextEntry + 8, (domainId << 8) | (levels - 2), 0);
    }
    return rootTable;
  }

  /**
   * Scalable-mode tables (VT-d 9.2, 9.4 to 9.6) for one device whose requests without PASID go to a
   * PASID table entry of type `pgtt` (1 first-stage, 2 second-stage, 3 nested; four levels each), and
   * so do those with PASIDs 1 to `pasids`, of 63 at most. Returns the address of the root table.
   */
  scalableRootTable({ sourceId, domainId, pgtt, firstStage = 0, secondStage = 0, pasids = 0 }) {
    const [root, contexts, directory, entries] = [0, 0, 0, 0].map(() => this.allocate());
    const devfn = sourceId & 0xff;
    this.storeEntry(root + 16 * (sourceId >> 8) + 8 * (devfn >> 7), contexts, 1);
    this.storeEntry(contexts + 32 * (devfn & 0x7f), directory, pasids === 0 ? 1 : 9);
    this.storeEntry(directory, entries, 1);
    const aw = pgtt === 1 ? 0 : 2;
    for (let entry = entries; entry <= entries + 64 * pasids; entry += 64) {
      this.storeEntry(entry, secondStage, 1 | (aw << 2) | (pgtt << 6));
      this.store(entry + 8, domainId, 0);
      this.storeEntry(entry + 16, firstStage, 0);
    }
    return root;
  }

  /**
   * Lets requests without PASID of a device of {@link scalableRootTable} through to the pages of 2 MiB
   * from `base` (below 2 TiB) if they are translated: a host permission table with pages of 4 KiB
   * (VT-d 9.12).
   */
  permitTranslated(rootTable, { sourceId }, base) {
    const contexts = this.targetOf(rootTable + 16 * (sourceId >> 8));
    const context = contexts + 32 * (sourceId & 0x7f);
    this.words[context / 4] |= 0x24; // DTE, HPTE
    const entry = this.targetOf(this.targetOf(context));
    let table = this.allocate();
    this.storeEntry(entry + 32, table, 0);
    for (const shift of [41, 33, 25]) {
      const next = this.allocate();
      this.storeEntry(table + 16 * (Math.floor(base / 2 ** shift) % 256) + 8, next, 1);
      table = next;
    }
    const first = table + 16 * (Math.floor(base / 2 ** 17) % 256);
    this.words.fill(0x3333_3333, first / 4, first / 4 + 64);
  }

  /** All that has been allocated so far lies below this address. */
  get end() {
    return this.#next;
  }

  /**
   * An interrupt-remapping table of `count` remapped entries (VT-d 9.10) that all accept
   * `sourceId` only; entry i holds vector 32 + i % 200 and destination i % 128. `order` is log2 of
   * its pages.
   */
  interruptTable(count, sourceId) {
    const table = this.allocate(Math.max(0, Math.ceil(Math.log2((count * 16) / PAGE))));
    for (let i = 0; i < count; i++) {
      this.store(table + 16 * i, 1 | ((32 + (i % 200)) << 16), (i % 128) << 8);
      this.store(table + 16 * i + 8, sourceId | (1 << 18), 0);
    }
    return table;
  }
}
