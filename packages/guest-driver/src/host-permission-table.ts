import { Access } from "@viommu/plugin";
import type { Capabilities } from "@viommu/vtd-spec";
import type { PageAllocator } from "./page-allocator.ts";
import type { PageRights } from "./permission-counts.ts";
import { PAGE_SIZE } from "./table-memory.ts";
import type { TableMemory } from "./table-memory.ts";

const TOP = 4;
const ENTRY_BYTES = 16;
/** Pages that an entry of a level stands for, by level - 1: 128 KiB, 32 MiB, 8 GiB, 2 TiB. */
const SPAN = [2 ** 5, 2 ** 13, 2 ** 21, 2 ** 29] as const;
/** Pages that one permission in an entry stands for: 4 KiB, 2 MiB, 1 GiB. */
const LARGE = [1, 2 ** 9, 2 ** 18] as const;
/** A level 4 table of one page covers addresses of so many bits (HPTSZ 0). */
const SMALLEST_WIDTH = 49;
const PAGE_BITS = 12;

// An entry in words: permissions of four bits each, of which R and W are as in `Access`, and above
// level 1 AV and the address in words 2 and 3
const RIGHTS = Access.READ | Access.WRITE;
const PERMISSION_BITS = 4;
const PERMISSIONS_IN_WORD = 8;
const LINK = 2;
const AV = 1;

/** A part of the host's pages, up to and not including `end`. */
interface Range {
  readonly page: number;
  readonly end: number;
}

/** An entry, its place, and the part of a range that it covers. */
interface Entry extends Range {
  readonly address: number;
  /** First page that it stands for. */
  readonly base: number;
}

/**
 * A host permission table (VT-d 4.2.4, 9.12): which host pages may be reached by translated requests,
 * with permissions for pages of 4 KiB, 2 MiB and, with HPT1GPS, 1 GiB. Page numbers, not addresses.
 *
 * Below a permission that is not 0 there are none. Tables are made by {@link prepare} alone, are zero
 * before anything leads to them (VT-d 6.2.6.2), and stay: they take 4 KiB for each 32 MiB of memory
 * at most.
 */
export class HostPermissionTable {
  /** Address of the level 4 table. */
  readonly root: number;
  /** HPTSZ: it has 2^size pages. */
  readonly size: number;
  /** Host pages that there are. */
  readonly pageLimit: number;
  readonly #memory: TableMemory;
  readonly #pages: PageAllocator;
  /** From this level on down entries have permissions. */
  readonly #topPermissions: number;

  /** For a host with addresses of `hostAddressWidth` bits. Throws ERR_VIOMMU_DRIVER_MEMORY. */
  constructor(
    memory: TableMemory,
    pages: PageAllocator,
    { HPT1GPS }: Capabilities,
    hostAddressWidth: number,
  ) {
    this.#memory = memory;
    this.#pages = pages;
    this.#topPermissions = HPT1GPS === 1 ? 3 : 2;
    this.size = Math.max(0, hostAddressWidth - SMALLEST_WIDTH);
    this.pageLimit = 2 ** (hostAddressWidth - PAGE_BITS);
    this.root = pages.allocate(2 ** this.size);
  }

  /**
   * Makes the tables that permissions for these pages need, and those that take a part of them back
   * later. Returns the highest level with an entry that was changed, 0: none. The entries that lead
   * to new tables are put on the list `made`. Throws ERR_VIOMMU_DRIVER_MEMORY, see {@link unlink}.
   */
  prepare(page: number, count: number, made: number[]): number {
    return this.#prepare(this.root, TOP, { page, end: page + count }, made);
  }

  /**
   * Takes tables out that {@link prepare} has made, which permit nothing. They may be freed when the
   * unit has forgotten them.
   */
  unlink(made: readonly number[]): number[] {
    return made.map((address) => {
      const table = this.#child(address)!;
      this.#memory.writeWord(address + 4 * LINK, 0);
      this.#memory.writeWord(address + 4 * (LINK + 1), 0);
      return table;
    });
  }

  /**
   * Gives these pages exactly these rights, 0: none. Their tables must be there, see {@link prepare}.
   * Returns the highest level with an entry that was changed, 0: none.
   */
  set({ page, count, access }: PageRights): number {
    return this.#set(this.root, TOP, { page, end: page + count }, access & RIGHTS);
  }

  /** Gives all its tables back, when no unit can reach them; the object is of no use afterwards. */
  release(): void {
    this.#releaseBelow(this.root, TOP, SPAN[TOP - 1]! * 256 * 2 ** this.size);
    this.#pages.free(this.root, 2 ** this.size);
  }

