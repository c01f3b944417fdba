import type { Machine } from "./machine.ts";

const PRESENT = 0x1n;
const WRITABLE = 0x2n;
const USER = 0x4n;
const LARGE = 0x80n;

/** Page table entry bits that a processor leaves to hardware: accessed and dirty. */
export const ACCESSED = 0x20n;
export const DIRTY = 0x40n;

/** Reads and writes 64-bit words where the tables of a process lie. */
export interface TableAccess {
  read(address: number): bigint;
  write(address: number, value: bigint): void;
}

/** How a page is mapped; a small page for user reads and writes unless told otherwise. */
export interface PageOptions {
  /** 1: 4 KiB, 2: 2 MiB, 3: 1 GiB. */
  readonly level?: number;
  readonly writable?: boolean;
  readonly user?: boolean;
}

/**
 * The page table of a process, as a kernel builds it for its processors: the driver under test never
 * writes it. Addresses are bigints; tables are taken one after the other from `base` on.
 */
export class ProcessTable {
  readonly root: number;
  readonly #levels: number;
  readonly #access: TableAccess;
  #next: number;

  constructor(access: TableAccess, base: number, levels = 4) {
    this.#access = access;
    this.#levels = levels;
    this.#next = base;
    this.root = this.#allocate();
  }

  /** A process whose table addresses are guest-physical. */
  static in({ memory }: Machine, base: number, levels = 4): ProcessTable {
    const access = {
      read: (address: number) => memory.read64(address),
      write: (address: number, value: bigint) => {
        memory.write64(address, value);
      },
    };
    return new ProcessTable(access, base, levels);
  }

  map(virtual: bigint, physical: number, options: PageOptions = {}): void {
    const { level = 1, writable = true, user = true } = options;
    const flags = PRESENT | (writable ? WRITABLE : 0n) | (user ? USER : 0n);
    const entry = BigInt(physical) | flags | (level > 1 ? LARGE : 0n);
    this.#access.write(this.#entryAddress(virtual, level), entry);
  }

  unmap(virtual: bigint, level = 1): void {
    this.#access.write(this.#entryAddress(virtual, level), 0n);
  }

  entry(virtual: bigint, level = 1): bigint {
    return this.#access.read(this.#entryAddress(virtual, level));
  }

  #entryAddress(virtual: bigint, level: number): number {
    let table = this.root;
    for (let at = this.#levels; ; at -= 1) {
      const index = (virtual >> BigInt(12 + 9 * (at - 1))) & 511n;
      const address = table + 8 * Number(index);
      if (at === level) return address;
      const entry = this.#access.read(address);
      if ((entry & PRESENT) !== 0n) table = Number(entry & 0xf_ffff_ffff_f000n);
      else {
        table = this.#allocate();
        this.#access.write(address, BigInt(table) | PRESENT | WRITABLE | USER);
      }
    }
  }

  #allocate(): number {
    const table = this.#next;
    this.#next += 4096;
    for (let i = 0; i < 512; i += 1) this.#access.write(table + 8 * i, 0n);
    return table;
  }
}
