import { ones } from "./oracle.ts";
import type { Region, Soup } from "./soup.ts";

const PAGE = 0x1000n;
/** Tables lie from here on; the second top table reaches across a border of 1 GiB. */
const BASE = 0x2_3fff_4000n;
/** Where the tables are. */
export const TABLE_REGION: Region = { base: Number(BASE), size: 48 * 0x1000 };
/** A page that is no memory. */
const FAR = 0x8000_0000n;

/** What a level of the structure has: VT-d 4.2.4, table 11. */
interface Level {
  /** First page of the tables, how many tables there are, and the pages each has. */
  readonly first: bigint;
  readonly count: bigint;
  readonly pages: bigint;
  /** Lowest address bit that selects an entry, and lowest one that selects a PP. */
  readonly entryShift: bigint;
  readonly pageShift: bigint;
  /** Page permissions of an entry. */
  readonly permissions: number;
  /** Entries that are filled in: requests are made of them, so that they meet the entries. */
  readonly indices: readonly bigint[];
}

const LEVELS: readonly Level[] = [
  {
    first: 38n,
    count: 10n,
    pages: 1n,
    entryShift: 17n,
    pageShift: 12n,
    permissions: 32,
    indices: [0n, 17n, 130n, 255n],
  },
  {
    first: 30n,
    count: 8n,
    pages: 1n,
    entryShift: 25n,
    pageShift: 21n,
    permissions: 16,
    indices: [0n, 33n, 101n, 255n],
  },
  {
    first: 24n,
    count: 6n,
    pages: 1n,
    entryShift: 33n,
    pageShift: 30n,
    permissions: 8,
    indices: [0n, 1n, 17n, 255n],
  },
  {
    first: 0n,
    count: 3n,
    pages: 8n,
    entryShift: 41n,
    pageShift: 41n,
    permissions: 0,
    indices: [0n, 1n, 17n, 255n, 256n, 511n, 1024n, 2047n],
  },
];
const levelAt = (level: number): Level => LEVELS[level - 1]!;

/** An entry of a host permission table. */
export interface Slot {
  readonly level: number;
  readonly at: bigint;
}

/** Host physical pages: 2^order of 4 KiB from an address on. */
export interface Pages {
  readonly address: bigint;
  readonly order: number;
}

/** The level, 1 to 4, of the table that an address lies in; 0 if there is none. */
export function tableLevel(address: bigint): number {
  const page = (address - BASE) / PAGE;
  const holds = ({ first, count, pages }: Level): boolean =>
    address >= BASE && page >= first && page < first + count * pages;
  return LEVELS.findIndex(holds) + 1;
}

/** The host permission tables of a machine: mostly, but not always, in order, and many shared. */
export class HostPermissionTables {
  private readonly soup: Soup;

  constructor(soup: Soup) {
    this.soup = soup;
    for (const slot of this.slots()) this.write(slot);
  }

  /** A table of a level, sometimes one that is no memory. */
  table(level: number): bigint {
    const { first, count, pages } = levelAt(level);
    const { random } = this.soup;
    return random.chance(2)
      ? FAR
      : BASE + PAGE * (first + pages * BigInt(random.below(Number(count))));
  }

  /** All entries that are filled in. */
  slots(): Slot[] {
    return [1, 2, 3, 4].flatMap((level) => {
      const { first, count, pages, indices } = levelAt(level);
      return Array.from({ length: Number(count) }, (_, i) => BigInt(i)).flatMap((i) => {
        const table = BASE + PAGE * (first + pages * i);
        return indices.map((index) => ({ level, at: table + 16n * index }));
      });
    });
  }

