import { highWord, lowWord } from "@viommu/plugin";
import { bits, MemoryType, MTRR_PHYSBASE, MTRR_PHYSMASK, MTRRDEF, Offset } from "@viommu/vtd-spec";
import { bitsInWord } from "./bit-field.ts";
import { decodeMtrrCap } from "./mtrr-capability.ts";
import type { MtrrCapability } from "./mtrr-capability.ts";
import type { Profile } from "./profile.ts";
import type { RegisterFile } from "./register-file.ts";

const { UC, WC, WT, WP, WB } = MemoryType;
const NO_MATCH = -1;

const E = bitsInWord(MTRRDEF, "E");
const FE = bitsInWord(MTRRDEF, "FE");
const DEFAULT_TYPE = bits(MTRRDEF, "TYPE").mask;
const TYPE = bits(MTRR_PHYSBASE, "TYPE").mask;
const V = bitsInWord(MTRR_PHYSMASK, "V");
const PAIR = MTRR_PHYSBASE.stride;

// The sub-ranges of the fixed-range MTRRs, 8 of 64 KiB, 16 of 16 KiB, 64 of 4 KiB: their types
// follow each other byte by byte (VT-d 11.4.12.3, table 50).
const FROM_16K = 0x8_0000;
const FROM_4K = 0xc_0000;
const FIXED_END = 0x10_0000;

/**
 * What the MTRRs say of a host physical address (VT-d 3.11.2). The registers are read anew for each
 * question. What the specification leaves undefined, overlaps of other types than UC, WT and WB, is
 * UC; so are types that are reserved, or WC without MTRRCAP.WC.
 */
export class MemoryTypeRanges {
  readonly #file: RegisterFile;
  readonly #capability: MtrrCapability;

  constructor(file: RegisterFile, profile: Profile) {
    this.#file = file;
    this.#capability = decodeMtrrCap(profile.mtrrCap);
  }

  /** The memory type of an address, one of `MemoryType`. */
  typeOf(hi: number, lo: number): number {
    const setting = this.#file.get(Offset.MTRRDEF);
    if ((setting & E) === 0) return UC;
    const isFixed = this.#capability.FIX !== 0 && (setting & FE) !== 0;
    if (isFixed && hi === 0 && lo < FIXED_END) return this.#fixed(lo);
    const type = this.#variable(lowWord(hi, lo), highWord(hi));
    return type === NO_MATCH ? this.#valid(setting & DEFAULT_TYPE) : type;
  }

  #fixed(address: number): number {
    const at = Offset.MTRR_FIX64K_00000 + subRange(address);
    return this.#valid((this.#file.get(at & ~3) >>> (8 * (at & 3))) & 0xff);
  }

  #variable(low: number, high: number): number {
    const file = this.#file;
    let found = NO_MATCH;
    for (let i = 0; i < this.#capability.VCNT; i++) {
      const base = Offset.MTRR_PHYSBASE0 + i * PAIR;
      const mask = Offset.MTRR_PHYSMASK0 + i * PAIR;
      if ((file.get(mask) & V) === 0) continue;
      // bits 10:0 of a mask are reserved, they are 0
      if (((low ^ file.get(base)) & file.get(mask) & ~V) !== 0) continue;
      if (((high ^ file.get(base + 4)) & file.get(mask + 4)) !== 0) continue;
      const type = this.#valid(file.get(base) & TYPE);
      found = found === NO_MATCH ? type : overlap(found, type);
    }
    return found;
  }

  /** A type as a register has it, or UC in place of what is none. */
  #valid(type: number): number {
    if (type === WC) return this.#capability.WC === 0 ? UC : WC;
    return type === WT || type === WP || type === WB ? type : UC;
  }
}

/** Number of the sub-range of an address below 1 MiB. */
function subRange(address: number): number {
  if (address < FROM_16K) return address >>> 16;
  if (address < FROM_4K) return 8 + ((address - FROM_16K) >>> 14);
  return 24 + ((address - FROM_4K) >>> 12);
}

function overlap(a: number, b: number): number {
  if (a === b) return a;
  return (a === WT && b === WB) || (a === WB && b === WT) ? WT : UC;
}
