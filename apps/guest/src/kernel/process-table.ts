import { PAGE } from "./ram.ts";
import type { Ram } from "./ram.ts";

const LEVELS = 4;
const ENTRIES = 512;
const ENTRY = 8;

// Bits of an entry (VT-d 9.7)
const PRESENT = 1 << 0;
const WRITABLE = 1 << 1;
const USER = 1 << 2;
const DIRTY = 1 << 6;

/** A page that a table maps. */
export interface MappedPage {
  readonly frame: number;
  /** Somebody has written to it since it was mapped. */
  readonly dirty: boolean;
}

/**
 * The page table of a process, in the format of a processor with 4 levels (VT-d 3.6). Everything of
 * it is in guest memory. Units set its accessed and dirty bits.
 */
export class ProcessTable {
  readonly root: number;
  readonly #ram: Ram;

  constructor(ram: Ram) {
    this.#ram = ram;
    this.root = ram.allocate();
  }

  /** The page at an address; null where there is none. */
  find(address: number): MappedPage | null {
    const entry = this.#entryOf(address, false);
    const low = entry < 0 ? 0 : this.#ram.word(entry);
    return (low & PRESENT) === 0
      ? null
      : { frame: this.#target(entry), dirty: (low & DIRTY) !== 0 };
  }

  /** Maps a page where there was none. */
  map(address: number, frame: number, writable: boolean): void {
    const entry = this.#entryOf(address, true);
    this.#write(entry, frame, PRESENT | USER | (writable ? WRITABLE : 0));
  }

  /** Takes a page away; units and devices are to forget it afterwards. */
  unmap(address: number): void {
    this.#ram.setWord(this.#entryOf(address, false), 0);
  }

  /** Takes everything away and gives all tables back but the topmost one, which nobody must walk. */
  clear(): void {
    this.#clear(this.root, LEVELS);
  }

  #clear(table: number, level: number): void {
    for (let entry = table; entry < table + PAGE; entry += ENTRY) {
      if ((this.#ram.word(entry) & PRESENT) === 0) continue;
      if (level > 1) {
        const next = this.#target(entry);
        this.#clear(next, level - 1);
        this.#ram.free(next);
      }
      this.#ram.setWord(entry, 0);
      this.#ram.setWord(entry + 4, 0);
    }
  }

  /** Where the entry of a page lies; -1: no table is there, and none was asked for. */
  #entryOf(address: number, make: boolean): number {
    let table = this.root;
    for (let level = LEVELS; ; level -= 1) {
      const index = Math.floor(address / (PAGE * ENTRIES ** (level - 1))) % ENTRIES;
      const entry = table + index * ENTRY;
      if (level === 1) return entry;
      if ((this.#ram.word(entry) & PRESENT) === 0) {
        if (!make) return -1;
        this.#write(entry, this.#ram.allocate(), PRESENT | USER | WRITABLE);
      }
      table = this.#target(entry);
    }
  }

  /** The word with the permissions comes last: a unit may walk at any time. */
  #write(entry: number, target: number, flags: number): void {
    this.#ram.setWord(entry + 4, Math.floor(target / 2 ** 32));
    this.#ram.setWord(entry, (target % 2 ** 32) + flags);
  }

  #target(entry: number): number {
    const low = this.#ram.word(entry);
    return this.#ram.word(entry + 4) * 2 ** 32 + (low - (low % PAGE));
  }
}
