import type { P2m, P2mRun } from "./p2m.ts";

/** Pages of a region: a bitmap of 512 bytes. */
const REGION = 4096;

/** Guest frames that devices have written, or may have, since the host asked last. */
export class DirtyPages {
  readonly #p2m: P2m;
  readonly #regions = new Map<number, Uint32Array>();
  readonly #run: P2mRun = { mfn: 0, count: 0, rights: 0 };

  constructor(p2m: P2m) {
    this.#p2m = p2m;
  }

  /** Notes frames; those that no device can reach are left out, so the p2m bounds the memory. */
  add(gfn: number, count: number): void {
    const run = this.#run;
    const end = gfn + count;
    for (let at = gfn; at < end; at += run.count) {
      this.#p2m.lookup(at, run);
      if (run.rights !== 0) this.#set(at, Math.min(run.count, end - at));
    }
  }

  /** Tells of the noted frames among `count` from `gfn` on, and forgets them. */
  take(gfn: number, count: number, tell: (gfn: number) => void): void {
    const end = gfn + count;
    for (const [region, bits] of this.#regions) {
      const base = region * REGION;
      if (base >= end || base + REGION <= gfn) continue;
      for (const [index, word] of bits.entries()) {
        if (word !== 0) bits[index] = takeWord(word, base + 32 * index, gfn, end, tell);
      }
      if (bits.every((word) => word === 0)) this.#regions.delete(region);
    }
  }

  clear(): void {
    this.#regions.clear();
  }

  #set(gfn: number, count: number): void {
    for (let at = gfn; at < gfn + count; at++) {
      const region = Math.floor(at / REGION);
      let bits = this.#regions.get(region);
      if (bits === undefined) {
        bits = new Uint32Array(REGION / 32);
        this.#regions.set(region, bits);
      }
      const page = at % REGION;
      bits[page >>> 5]! |= 1 << (page & 31);
    }
  }
}

/** Tells of the bits of one word that are in the range; returns the others. */
function takeWord(
  word: number,
  base: number,
  first: number,
  end: number,
  tell: (gfn: number) => void,
): number {
  let rest = word;
  for (let bit = 0; bit < 32; bit++) {
    const gfn = base + bit;
    if ((word & (1 << bit)) === 0 || gfn < first || gfn >= end) continue;
    rest &= ~(1 << bit);
    tell(gfn);
  }
  return rest;
}
