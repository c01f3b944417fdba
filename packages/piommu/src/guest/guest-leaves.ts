import { pagesIn } from "../page-order.ts";

/** A page of a guest's second stage, as it was when last synchronised: a caller-owned object. */
export interface GuestLeaf {
  /** First page of the input. */
  dfn: number;
  /** First guest frame. */
  gfn: number;
  /** log2 of the number of 4 KiB pages: 0, 9 or 18. */
  order: number;
  /** Bits of `MapFlag`. */
  flags: number;
}

const ENTRIES = 512;
const FLAG_BITS = 8;
const NONE = -1;
const FIRST_HEADS = 1024;

/** One table: its entries, and for those that are leaves their neighbours in a chain. */
interface Node {
  /** 0 nothing, above 0 a leaf (gfn × 8 + flags), below 0 minus the number of a lower table. */
  readonly entries: Float64Array;
  readonly next: Int32Array;
  readonly previous: Int32Array;
  /** 1 for tables of 4 KiB pages. */
  readonly level: number;
  /** First page of its input. */
  readonly base: number;
  readonly parent: number;
  used: number;
}

/**
 * What the shadow of a second stage was made from: the guest's leaves as of the last
 * synchronisation, by input page, and by guest frame. A change of the p2m finds the pages that it
 * concerns here and needs no walk of guest memory; so a shadow never shows what the guest has
 * written since, without an invalidation.
 *
 * A table of 512 entries costs 8 KiB, whatever the guest makes of it; chains are doubly linked, so
 * that a guest which maps one frame a million times does not make removal slow.
 */
export class GuestLeaves {
  readonly #levels: number;
  readonly #nodes: (Node | undefined)[] = [];
  readonly #free: number[] = [];
  /** Empty tables, some of those that went last. */
  readonly #spare: Node[] = [];
  #heads = new Int32Array(FIRST_HEADS).fill(NONE);
  #count = 0;

  /** @param levels of the guest's tables, 3 to 5 */
  constructor(levels: number) {
    this.#levels = levels;
    this.#allocate(levels, 0, NONE);
  }

  /** Number of leaves. */
  get count(): number {
    return this.#count;
  }

  /** Tables in use. */
  get tables(): number {
    return this.#nodes.length - this.#free.length;
  }

  /** The leaf that covers `dfn`. */
  find(dfn: number, out: GuestLeaf): boolean {
    let node = this.#nodes[0]!;
    for (;;) {
      const index = indexIn(node, dfn);
      const entry = node.entries[index]!;
      if (entry === 0) return false;
      if (entry > 0) {
        fill(node, index, out);
        return true;
      }
      node = this.#nodes[-entry]!;
    }
  }

  /** The first leaf that covers a page from `dfn` on, below `end`. */
  findFrom(dfn: number, end: number, out: GuestLeaf): boolean {
    let at = dfn;
    while (at < end) {
      let node = this.#nodes[0]!;
      let index = indexIn(node, at);
      for (;;) {
        const limit = Math.min(ENTRIES, Math.ceil((end - node.base) / pagesOf(node.level)));
        while (index < limit && node.entries[index] === 0) index += 1;
        if (index >= limit) {
          if (limit < ENTRIES) return false;
          break;
        }
        const entry = node.entries[index]!;
        if (entry > 0) {
          fill(node, index, out);
          return true;
        }
        node = this.#nodes[-entry]!;
        index = at > node.base ? indexIn(node, at) : 0;
      }
      at = node.base + ENTRIES * pagesOf(node.level);
    }
    return false;
  }