  /** Writes an entry: mostly a good one, with page permissions or a table of the next level. */
  write({ level, at }: Slot): void {
    const { soup } = this;
    const { random, hostAddressWidth } = soup;
    let permissions = 0n;
    for (let i = 0; this.hasPermissions(level) && i < levelAt(level).permissions; i += 1) {
      const rights = random.chance(level === 1 ? 85 : 20) ? random.of([1n, 2n, 3n, 3n]) : 0n;
      permissions |= rights << BigInt(4 * i);
    }
    let low = permissions & ones(63, 0);
    let high = permissions >> 64n;
    if (level > 1) {
      high |= this.table(level - 1) | (random.chance(95) ? 1n : 0n);
      high |= soup.some(ones(63, 52), 20); // ignored
      high |= soup.some(ones(11, 1) | ones(51, hostAddressWidth), 2);
    } else {
      high |= soup.some(0xcccc_cccc_cccc_ccccn, 2);
    }
    low |= soup.some(level > 2 ? ones(63, 0) : 0xcccc_cccc_cccc_ccccn, 2);
    soup.write(at, low);
    soup.write(at + 8n, high);
  }

  /**
   * Changes the page permission for an address, or the whole entry. Returns what that is about:
   * bits of the address within the entry, and the size.
   */
  change(slot: Slot, address: bigint): Pages {
    const { random } = this.soup;
    const { entryShift, pageShift } = levelAt(slot.level);
    if (!this.hasPermissions(slot.level) || random.chance(40)) {
      this.write(slot);
      return { address: 0n, order: Number(entryShift) - 12 };
    }
    const place = (address & ((1n << entryShift) - 1n)) >> pageShift;
    const qword = slot.at + 8n * (place >> 4n);
    const shift = 4n * (place & 15n);
    this.soup.write(qword, (this.soup.read(qword)! & ~(3n << shift)) | (random.bits(2) << shift));
    return { address: place << pageShift, order: Number(pageShift) - 12 };
  }

  /** The entry of a level that the walk for an address comes by, or null. */
  find(root: bigint, address: bigint, level: number): Slot | null {
    let table = root;
    for (let at = 4; ; at -= 1) {
      const index = address >> levelAt(at).entryShift;
      const slot = { level: at, at: table + 16n * (at === 4 ? index : index & 0xffn) };
      if (tableLevel(slot.at) !== at) return null;
      if (at === level) return slot;
      table = this.pointer(slot);
    }
  }

  /** First addresses of all that an entry stands for in a tree. */
  addressesOf(slot: Slot, root: bigint): bigint[] {
    let paths = [{ table: root, prefix: 0n }];
    for (let level = 4; level > slot.level; level -= 1) {
      const { indices, entryShift } = levelAt(level);
      paths = paths.flatMap(({ table, prefix }) =>
        indices.map((index) => ({
          table: this.pointer({ level, at: table + 16n * index }),
          prefix: prefix | (index << entryShift),
        })),
      );
      paths = paths.filter(({ table }) => tableLevel(table) === level - 1);
    }
    const { pages, entryShift } = levelAt(slot.level);
    return paths
      .filter(({ table }) => slot.at >= table && slot.at < table + PAGE * pages)
      .map(({ table, prefix }) => prefix | (((slot.at - table) >> 4n) << entryShift));
  }

  /** An address made of indices that tables use. */
  address(): bigint {
    const { random, hostAddressWidth } = this.soup;
    if (random.chance(3)) return 0xfee0_0000n | random.bits(20);
    if (random.chance(3)) return random.bits(random.of([52, 57, 64]));
    const width = random.chance(90) ? hostAddressWidth : 52;
    const possible = levelAt(4).indices.filter((index) => index >> BigInt(width - 41) === 0n);
    const top = random.chance(40) ? 0n : random.of(possible);
    let address = (top << 41n) | random.bits(17);
    for (const { indices, entryShift } of LEVELS.slice(0, 3)) {
      address |= random.of(indices) << entryShift;
    }
    return address;
  }

  private hasPermissions(level: number): boolean {
    return level < 3 || (level === 3 && this.soup.capabilities.HPT1GPS === 1);
  }

  /** ADDR of an entry, whatever AV is. */
  private pointer({ at }: Slot): bigint {
    return (this.soup.read(at + 8n) ?? 0n) & ones(51, 12);
  }
}
