import type { ChunkedMemory } from "@viommu/memory";
import { ALL_PASIDS, NO_PASID } from "@viommu/plugin";
import type { VtdUnit } from "@viommu/vtd";

/** Bits of second-stage entries. */
export const RW = 3n;
const PS = 1n << 7n;

const ROOT = 0x10;
const QUEUE = 0x11;
const STATUS = 0x12;
const FIRST_TABLE = 0x20;

/** An entry of the page request queue. */
export interface QueuedRequest {
  readonly sourceId: number;
  readonly pasid: number;
  readonly page: number;
  readonly access: number;
  readonly group: number;
  readonly last: boolean;
}

/** A guest's driver in a few lines: tables by hand, and queued invalidation with wait descriptors. */
export class GuestKernel {
  readonly memory: ChunkedMemory;
  readonly unit: VtdUnit;
  readonly scalable: boolean;
  #next = FIRST_TABLE;
  #requests = 0;
  #head = 0;
  #tail = 0;
  #done = 0;

  constructor(memory: ChunkedMemory, unit: VtdUnit, scalable = false) {
    this.memory = memory;
    this.unit = unit;
    this.scalable = scalable;
    this.#write64(0x90, BigInt(QUEUE * 4096) | (scalable ? 0x800n : 0n));
    this.#command(1 << 26); // QIE
    this.setRoot(ROOT);
  }

  /** A zeroed frame for a table. */
  table(frames = 1): number {
    const frame = this.#next;
    this.#next += frames;
    return frame;
  }

  setRoot(frame: number): void {
    this.#write64(0x20, BigInt(frame * 4096) | (this.scalable ? 0x400n : 0n));
    this.#command(1 << 30);
  }

  setTranslation(on: boolean): void {
    if (on) this.#command(1 << 31);
    else this.#command(0, 1 << 31);
  }

  get translation(): boolean {
    return this.#status() < 0;
  }

  /** Legacy context entry: translation type 0 second stage, 2 pass-through; AW 2. */
  setContext(sourceId: number, root: number, domainId: number, type = 0): void {
    const at = this.#contextTable(sourceId) + (sourceId & 0xff) * 16;
    this.memory.write64(at + 8, (BigInt(domainId) << 8n) | 2n);
    this.memory.write64(at, BigInt(root * 4096) | BigInt(type << 2) | 1n);
  }