  #prepare(table: number, level: number, range: Range, made: number[]): number {
    let changed = 0;
    for (const entry of entries(table, level, range)) {
      if (this.#isWhole(level, entry)) continue;
      let child = this.#child(entry.address);
      if (child === null) {
        child = this.#pages.allocate();
        this.#link(entry.address, child);
        made.push(entry.address);
        changed = Math.max(changed, level);
      }
      if (level > 2) changed = Math.max(changed, this.#prepare(child, level - 1, entry, made));
    }
    return changed;
  }

  /** Permissions in entries of this level are enough for a range. */
  #isWhole(level: number, { page, end }: Range): boolean {
    if (level > this.#topPermissions) return false;
    const large = LARGE[level - 1]!;
    return page % large === 0 && end % large === 0;
  }

  #set(table: number, level: number, range: Range, access: number): number {
    let changed = 0;
    for (const entry of entries(table, level, range)) {
      const below =
        level > this.#topPermissions
          ? this.#setBelow(entry.address, level, entry, access)
          : this.#setEntry(entry, level, access);
      changed = Math.max(changed, below);
    }
    return changed;
  }

  /** An entry with permissions: parts of large pages go to the table below. */
  #setEntry(entry: Entry, level: number, access: number): number {
    const { address, base } = entry;
    const before = this.#memory.read(address, new Int32Array(ENTRY_BYTES / 4));
    const words = before.slice();
    const large = LARGE[level - 1]!;
    const shadowed: Range[] = [];
    let changed = 0;
    for (let page = entry.page - (entry.page % large); page < entry.end; page += large) {
      const index = (page - base) / large;
      const permission = permissionAt(words, index);
      const part = { page: Math.max(page, entry.page), end: Math.min(page + large, entry.end) };
      if (permission === access && access !== 0) continue;
      if (part.end - part.page === large) {
        setPermission(words, index, access);
        if (permission === 0 && level > 1) shadowed.push(part);
        continue;
      }
      // what the large page has is handed down before the table below counts
      if (permission !== 0) {
        this.#setBelow(address, level, { page, end: page + large }, permission);
        setPermission(words, index, 0);
      }
      changed = Math.max(changed, this.#setBelow(address, level, part, access));
    }
    for (let i = 0; i < words.length; i += 1) {
      if (words[i] === before[i]) continue;
      this.#memory.writeWord(address + 4 * i, words[i]!);
      changed = Math.max(changed, level);
    }
    // nothing, or a large page, in the place of small ones
    for (const part of shadowed) {
      changed = Math.max(changed, this.#setBelow(address, level, part, 0));
    }
    return changed;
  }

  /** The same in the table that an entry leads to; without one there is nothing to take back. */
  #setBelow(address: number, level: number, range: Range, access: number): number {
    const child = this.#child(address);
    return child === null ? 0 : this.#set(child, level - 1, range, access);
  }

  #releaseBelow(table: number, level: number, pages: number): void {
    if (level === 1) return;
    for (const { address } of entries(table, level, { page: 0, end: pages })) {
      const child = this.#child(address);
      if (child === null) continue;
      this.#releaseBelow(child, level - 1, SPAN[level - 1]!);
      this.#pages.free(child);
    }
  }

  /** The table that an entry above level 1 leads to, or null. */
  #child(address: number): number | null {
    const words = this.#memory.read(address + 4 * LINK, new Int32Array(2));
    if ((words[0]! & AV) === 0) return null;
    return (words[1]! & 0xf_ffff) * 2 ** 32 + ((words[0]! & ~(PAGE_SIZE - 1)) >>> 0);
  }

  /** The word with AV comes last: a unit may walk at any time. */
  #link(address: number, table: number): void {
    this.#memory.writeWord(address + 4 * (LINK + 1), Math.floor(table / 2 ** 32));
    this.#memory.writeWord(address + 4 * LINK, (table % 2 ** 32) | AV);
  }
}

/** The entries of a table for a range, which lies in what the table covers. */
function* entries(table: number, level: number, { page, end }: Range): Iterable<Entry> {
  const span = SPAN[level - 1]!;
  const count = level === TOP ? Infinity : 256;
  for (let base = page - (page % span); base < end; base += span) {
    yield {
      address: table + ((base / span) % count) * ENTRY_BYTES,
      base,
      page: Math.max(base, page),
      end: Math.min(base + span, end),
    };
  }
}

const shiftOf = (index: number): number => (index % PERMISSIONS_IN_WORD) * PERMISSION_BITS;
const wordOf = (index: number): number => Math.floor(index / PERMISSIONS_IN_WORD);

function permissionAt(words: Int32Array, index: number): number {
  return (words[wordOf(index)]! >>> shiftOf(index)) & RIGHTS;
}

function setPermission(words: Int32Array, index: number, access: number): void {
  const word = wordOf(index);
  words[word] = (words[word]! & ~(RIGHTS << shiftOf(index))) | (access << shiftOf(index));
}
