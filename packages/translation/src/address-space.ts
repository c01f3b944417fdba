import type { Fillable } from "./filled-list.ts";
import type { Space, Walker } from "./walk.ts";

/** Tag of a space under which nothing is cached. */
const NO_TAG = -4;

/** What an entry says about the space behind it. */
export interface SpaceLayout {
  /** Equal for entries of one domain and PASID that describe the same space. */
  readonly key: string;
  readonly walker: Walker;
  /** Input addresses go through a first stage: alone, or nested. */
  readonly firstStage: boolean;
  /** Bits of an input address: 30 to 57. */
  readonly inputWidth: number;
  readonly rootHi: number;
  readonly rootLo: number;
  readonly levels: number;
}

/** A space without tables. */
export function passThroughLayout(key: string, walker: Walker, inputWidth: number): SpaceLayout {
  return { key, walker, firstStage: false, inputWidth, rootHi: 0, rootLo: 0, levels: 0 };
}

/** Where a space is registered. */
export interface SpaceScope {
  /** Something is being cached under the present tag of the space. */
  noteFilled(space: AddressSpace): void;
  /** Nothing leads to the space any more. */
  drop(space: AddressSpace): void;
}

/**
 * A mapping from input to output addresses: what one context entry or PASID table entry describes.
 * Devices whose entries say the same share one.
 *
 * All spaces have this one class: the hit path reads `tag` and `seed` only. What a kind of space
 * needs besides lies in its walker.
 */
export class AddressSpace implements Space, Fillable {
  tag: number = NO_TAG;
  seed = 0;
  /** Sizes of large pages in the IOTLB: bit 0 2 MiB, bit 1 1 GiB. */
  largePages = 0;
  /** Not -1 when something may be cached under the present tag. */
  filledAt = -1;
  /** Null while the space is not registered: nothing may be cached for it then. */
  scope: SpaceScope | null = null;
  readonly attachments = new Set<Attachment>();
  readonly key: string;
  readonly walker: Walker;
  readonly firstStage: boolean;
  readonly inputShift: number;
  readonly rootHi: number;
  readonly rootLo: number;
  readonly levels: number;

  constructor(layout: SpaceLayout) {
    this.key = layout.key;
    this.walker = layout.walker;
    this.firstStage = layout.firstStage;
    this.inputShift = layout.inputWidth - 30;
    this.rootHi = layout.rootHi;
    this.rootLo = layout.rootLo;
    this.levels = layout.levels;
  }

  /** Makes everything unreachable that is cached for this space. */
  retag(tag: number): void {
    this.tag = tag;
    this.seed = Math.imul(tag, 0x9e37_79b1) >>> 8;
    this.largePages = 0;
  }
}

/** A cached way from a requester to its address space: the entries on the way, decoded. */
export interface Attachment {
  readonly sourceId: number;
  /** Which requests of the source: those without PASID, or those with one (context-cache.ts). */
  readonly way: number;
  readonly space: AddressSpace;
  /** FPD of an entry on the way: qualified faults are not recorded. */
  readonly suppressed: boolean;
  /** Translation requests and translated requests are allowed. */
  readonly deviceTlb: boolean;
}
