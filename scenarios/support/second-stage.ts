import type { Guest } from "./guest.ts";

export const R = 1n;
export const RW = 3n;
export const PAGE = 0x1000n;
export const PAGE_2M = 1n << 21n;
const PAGE_1G = 1n << 30n;

/** A second-stage table as a guest writes it: 8-byte entries, 512 per page (VT-d 9.8). */
export class SecondStage {
  readonly guest: Guest;
  readonly levels: number;
  readonly root: bigint;
  /** Low bits of the entries that lead to other tables. */
  readonly link: bigint = RW;

  constructor(guest: Guest, levels = 4) {
    this.guest = guest;
    this.levels = levels;
    this.root = guest.alloc();
  }

  /** Maps one page of `size` bytes; `rights` are the entry's low bits. */
  map(iova: bigint, gpa: bigint, rights = RW, size = PAGE): this {
    const leaf = size === PAGE_1G ? 3 : size === PAGE_2M ? 2 : 1;
    this.put(iova, leaf, gpa | rights | (leaf > 1 ? 0x80n : 0n));
    return this;
  }

  /** Writes the entry for `iova` at a level as it is, with all tables above it. */
  put(iova: bigint, level: number, entry: bigint): this {
    this.guest.put64(this.entryAddress(iova, level), entry);
    return this;
  }

  /** Guest-physical address of the entry for `iova` at a level. */
  entryAddress(iova: bigint, level: number): bigint {
    let table = this.root;
    for (let at = this.levels; ; at -= 1) {
      const address = table + ((iova >> BigInt(12 + 9 * (at - 1))) & 511n) * 8n;
      if (at === level) return address;
      const next = this.guest.get64(address);
      if ((next & RW) === 0n) {
        table = this.guest.alloc();
        this.guest.put64(address, table | this.link);
      } else {
        table = next & 0x000f_ffff_ffff_f000n;
      }
    }
  }
}
