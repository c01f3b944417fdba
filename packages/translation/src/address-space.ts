import { PlacedList } from "./placed-list.ts";
import type { Placed } from "./placed-list.ts";
import type { Space, Walker } from "./walk.ts";

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
  /** The second stage below a first one (VT-d 3.8), else null. */
  readonly under: SpaceLayout | null;
  /** CD and EMTE of the PASID table entry, in place. */
  readonly memoryFlags: number;
  /** PAT of the PASID table entry. */
  readonly pat: number;
}

const NO_TABLES = { firstStage: false, rootHi: 0, rootLo: 0, levels: 0, under: null, pat: 0 };

/** A space without tables. */
export function passThroughLayout(
  key: string,
  walker: Walker,
  inputWidth: number,
  memoryFlags = 0,
): SpaceLayout {
  return { ...NO_TABLES, key, walker, inputWidth, memoryFlags };
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
 * Devices whose entries say the same share one. What a kind of space needs besides lies in its
 * walker: all spaces have this one class.
 */
export class AddressSpace implements Space, Placed {
  /** 0: nothing is cached for it. */
  tag = 0;
  /** Not -1 when something may be cached under the present tag. */
  place = -1;
  /** Null while the space is not registered: nothing may be cached for it then. */
  scope: SpaceScope | null = null;
  /** The ways that lead here. */
  readonly attachments: PlacedList<Attachment> = new PlacedList<Attachment>();
  /** Registered spaces that lie above this one. */
  users = 0;
  readonly key: string;
  readonly walker: Walker;
  readonly firstStage: boolean;
  readonly inputShift: number;
  readonly rootHi: number;
  readonly rootLo: number;
  readonly levels: number;
  readonly under: AddressSpace | null;
  readonly memoryFlags: number;
  readonly pat: number;

  /** @param under for a nested layout: the space of its second stage */
  constructor(layout: SpaceLayout, under: AddressSpace | null = null) {
    this.key = layout.key;
    this.walker = layout.walker;
    this.firstStage = layout.firstStage;
    this.inputShift = layout.inputWidth - 30;
    this.rootHi = layout.rootHi;
    this.rootLo = layout.rootLo;
    this.levels = layout.levels;
    this.under = under;
    this.memoryFlags = layout.memoryFlags;
    this.pat = layout.pat;
  }
}

/** `Attachment.way` of requests without PASID. */
export const OWN_WAY = -1;

/** A cached way from a requester to its address space: the entries on the way, decoded. */
export interface Attachment extends Placed {
  readonly sourceId: number;
  /** Which requests of the source: those without PASID, or those with one. */
  readonly way: number;
  readonly space: AddressSpace;
  /** FPD of an entry on the way: qualified faults are not recorded. */
  readonly suppressed: boolean;
  /** Translation requests and translated requests are allowed. */
  readonly deviceTlb: boolean;
}
