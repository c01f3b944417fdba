import { Access, hiFromWords, loFromWords } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";
import { FaultReason, HPTL1E, HPTL2E, HPTL3E, HPTL4E, reservedMask } from "@viommu/vtd-spec";
import type { Capabilities, Layout } from "@viommu/vtd-spec";
import { isInterruptAddress } from "./interrupt-range.ts";
import { anyReserved } from "./reserved-masks.ts";
import { TableReader } from "./table-reader.ts";
import type { Space, Walk, Walker } from "./walk.ts";

const RIGHTS = Access.READ | Access.WRITE;
const PAGE = 0x3fff_f000;
/** Words of an entry; the third one has AV and, with the fourth, ADDR. */
const WORDS = 4;
const AV = 1;

/**
 * The host permission table (VT-d 4.2.4): the host physical pages that a device may reach by
 * translated requests. Output address = input address; the rights are those of the first page
 * permission PP that is not 0 on the way down.
 */
export class HostPermissionWalker implements Walker {
  private readonly reader: TableReader;
  /** Reserved bits of an entry, by level - 1. */
  private readonly reserved: readonly Int32Array[];
  private readonly hostShift: number;

  constructor(memory: GuestMemory, capabilities: Capabilities, hostAddressWidth: number) {
    const maskOf = (layout: Layout): Int32Array =>
      reservedMask(layout, capabilities, hostAddressWidth);
    this.reader = new TableReader(memory);
    this.reserved = [HPTL1E, HPTL2E, HPTL3E, HPTL4E].map(maskOf);
    this.hostShift = hostAddressWidth - 30;
  }

  walk(space: Space, hi: number, lo: number, need: number, walk: Walk): number {
    if (hi >>> space.inputShift !== 0) return FaultReason.HPT_ADDRESS_BEYOND_SIZE;
    if (hi >>> this.hostShift !== 0) return FaultReason.SM_HOST_WIDTH;
    if (isInterruptAddress(hi, lo)) return FaultReason.SM_OUTPUT_IN_INTERRUPT_RANGE;

    const { words } = this.reader;
    // the top table has up to 32 KiB
    const top = space.rootLo + ((hi >>> 11) << 4);
    let reason = this.read(4, space.rootHi + (top >>> 30), top & 0x3fff_ffff);
    let level = 4;
    let granted = 0;
    while (reason === 0 && granted === 0 && level > 1 && (words[2]! & AV) !== 0) {
      level -= 1;
      const index = indexOf(level, hi, lo);
      const tableHi = hiFromWords(words[2]!, words[3]! & 0xf_ffff); // the rest is ignored
      reason = this.read(level, tableHi, (loFromWords(words[2]!) & PAGE) | (index << 4));
      granted = pagePermission(words, level, hi, lo);
    }
    if (reason !== 0) return reason;
    if (granted === 0 || (need & ~granted) !== 0) return denial(need, granted);
    walk.outHi = hi;
    walk.outLo = lo;
    walk.pageShift = 9 * level + 3;
    walk.granted = granted | Access.BYPASS;
    return 0;
  }

  /** Reads the entry of a level: 0, or the fault reason. */
  private read(level: number, hi: number, lo: number): number {
    if (!this.reader.read(hi, lo, WORDS)) {
      return level === 4 ? FaultReason.HPT_ROOT_ACCESS : FaultReason.HPT_ENTRY_ACCESS;
    }
    const reserved = this.reserved[level - 1]!;
    return anyReserved(this.reader.words, reserved) ? FaultReason.HPT_RESERVED : 0;
  }
}

/** Number of the entry for an address in a table of level 3, 2 or 1 (VT-d 4.2.4, table 11). */
function indexOf(level: number, hi: number, lo: number): number {
  if (level === 3) return (hi >>> 3) & 0xff;
  if (level === 2) return ((hi & 7) << 5) | (lo >>> 25);
  return (lo >>> 17) & 0xff;
}

/** R and W of the PP for an address in an entry of level 3, 2 or 1 (VT-d 9.12, table 48). */
function pagePermission(words: Int32Array, level: number, hi: number, lo: number): number {
  const page = level === 3 ? hi & 7 : level === 2 ? (lo >>> 21) & 0xf : (lo >>> 12) & 0x1f;
  return (words[page >>> 3]! >>> ((page & 7) << 2)) & RIGHTS;
}

/** @param need 0 for a zero-length read that any right would do for */
function denial(need: number, granted: number): number {
  if (need === 0) return FaultReason.HPT_ZERO_LENGTH_DENIED;
  const write = (need & ~granted & Access.WRITE) !== 0;
  return write ? FaultReason.HPT_WRITE_DENIED : FaultReason.HPT_READ_DENIED;
}