  /** Adds a leaf in a place where there is none. */
  add(leaf: GuestLeaf): void {
    const level = leaf.order / 9 + 1;
    let number = 0;
    let node = this.#nodes[0]!;
    while (node.level > level) {
      const index = indexIn(node, leaf.dfn);
      const entry = node.entries[index]!;
      if (entry < 0) {
        number = -entry;
      } else {
        const base = node.base + index * pagesOf(node.level);
        const lower = this.#allocate(node.level - 1, base, number);
        node.entries[index] = -lower;
        node.used += 1;
        number = lower;
      }
      node = this.#nodes[number]!;
    }
    const index = indexIn(node, leaf.dfn);
    node.entries[index] = leaf.gfn * FLAG_BITS + leaf.flags;
    node.used += 1;
    this.#count += 1;
    if (this.#count > this.#heads.length) this.#grow();
    else this.#link(number, index);
  }

  /** Gives the leaf at `dfn`, of this order, another frame and other rights. */
  replace({ dfn, flags, gfn, order }: GuestLeaf): void {
    const number = this.#tableOf(dfn, order);
    const node = this.#nodes[number]!;
    const index = indexIn(node, dfn);
    this.#unlink(number, index);
    node.entries[index] = gfn * FLAG_BITS + flags;
    this.#link(number, index);
  }

  /** Removes a leaf that was found. */
  remove(leaf: GuestLeaf): void {
    let number = this.#tableOf(leaf.dfn, leaf.order);
    let node = this.#nodes[number]!;
    const index = indexIn(node, leaf.dfn);
    this.#unlink(number, index);
    node.entries[index] = 0;
    node.used -= 1;
    this.#count -= 1;
    // empty tables go, up to the top one, which stays
    while (node.used === 0 && number !== 0) {
      this.#nodes[number] = undefined;
      this.#free.push(number);
      if (this.#spare.length < this.#levels) this.#spare.push(node);
      number = node.parent;
      const parent = this.#nodes[number]!;
      parent.entries[indexIn(parent, node.base)] = 0;
      parent.used -= 1;
      node = parent;
    }
  }

  /** Tells of each leaf that covers one of `count` guest frames from `gfn` on. */
  forFrames(gfn: number, count: number, tell: (leaf: GuestLeaf) => void): void {
    for (const order of [0, 9, 18]) {
      const pages = pagesIn(order);
      const first = Math.floor(gfn / pages);
      const last = Math.floor((gfn + count - 1) / pages);
      if (last - first >= this.#heads.length) {
        this.#scan(gfn, count, order, tell);
        continue;
      }
      for (let block = first; block <= last; block++) this.#tellChain(block, order, tell);
    }
  }

  /** Number of the table that holds a leaf which is there. */
  #tableOf(dfn: number, order: number): number {
    const level = order / 9 + 1;
    let number = 0;
    for (let node = this.#nodes[0]!; node.level > level; node = this.#nodes[number]!) {
      number = -node.entries[indexIn(node, dfn)]!;
    }
    return number;
  }

  #tellChain(block: number, order: number, tell: (leaf: GuestLeaf) => void): void {
    const leaf: GuestLeaf = { dfn: 0, gfn: 0, order: 0, flags: 0 };
    let slot = this.#heads[this.#hash(block, order)]!;
    while (slot !== NONE) {
      const node = this.#nodes[Math.floor(slot / ENTRIES)]!;
      const index = slot % ENTRIES;
      slot = node.next[index]!;
      fill(node, index, leaf);
      if (leaf.order === order && Math.floor(leaf.gfn / pagesIn(order)) === block) tell(leaf);
    }
  }

  /** For ranges with more blocks than there are chains. */
  #scan(gfn: number, count: number, order: number, tell: (leaf: GuestLeaf) => void): void {
    const leaf: GuestLeaf = { dfn: 0, gfn: 0, order: 0, flags: 0 };
    const end = ENTRIES ** this.#levels;
    for (let at = 0; this.findFrom(at, end, leaf); at = leaf.dfn + pagesIn(leaf.order)) {
      const overlaps = leaf.gfn < gfn + count && gfn < leaf.gfn + pagesIn(leaf.order);
      if (leaf.order === order && overlaps) tell(leaf);
    }
  }

  #allocate(level: number, base: number, parent: number): number {
    const number = this.#free.pop() ?? this.#nodes.length;
    const {
      entries = new Float64Array(ENTRIES),
      next = new Int32Array(ENTRIES),
      previous = new Int32Array(ENTRIES),
    } = this.#spare.pop() ?? {};
    this.#nodes[number] = {
      entries,
      next,
      previous,
      level,
      base,
      parent,
      used: 0,
    };
    return number;
  }

  #link(number: number, index: number): void {
    const node = this.#nodes[number]!;
    const slot = number * ENTRIES + index;
    const hash = this.#hashOf(node, index);
    const head = this.#heads[hash]!;
    node.next[index] = head;
    node.previous[index] = NONE;
    if (head !== NONE) this.#nodes[Math.floor(head / ENTRIES)]!.previous[head % ENTRIES] = slot;
    this.#heads[hash] = slot;
  }

  #unlink(number: number, index: number): void {
    const node = this.#nodes[number]!;
    const next = node.next[index]!;
    const previous = node.previous[index]!;
    if (next !== NONE) {
      this.#nodes[Math.floor(next / ENTRIES)]!.previous[next % ENTRIES] = previous;
    }
    if (previous === NONE) this.#heads[this.#hashOf(node, index)] = next;
    else this.#nodes[Math.floor(previous / ENTRIES)]!.next[previous % ENTRIES] = next;
  }

  /** Doubles the number of chains. */
  #grow(): void {
    this.#heads = new Int32Array(2 * this.#heads.length).fill(NONE);
    for (const [number, node] of this.#nodes.entries()) {
      if (node === undefined) continue;
      for (let index = 0; index < ENTRIES; index++) {
        if (node.entries[index]! > 0) this.#link(number, index);
      }
    }
  }

  #hashOf(node: Node, index: number): number {
    const gfn = Math.floor(node.entries[index]! / FLAG_BITS);
    return this.#hash(Math.floor(gfn / pagesOf(node.level)), orderOf(node.level));
  }

  #hash(block: number, order: number): number {
    const mixed = Math.imul((block | 0) ^ Math.floor(block / 2 ** 32) ^ (order << 26), 0x9e3779b1);
    return (mixed >>> 7) & (this.#heads.length - 1);
  }
}

const orderOf = (level: number): number => 9 * (level - 1);

const pagesOf = (level: number): number => pagesIn(orderOf(level));

const indexIn = (node: Node, dfn: number): number =>
  Math.floor((dfn - node.base) / pagesOf(node.level));

function fill(node: Node, index: number, out: GuestLeaf): void {
  const entry = node.entries[index]!;
  out.dfn = node.base + index * pagesOf(node.level);
  out.gfn = Math.floor(entry / FLAG_BITS);
  out.order = orderOf(node.level);
  out.flags = entry % FLAG_BITS;
}
