import { OWN_WAY } from "./address-space.ts";
import type { AddressSpace } from "./address-space.ts";

/** Number of source-ids. */
const SOURCES = 0x1_0000;
/** Ways at hand that are no own ones, as a power of two. */
const WAYS = 1024;

/** Stands for every source-id while remapping is off. */
export const ANY_SOURCE: number = SOURCES;

/**
 * The tables that the hit path begins with: the tag of the space that a way leads to, 0 where none is
 * cached. Own ways have a place each, by source-id. (One read of an integer; a space object would cost
 * two more tables and three checks.) The others share places: a way that has lost its place to another
 * one gets it back when it is used the long way.
 */
export class SourceTags {
  /** Of requests without PASID, indexed by source-id. */
  readonly bySource: Int32Array;
  /** The same while remapping is off: one tag, at index 0. */
  readonly off: Int32Array;
  /** Four words a place: source-id, way, tag, unused. */
  private readonly ways = new Int32Array(WAYS << 2);

  constructor() {
    this.bySource = new Int32Array(SOURCES + 1);
    this.off = this.bySource.subarray(ANY_SOURCE);
  }

  /** The tag for a way that is no own one, or 0. */
  find(sourceId: number, way: number): number {
    const place = placeOf(sourceId, way);
    const { ways } = this;
    return ways[place] === sourceId && ways[place | 1] === way ? ways[place | 2]! : 0;
  }

  /** Takes over the present tag of a space for all that lead to it. */
  update(space: AddressSpace): void {
    const { items } = space.attachments;
    for (let i = 0; i < items.length; i += 1) {
      const { sourceId, way } = items[i]!;
      if (way === OWN_WAY) this.bySource[sourceId] = space.tag;
      else if (this.find(sourceId, way) !== 0) this.set(sourceId, way, space.tag);
    }
  }

  /** Requests that go this way go to the space of this tag. */
  set(sourceId: number, way: number, tag: number): void {
    if (way === OWN_WAY) {
      this.bySource[sourceId] = tag;
      return;
    }
    const place = placeOf(sourceId, way);
    this.ways[place] = sourceId;
    this.ways[place | 1] = way;
    this.ways[place | 2] = tag;
  }

  /** The way is not cached any more. */
  forget(sourceId: number, way: number): void {
    if (way === OWN_WAY || this.find(sourceId, way) !== 0) this.set(sourceId, way, 0);
  }
}

/** Ways of one device lie side by side. */
function placeOf(sourceId: number, way: number): number {
  return (((Math.imul(sourceId, 0x9e37_79b1) >>> 16) + way) << 2) & ((WAYS << 2) - 1);
}
