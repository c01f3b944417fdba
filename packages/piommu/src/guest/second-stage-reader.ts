import { MapFlag } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";
import {
  reservedMask,
  SS_PAGE_1G,
  SS_PAGE_2M,
  SS_PAGE_4K,
  SS_TABLE,
  SS_UPPER,
} from "@viommu/vtd-spec";
import type { Capabilities, Layout } from "@viommu/vtd-spec";
import { EntryReader, frameIn } from "./entry-reader.ts";
import type { SecondStage } from "./guest-stage.ts";

const RIGHTS = MapFlag.READ | MapFlag.WRITE;
const PS = 1 << 7;
const SNP = 1 << 11;
/** Place of IR and IW in the high word: as R and W in the low one. */
const IO_PERMISSIONS = 29;

/** Kinds of entries of a second stage. */
export const EntryKind = {
  /** Nothing is mapped: no right, a reserved bit, or no memory. */
  NONE: 0,
  /** A table of the next level. */
  TABLE: 1,
  /** A page. */
  PAGE: 2,
} as const;

/** Reads second-stage entries of one guest address space (VT-d 9.8); never throws. */
export class SecondStageReader {
  readonly #stage: SecondStage;
  readonly #reader: EntryReader;
  readonly #masks: Readonly<
    Record<"upper" | "table" | "page4K" | "page2M" | "page1G" | "high", number>
  >;
  /** Frame of the table or page of the entry read last. */
  frame = 0;
  /** Rights of the entry read last, and for a page `MapFlag.SNOOP`. */
  flags = 0;

  constructor(
    memory: GuestMemory,
    stage: SecondStage,
    capabilities: Capabilities,
    hostAddressWidth: number,
  ) {
    this.#stage = stage;
    this.#reader = new EntryReader(memory);
    // IW is reserved while SSIRWE is 0, with or without the capability
    const offered = { ...capabilities, SSIRWS: stage.ioPermissions ? 1 : 0 };
    const mask = (layout: Layout): Int32Array => reservedMask(layout, offered, hostAddressWidth);
    this.#masks = {
      upper: mask(SS_UPPER)[0]!,
      table: mask(SS_TABLE)[0]!,
      page4K: mask(SS_PAGE_4K)[0]!,
      page2M: mask(SS_PAGE_2M)[0]!,
      page1G: mask(SS_PAGE_1G)[0]!,
      high: mask(SS_PAGE_4K)[1]!,
    };
  }

  /** Reads an entry of a table of `level` (1 for 4 KiB pages): one of {@link EntryKind}. */
  read(table: number, index: number, level: number): number {
    const { words } = this.#reader;
    if (!this.#reader.read(table, index, 2)) return EntryKind.NONE;
    const low = words[0]!;
    const high = words[1]!;
    const rights = (this.#stage.ioPermissions ? high >>> IO_PERMISSIONS : low) & RIGHTS;
    if (rights === 0) return EntryKind.NONE;
    const isPage = level === 1 || ((low & PS) !== 0 && level < 4);
    if (((low & this.#reserved(level, isPage)) | (high & this.#masks.high)) !== 0) {
      return EntryKind.NONE;
    }
    this.frame = frameIn(words, 0);
    this.flags = rights;
    if (!isPage) return EntryKind.TABLE;
    if (this.#stage.snoop || (low & SNP) !== 0) this.flags |= MapFlag.SNOOP;
    return EntryKind.PAGE;
  }

  #reserved(level: number, isPage: boolean): number {
    const { page1G, page2M, page4K, table, upper } = this.#masks;
    if (level === 1) return page4K;
    if (!isPage) return level > 3 ? upper : table;
    return level === 2 ? page2M : page1G;
  }
}
