import { OWN_WAY } from "./address-space.ts";
import type { AddressSpace } from "./address-space.ts";

/** Number of source-ids. */
const SOURCES = 0x1_0000;

/** Stands for every source-id while remapping is off. */
export const ANY_SOURCE: number = SOURCES;

/**
 * The table that the hit path begins with: by source-id, the tag of the space that requests without
 * PASID go to, 0 where none is cached. (One read of an integer; a space object would cost two more
 * tables and three checks.)
 */
export class SourceTags {
  /** Indexed by source-id. */
  readonly bySource: Int32Array;
  /** The same while remapping is off: one tag, at index 0. */
  readonly off: Int32Array;

  constructor() {
    this.bySource = new Int32Array(SOURCES + 1);
    this.off = this.bySource.subarray(ANY_SOURCE);
  }

  /** Takes over the present tag of a space for all that lead to it. */
  update(space: AddressSpace): void {
    const { items } = space.attachments;
    for (let i = 0; i < items.length; i += 1) {
      const { sourceId, way } = items[i]!;
      if (way === OWN_WAY) this.bySource[sourceId] = space.tag;
    }
  }

  /** Requests of a source-id go to the space of this tag; 0: none. */
  set(sourceId: number, tag: number): void {
    this.bySource[sourceId] = tag;
  }
}
