import type { ScalableGuest } from "./scalable-guest.ts";

type Descriptor = readonly [bigint, bigint];

/** Size of what an entry of each level is for, by level - 1: 128 KiB, 32 MiB, 8 GiB, 2 TiB. */
const SPAN_SHIFTS = [17n, 25n, 33n, 41n] as const;
const RIGHTS = 3n;
const AV = 1n;

/** A host permission table as a guest writes it: 16-byte entries, pages of 4 KiB (VT-d 9.12). */
export class HostPermissions {
  readonly guest: ScalableGuest;
  readonly id: bigint;
  readonly root: bigint;

  constructor(guest: ScalableGuest, id: bigint) {
    this.guest = guest;
    this.id = id;
    this.root = guest.alloc();
  }

  /** Points the entry of a PASID to it: for all of a device if that is its RID_PASID (VT-d 9.6). */
  bind(pasid: number): this {
    const entry = this.guest.pasidEntry(pasid);
    this.guest.put128(entry + 32n, this.root, this.id);
    return this;
  }

  /** Gives a page rights: R = 1, W = 2; what knows of the entry must be told by {@link page}. */
  set(address: bigint, rights: bigint): this {
    const entry = this.#entry(address);
    const index = (address >> 12n) & 31n;
    const word = entry + 8n * (index >> 4n);
    const shift = 4n * (index & 15n);
    const others = this.guest.get64(word) & ~(RIGHTS << shift);
    this.guest.put64(word, others | (rights << shift));
    return this;
  }

  /** Drops a page of it from the HPT cache, at all levels (VT-d 6.5.2.7). */
  page(address: bigint): Descriptor {
    return [(this.id << 16n) | 0x3an, address | 0xc0n];
  }

  /** Address of the level 1 entry for a page; makes the tables above it. */
  #entry(address: bigint): bigint {
    const { guest } = this;
    let table = this.root;
    for (let level = 4; ; level -= 1) {
      const entry = table + 16n * ((address >> SPAN_SHIFTS[level - 1]!) & 0xffn);
      if (level === 1) return entry;
      const link = guest.get64(entry + 8n);
      if ((link & AV) === 0n) guest.put64(entry + 8n, guest.alloc() | AV);
      table = guest.get64(entry + 8n) & ~0xfffn;
    }
  }
}