  clearContext(sourceId: number): void {
    this.memory.write64(this.#contextTable(sourceId) + (sourceId & 0xff) * 16, 0n);
  }

  /** Scalable context entry; `flags` holds bits 6:2. */
  setScalableContext(sourceId: number, directory: number, flags = 0, ridPasid = 0): void {
    const at = this.#scalableContext(sourceId);
    this.memory.write64(at + 8, BigInt(ridPasid));
    this.memory.write64(at, BigInt(directory * 4096) | BigInt(flags) | 1n);
  }

  clearScalableContext(sourceId: number): void {
    this.memory.write64(this.#scalableContext(sourceId), 0n);
  }

  /** PASID table entry, three words of 64 bits. */
  setPasid(directory: number, pasid: number, words: readonly bigint[]): void {
    const at = this.#tableAt(directory * 4096 + (pasid >>> 6) * 8) + (pasid & 63) * 64;
    for (const [i, word] of [...words.entries()].reverse()) this.memory.write64(at + 8 * i, word);
  }

  /** Maps a page; `level` 1 to 3. */
  map(root: number, dfn: number, gfn: number, level = 1, bits = RW): void {
    const at = this.#entry(root, dfn, level);
    this.memory.write64(at, (BigInt(gfn) * 4096n) | bits | (level > 1 ? PS : 0n));
  }

  unmap(root: number, dfn: number, level = 1): void {
    this.memory.write64(this.#entry(root, dfn, level), 0n);
  }

  /** First-stage entry: present, writable, user. */
  mapFirst(root: number, page: number, frame: number, bits = 7n, level = 1): void {
    const at = this.#entry(root, page, level, 7n);
    this.memory.write64(at, (BigInt(frame) * 4096n) | bits | (level > 1 ? PS : 0n));
  }

  unmapFirst(root: number, page: number, level = 1): void {
    this.memory.write64(this.#entry(root, page, level, 7n), 0n);
  }

  /** The entry that maps a page; 0 without. */
  firstEntry(root: number, page: number): bigint {
    let table = root * 4096;
    for (let level = 4; ; level--) {
      const index = Math.floor(page / 512 ** (level - 1)) % 512;
      const value = this.memory.read64(table + index * 8);
      if (level === 1 || (value & 1n) === 0n || (value & PS) !== 0n) return value;
      table = Number(value & 0xf_ffff_ffff_f000n);
    }
  }

  contextGlobal(): boolean {
    return this.submit([0x11n, 0n]);
  }

  contextDevice(sourceId: number, domainId: number): boolean {
    return this.submit([0x31n | (BigInt(domainId) << 16n) | (BigInt(sourceId) << 32n), 0n]);
  }

  contextDomain(domainId: number): boolean {
    return this.submit([0x21n | (BigInt(domainId) << 16n), 0n]);
  }

  iotlbGlobal(): boolean {
    return this.submit([0x12n, 0n]);
  }

  iotlbDomain(domainId: number): boolean {
    return this.submit([0x22n | (BigInt(domainId) << 16n), 0n]);
  }

  iotlbPages(domainId: number, dfn: number, order = 0): boolean {
    return this.submit([0x32n | (BigInt(domainId) << 16n), (BigInt(dfn) << 12n) | BigInt(order)]);
  }

  /** `pasid` undefined: of the domain; both undefined: all. */
  pasidCache(domainId?: number, pasid?: number): boolean {
    if (domainId === undefined) return this.submit([0x37n]);
    const domain = BigInt(domainId) << 16n;
    return this.submit([
      pasid === undefined ? 0x07n | domain : 0x17n | domain | (BigInt(pasid) << 32n),
    ]);
  }

  pasidIotlb(domainId: number, pasid: number): boolean {
    return this.submit([0x26n | (BigInt(domainId) << 16n) | (BigInt(pasid) << 32n)]);
  }

  pasidIotlbPages(
    domainId: number,
    pasid: number,
    page: number,
    order: number,
    leafOnly: boolean,
  ): boolean {
    return this.submit([
      0x36n | (BigInt(domainId) << 16n) | (BigInt(pasid) << 32n),
      (BigInt(page) << 12n) | (leafOnly ? 1n << 6n : 0n) | BigInt(order),
    ]);
  }

  /** `page` is a multiple of 2^order. */
  deviceTlb(sourceId: number, pasid: number, page: number, order = 0): boolean {
    const sized = order > 0 ? 1n : 0n;
    // the lowest address bit that is 0 says how many pages
    const ones = order > 0 ? (1n << BigInt(order - 1)) - 1n : 0n;
    const address = (BigInt(page) | ones) << 12n;
    const source = BigInt(sourceId);
    if (pasid === NO_PASID) return this.submit([0x3n | (source << 32n), address | sized]);
    const every = pasid === ALL_PASIDS ? 1n : 0n;
    const named = every === 0n ? BigInt(pasid) << 32n : 0n;
    return this.submit([0x8n | (source << 16n) | named, address | (sized << 11n) | every]);
  }

  /** Gives the unit a page request queue of one page, 128 entries. */
  takePageRequests(): void {
    this.#requests = this.table();
    this.#write64(0xd0, BigInt(this.#requests * 4096));
  }

  /** Takes all page requests out of the queue. */
  pageRequests(): QueuedRequest[] {
    const found: QueuedRequest[] = [];
    const words = new Int32Array(2);
    this.unit.read(0xc8, 8, words);
    for (; this.#head !== words[0]; this.#head = (this.#head + 32) % 4096) {
      const at = this.#requests * 4096 + this.#head;
      const [first, second] = [this.memory.read64(at), this.memory.read64(at + 8)];
      found.push({
        sourceId: Number((first >> 16n) & 0xffffn),
        pasid: (first & 0x100n) === 0n ? NO_PASID : Number((first >> 32n) & 0xf_ffffn),
        page: Number(second >> 12n),
        access: Number(second & 3n),
        group: Number((second >> 3n) & 0x1ffn),
        last: (second & 4n) !== 0n,
      });
    }
    this.unit.write(0xc0, 8, this.#head, 0);
    return found;
  }

  /** PRO of the page request status, cleared by this. */
  overflowed(): boolean {
    const words = new Int32Array(2);
    this.unit.read(0xdc, 4, words);
    this.unit.write(0xdc, 4, words[0]!, 0);
    return (words[0]! & 2) !== 0;
  }

  pageResponse(sourceId: number, pasid: number, group: number, code: number): boolean {
    const named = pasid === NO_PASID ? 0n : 0x10n | (BigInt(pasid) << 32n);
    const first = 9n | (BigInt(code) << 12n) | (BigInt(sourceId) << 16n) | named;
    return this.submit([first, BigInt(group) << 3n]);
  }

  /** Queues a descriptor and a wait behind it; true if the wait is over when this returns. */
  submit(...descriptors: (readonly bigint[])[]): boolean {
    for (const descriptor of descriptors) this.#queue(descriptor);
    this.#done += 1;
    this.#queue([0x25n | (BigInt(this.#done) << 32n), BigInt(STATUS * 4096)]);
    this.unit.write(0x88, 8, this.#tail * (this.scalable ? 32 : 16), 0);
    return this.complete;
  }

  /** Everything that was submitted is complete. */
  get complete(): boolean {
    return this.memory.read32(STATUS * 4096) === this.#done;
  }

  /** Reads and clears the fault records: source-id and reason of each. */
  faults(): { sourceId: number; reason: number; page: number }[] {
    const found: { sourceId: number; reason: number; page: number }[] = [];
    const words = new Int32Array(2);
    for (let i = 0; i < 8; i++) {
      const at = 0x220 + 16 * i;
      this.unit.read(at + 8, 8, words);
      if (words[1]! >= 0) continue;
      const sourceId = words[0]! & 0xffff;
      const reason = words[1]! & 0xff;
      this.unit.read(at, 8, words);
      const page = (words[0]! >>> 12) + words[1]! * 2 ** 20;
      found.push({ sourceId, reason, page });
      this.unit.write(at + 12, 4, 1 << 31, 0);
    }
    return found;
  }

  #queue(words: readonly bigint[]): void {
    const size = this.scalable ? 32 : 16;
    const at = QUEUE * 4096 + this.#tail * size;
    for (let i = 0; i < size / 8; i++) this.memory.write64(at + 8 * i, words[i] ?? 0n);
    this.#tail = (this.#tail + 1) % (4096 / size);
  }

  #entry(root: number, dfn: number, level: number, bits = RW): number {
    let table = root * 4096;
    for (let at = 4; at > level; at--) {
      table = this.#tableAt(table + (Math.floor(dfn / 512 ** (at - 1)) % 512) * 8, bits);
    }
    return table + (Math.floor(dfn / 512 ** (level - 1)) % 512) * 8;
  }

  #contextTable(sourceId: number): number {
    return this.#tableAt(ROOT * 4096 + (sourceId >>> 8) * 16);
  }

  #scalableContext(sourceId: number): number {
    const rootEntry = ROOT * 4096 + (sourceId >>> 8) * 16 + (sourceId & 0x80 ? 8 : 0);
    return this.#tableAt(rootEntry) + (sourceId & 0x7f) * 32;
  }

  /** The table that an entry names; a new one where it names none. */
  #tableAt(entry: number, bits = 1n): number {
    const value = this.memory.read64(entry);
    if ((value & 1n) !== 0n && (bits === 1n || (value & PS) === 0n)) {
      return Number(value & 0xf_ffff_ffff_f000n);
    }
    const frame = this.table();
    this.memory.write64(entry, BigInt(frame * 4096) | bits);
    return frame * 4096;
  }

  #status(): number {
    const words = new Int32Array(2);
    this.unit.read(0x1c, 4, words);
    return words[0]!;
  }

  #command(set: number, clear = 0): void {
    const kept = this.#status() & ((1 << 31) | (1 << 26) | (1 << 25) | (1 << 23));
    this.unit.write(0x18, 4, (kept | set) & ~clear, 0);
  }

  #write64(offset: number, value: bigint): void {
    this.unit.write(offset, 8, Number(value & 0xffff_ffffn) | 0, Number(value >> 32n) | 0);
  }
}
