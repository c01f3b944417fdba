import { Access, hiFromWords, loFromWords } from "@viommu/plugin";
import { PASID_ENTRY, PasidTranslationType, reservedMask } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { passThroughLayout } from "./address-space.ts";
import type { SpaceLayout } from "./address-space.ts";
import { inputWidth, isWidthSupported, levelsOf } from "./address-width.ts";
import { MEMORY_FLAGS } from "./memory-type.ts";
import { anyReserved } from "./reserved-masks.ts";
import type { ScalableWalkers, SecondStageFlags } from "./scalable-walkers.ts";

const PAGE = 0x3fff_f000;

// PASID table entry (VT-d 9.6): words 0, 2 and 4
const AW = 7 << 2;
const SSADE = 1 << 9;
const PWSNP = 1 << 23;
const PGSNP = 1 << 24;
const WPE = 1 << 4;
const EAFE = 1 << 7;
// word 8
const HPTSZ = 3;

/** FSPM: 0 for four levels, 1 for five. */
const FIVE_LEVELS = 1;

/** Turns PASID table entries into address spaces (VT-d 9.6; conditions SPT.3, SPT.4 of 7.1.3). */
export class PasidSpaces {
  /** The space of translated requests that need no permission. */
  readonly translated: SpaceLayout;
  private readonly capabilities: Capabilities;
  private readonly hostAddressWidth: number;
  private readonly walkers: ScalableWalkers;
  private readonly reserved: Int32Array;
  /** For translation types without second stage. */
  private readonly reservedWithout: Int32Array;

  constructor(capabilities: Capabilities, hostAddressWidth: number, walkers: ScalableWalkers) {
    this.capabilities = capabilities;
    this.hostAddressWidth = hostAddressWidth;
    this.walkers = walkers;
    this.reserved = reservedMask(PASID_ENTRY, capabilities, hostAddressWidth);
    this.translated = passThroughLayout(
      "translated in scalable mode",
      walkers.passThrough(0),
      hostAddressWidth,
    );
    // docs/adr/0004: guests set AW in first-stage entries of units without second stage
    this.reservedWithout = this.reserved.slice();
    this.reservedWithout[0]! &= ~AW;
  }

  /** Whether a present entry has a reserved bit set. */
  isReserved(words: Int32Array): boolean {
    const type = typeOf(words);
    const withoutSecondStage =
      type === PasidTranslationType.FIRST_STAGE || type === PasidTranslationType.PASS_THROUGH;
    return anyReserved(words, withoutSecondStage ? this.reservedWithout : this.reserved);
  }

  /** The host permission table of an entry without reserved bits, as a space. */
  permissionsOf(words: Int32Array): SpaceLayout {
    const rootHi = hiFromWords(words[8]!, words[9]!);
    const rootLo = loFromWords(words[8]!) & PAGE;
    const inputWidth = 49 + (words[8]! & HPTSZ);
    return {
      key: `permissions,${rootHi},${rootLo},${inputWidth}`,
      walker: this.walkers.hostPermission,
      firstStage: false,
      inputWidth,
      rootHi,
      rootLo,
      levels: 4,
      under: null,
      memoryFlags: 0,
      pat: 0,
    };
  }

  /**
   * The space behind an entry without reserved bits; null if the unit doesn't offer it.
   * @param privileged for supervisor requests
   */
  layoutOf(words: Int32Array, privileged: boolean): SpaceLayout | null {
    const { FSTS, NEST, PT, SSTS } = this.capabilities;
    switch (typeOf(words)) {
      case PasidTranslationType.FIRST_STAGE:
        return FSTS !== 0 ? this.firstStage(words, privileged, null) : null;
      case PasidTranslationType.SECOND_STAGE:
        return SSTS !== 0 ? this.secondStage(words) : null;
      case PasidTranslationType.NESTED:
        return NEST !== 0 ? this.nested(words, privileged) : null;
      case PasidTranslationType.PASS_THROUGH:
        return PT !== 0 ? this.passThrough(words) : null;
      default:
        return null;
    }
  }

  private passThrough(words: Int32Array): SpaceLayout {
    const snoop = snoopOf(words);
    const walker = this.walkers.passThrough(snoop);
    const { memoryFlags } = memoryOf(words);
    const key = `pass-through,${snoop},${memoryFlags}`;
    return passThroughLayout(key, walker, this.hostAddressWidth, memoryFlags);
  }

  private firstStage(
    words: Int32Array,
    supervisor: boolean,
    second: SpaceLayout | null,
  ): SpaceLayout | null {
    const paging = (words[4]! >>> 2) & 3;
    if (paging > FIVE_LEVELS) return null;
    if (paging === FIVE_LEVELS && this.capabilities.FS5LP === 0) return null;
    const rootHi = hiFromWords(words[4]!, words[5]!);
    const rootLo = loFromWords(words[4]!) & PAGE;
    const kind = {
      supervisor,
      writeProtect: !supervisor || (words[4]! & WPE) !== 0,
      extendedAccessed: (words[4]! & EAFE) !== 0,
      walkSnoops: (words[2]! & PWSNP) !== 0,
      snoop: snoopOf(words),
    };
    const { walkers } = this;
    const memory = memoryOf(words);
    return {
      key: `first,${rootHi},${rootLo},${paging},${flagsKey(kind)},${flagsKey(memory)},${second?.key}`,
      walker:
        second === null ? walkers.firstStage(kind) : walkers.nested(kind, secondStageKind(words)),
      firstStage: true,
      inputWidth: paging === FIVE_LEVELS ? 57 : 48,
      rootHi,
      rootLo,
      levels: paging === FIVE_LEVELS ? 5 : 4,
      under: second,
      ...memory,
    };
  }

  private nested(words: Int32Array, supervisor: boolean): SpaceLayout | null {
    const second = this.secondStage(words);
    if (second === null) return null;
    const first = this.firstStage(words, supervisor, second);
    if (first === null || first.rootHi >>> (second.inputWidth - 30) !== 0) return null;
    return first;
  }

  private secondStage(words: Int32Array): SpaceLayout | null {
    const aw = (words[0]! & AW) >>> 2;
    if (!isWidthSupported(this.capabilities, aw)) return null;
    const rootHi = hiFromWords(words[0]!, words[1]!);
    const rootLo = loFromWords(words[0]!) & PAGE;
    const kind = secondStageKind(words);
    const memory = memoryOf(words);
    return {
      key: `second,${rootHi},${rootLo},${aw},${flagsKey(kind)},${flagsKey(memory)}`,
      walker: this.walkers.secondStage(kind),
      firstStage: false,
      inputWidth: inputWidth(this.capabilities, aw),
      rootHi,
      rootLo,
      levels: levelsOf(aw),
      under: null,
      ...memory,
    };
  }
}

function typeOf(words: Int32Array): number {
  return (words[0]! >>> 6) & 7;
}

/** What PGSNP adds to the answers: `Access.SNOOP` or nothing. */
function snoopOf(words: Int32Array): number {
  return (words[2]! & PGSNP) !== 0 ? Access.SNOOP : 0;
}

function secondStageKind(words: Int32Array): SecondStageFlags {
  return {
    setsFlags: (words[0]! & SSADE) !== 0,
    walkSnoops: (words[2]! & PWSNP) !== 0,
    snoop: snoopOf(words),
  };
}

/** What an entry says about memory types; reserved without MTS. */
function memoryOf(words: Int32Array): { memoryFlags: number; pat: number } {
  return { memoryFlags: words[2]! & MEMORY_FLAGS, pat: words[3]! };
}

function flagsKey(kind: object): string {
  return Object.values(kind).join();
}
