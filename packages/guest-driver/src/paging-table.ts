import type { DomainFormat } from "./domain-format.ts";
import type { PageAllocator } from "./page-allocator.ts";
import { PAGING_ENTRIES } from "./paging-entries.ts";
import type { PagingEntries } from "./paging-entries.ts";
import { appendRights } from "./permission-counts.ts";
import type { PageRights } from "./permission-counts.ts";
import { PAGE_SIZE } from "./table-memory.ts";
import type { TableMemory } from "./table-memory.ts";

/** PS: the entry of a level above the lowest maps a page; at the same place in both stages. */
const PAGE = 1 << 7;
const ENTRIES = 512;

/** Pages that an entry of a level stands for. */
const span = (level: number): number => 512 ** (level - 1);

/** Address of the table or page that an entry leads to. */
const targetOf = (words: Int32Array): number =>
  (words[1]! & 0xf_ffff) * 2 ** 32 + ((words[0]! & ~(PAGE_SIZE - 1)) >>> 0);

/**
 * A first-stage or second-stage table from I/O virtual to guest-physical pages, of 4 KiB, 2 MiB and
 * 1 GiB (VT-d 9.7, 9.8). Page numbers, not addresses. Tables that drop out are put on the list
 * `retired`: they may be freed when the units have forgotten them.
 */
export class PagingTable {
  /** Address of the topmost table. */
  readonly root: number;
  readonly #memory: TableMemory;
  readonly #pages: PageAllocator;
  readonly #format: DomainFormat;
  readonly #entries: PagingEntries;
  readonly #words = new Int32Array(2);

  constructor(memory: TableMemory, pages: PageAllocator, format: DomainFormat) {
    this.#memory = memory;
    this.#pages = pages;
    this.#format = format;
    this.#entries = PAGING_ENTRIES[format.stage];
    this.root = pages.allocate();
  }

  /** Maps `count` pages from `from` on to those from `to` on. `access`: READ, WRITE or both. */
  map(from: number, to: number, count: number, access: number, retired: number[]): void {
    const flags = this.#entries.leaf(access);
    for (let done = 0; done < count;) {
      const level = this.#largestLevel(from + done, to + done, count - done);
      const address = this.#entryAddress(from + done, level);
      this.#retireLeftover(address, level, retired);
      this.#writeEntry(address, to + done, level > 1 ? flags | PAGE : flags);
      done += span(level);
    }
  }

  /** What devices may do with pages that are mapped with `access`: READ, WRITE or both. */
  effective(access: number): number {
    return this.#entries.access(this.#entries.leaf(access));
  }

  /** The pages that are mapped to in a range, everywhere unless given, with what devices may do. */
  targets(from = 0, count = Infinity): PageRights[] {
    const found: PageRights[] = [];
    const range = { first: from, end: from + count };
    this.#collect(this.root, this.#format.levels, 0, range, found);
    return found;
  }

  /**
   * Removes what was mapped there, by exactly such calls of {@link map}. Tables whose range is
   * unmapped as a whole are retired, others stay for the next mapping.
   */
  unmap(from: number, count: number, retired: number[]): void {
    this.#clear(this.root, this.#format.levels, 0, { first: from, end: from + count }, retired);
  }

  /** All tables, the topmost one too; the object is of no use afterwards. */
  retire(): number[] {
    const retired: number[] = [];
    this.#retireTable(this.root, this.#format.levels, retired);
    return retired;
  }

  #largestLevel(from: number, to: number, count: number): number {
    let largest = 1;
    for (const level of this.#format.pageLevels) {
      const pages = span(level);
      if (from % pages === 0 && to % pages === 0 && count >= pages) largest = level;
    }
    return largest;
  }

  /** Address of the entry for a page at a level; makes the tables above it. */
  #entryAddress(page: number, level: number): number {
    let table = this.root;
    for (let at = this.#format.levels; ; at -= 1) {
      const address = table + (Math.floor(page / span(at)) % ENTRIES) * 8;
      if (at === level) return address;
      const next = this.#next(address, at);
      table = next ?? this.#pages.allocate();
      if (next === null) this.#writeEntry(address, table / PAGE_SIZE, this.#entries.table);
    }
  }

  #collect(
    table: number,
    level: number,
    base: number,
    range: { first: number; end: number },
    found: PageRights[],
  ): void {
    const pages = span(level);
    const end = Math.min(range.end, base + ENTRIES * pages);
    const begin = Math.max(range.first, base);
    for (let page = begin - (begin % pages); page < end; page += pages) {
      const address = table + ((page - base) / pages) * 8;
      const next = this.#next(address, level);
      if (next !== null) {
        this.#collect(next, level - 1, page, range, found);
        continue;
      }
      const flags = this.#words[0]!;
      if ((flags & this.#entries.present) === 0) continue;
      const first = Math.max(page, begin);
      const count = Math.min(page + pages, end) - first;
      const target = targetOf(this.#words) / PAGE_SIZE + (first - page);
      appendRights(found, { page: target, count, access: this.#entries.access(flags) });
    }
  }

  /** Clears the entries for a range; `base` is the first page of this table. */
  #clear(
    table: number,
    level: number,
    base: number,
    range: { first: number; end: number },
    retired: number[],
  ): void {
    const pages = span(level);
    const begin = Math.max(range.first, base);
    const end = Math.min(range.end, base + ENTRIES * pages);
    for (let page = begin - (begin % pages); page < end; page += pages) {
      const address = table + ((page - base) / pages) * 8;
      const next = this.#next(address, level);
      const whole = range.first <= page && page + pages <= range.end;
      if (next !== null && !whole) {
        this.#clear(next, level - 1, page, range, retired);
        continue;
      }
      this.#clearEntry(address);
      if (next !== null) this.#retireTable(next, level - 1, retired);
    }
  }

  /** Smaller mappings may have left a table behind where a large page shall be. */
  #retireLeftover(address: number, level: number, retired: number[]): void {
    const next = this.#next(address, level);
    if (next === null) return;
    this.#clearEntry(address);
    this.#retireTable(next, level - 1, retired);
  }

  /** A table and all below it. */
  #retireTable(table: number, level: number, retired: number[]): void {
    for (let i = 0; level > 1 && i < ENTRIES; i += 1) {
      const next = this.#next(table + 8 * i, level);
      if (next !== null) this.#retireTable(next, level - 1, retired);
    }
    retired.push(table);
  }

  /** The table that an entry leads to; null when it maps a page or is not present. */
  #next(address: number, level: number): number | null {
    const words = this.#memory.read(address, this.#words);
    const low = words[0]!;
    if (level === 1 || (low & this.#entries.present) === 0 || (low & PAGE) !== 0) return null;
    return targetOf(words);
  }

  /** The word with the permissions comes last: a unit may walk at any time. */
  #writeEntry(address: number, page: number, flags: number): void {
    const target = page * PAGE_SIZE;
    this.#memory.writeWord(address + 4, Math.floor(target / 2 ** 32));
    this.#memory.writeWord(address, (target % 2 ** 32) | flags);
  }

  /** The word with the permissions goes first. */
  #clearEntry(address: number): void {
    this.#memory.writeWord(address, 0);
    this.#memory.writeWord(address + 4, 0);
  }
}
