import { hiFromWords, loFromWords, NO_PASID } from "@viommu/plugin";
import type { GuestMemory, PageRequest } from "@viommu/plugin";
import {
  bits,
  FaultReason,
  maxGuestAddressWidth,
  PASID_DIR_ENTRY,
  PASID_ENTRY,
  PasidTranslationType,
  reservedMask,
  SM_CONTEXT_ENTRY,
  SM_ROOT_ENTRY,
} from "@viommu/vtd-spec";
import type { Layout } from "@viommu/vtd-spec";
import { bitsInWord, valueOf } from "./bit-field.ts";
import type { Invalidator } from "./invalidator.ts";
import type { Profile } from "./profile.ts";
import type { TablePointers } from "./table-pointers.ts";

/** P and FPD have the same place in all entries; the halves of a root entry have no FPD. */
const P = bitsInWord(PASID_ENTRY, "P");
const FPD = bitsInWord(PASID_ENTRY, "FPD");
const DTE = bitsInWord(SM_CONTEXT_ENTRY, "DTE");
const PASIDE = bitsInWord(SM_CONTEXT_ENTRY, "PASIDE");
const PRE = bitsInWord(SM_CONTEXT_ENTRY, "PRE");
const EPTR = bitsInWord(SM_CONTEXT_ENTRY, "EPTR");
const PDTS = bits(SM_CONTEXT_ENTRY, "PDTS");
const RID_PASID = bits(SM_CONTEXT_ENTRY, "RID_PASID");
const AW = bits(PASID_ENTRY, "AW");
const PGTT = bits(PASID_ENTRY, "PGTT");
const DID = bits(PASID_ENTRY, "DID");
const FSPM = bits(PASID_ENTRY, "FSPM");

/** Word of FSPTPTR in a PASID table entry. */
const FSPTPTR = 4;

/** What page requests are checked with. */
export interface PageRequestTableParts {
  readonly profile: Profile;
  readonly memory: GuestMemory;
  readonly pointers: TablePointers;
  readonly invalidator: Invalidator;
}

/**
 * The scalable-mode tables as page requests use them: from the root entry to the PASID table entry,
 * whose paging structures are not walked (VT-d 7.4.1; column "page request" of the table in 7.1.3).
 * Nothing is cached, page requests are rare.
 */
export class PageRequestTables {
  readonly #parts: PageRequestTableParts;
  readonly #words = new Int32Array(16);
  readonly #reserved: Readonly<
    Record<"root" | "context" | "directory" | "entry" | "entryWithoutAw", Int32Array>
  >;
  #suppressed = false;
  /** PASID that the tables are looked up with: RID_PASID for a request without PASID. */
  #pasid = 0;

  constructor(parts: PageRequestTableParts) {
    this.#parts = parts;
    const { capabilities, hostAddressWidth } = parts.profile;
    const mask = (layout: Layout): Int32Array =>
      reservedMask(layout, capabilities, hostAddressWidth);
    const entry = mask(PASID_ENTRY);
    const entryWithoutAw = entry.slice();
    // docs/adr/0004: guests set AW in first-stage entries of units without second stage
    entryWithoutAw[AW.word]! &= ~(AW.mask << AW.shift);
    this.#reserved = {
      root: mask(SM_ROOT_ENTRY),
      context: mask(SM_CONTEXT_ENTRY),
      directory: mask(PASID_DIR_ENTRY),
      entry,
      entryWithoutAw,
    };
  }

  /** Whether FPD of an entry on the way keeps a qualified fault of the last request out of the log. */
  get suppressed(): boolean {
    return this.#suppressed;
  }

  /** Returns the fault reason, or 0 after the implicit invalidation of VT-d 6.5.3.1. */
  admit(request: PageRequest): number {
    this.#suppressed = false;
    const reason = this.#lookUp(request);
    if (reason === 0) this.#invalidate(request);
    return reason;
  }

  #lookUp(request: PageRequest): number {
    return (
      this.#readRoot(request.sourceId) ||
      this.#readContext(request) ||
      this.#readDirectory() ||
      this.#readEntry() ||
      this.#findInvalidEntry()
    );
  }

  #readRoot(sourceId: number): number {
    const [rootLow, rootHigh] = this.#parts.pointers.rootTable;
    const upper = (sourceId & 0x80) !== 0;
    const offset = 16 * ((sourceId >>> 8) & 0xff) + (upper ? 8 : 0);
    if (!this.#read(rootLow, rootHigh, offset, 2)) return FaultReason.SM_ROOT_ACCESS;
    if ((this.#words[0]! & P) === 0) return FaultReason.SM_ROOT_NOT_PRESENT;
    const reserved = this.#reserved.root.subarray(upper ? 2 : 0);
    return this.#isReserved(reserved, 2) ? FaultReason.SM_ROOT_RESERVED : 0;
  }

  #readContext({ sourceId, pasid }: PageRequest): number {
    if (!this.#readNext(32 * (sourceId & 0x7f), 8)) return FaultReason.SM_CONTEXT_ACCESS;
    const flags = this.#words[0]!;
    this.#noteFpd();
    if ((flags & P) === 0) return FaultReason.SM_CONTEXT_NOT_PRESENT;
    if (this.#isReserved(this.#reserved.context, 8)) return FaultReason.SM_CONTEXT_RESERVED;

    const ridPasid = valueOf(this.#words, RID_PASID);
    const limit = 2 ** (valueOf(this.#words, PDTS) + 13);
    const isInvalid =
      (flags & (DTE | PRE)) === PRE || ridPasid >= limit || (flags & (EPTR | PASIDE)) === EPTR;
    if (isInvalid) return FaultReason.SM_CONTEXT_INVALID;
    if ((flags & PRE) === 0) return FaultReason.SM_PAGE_REQUEST_DISABLED;
    if (pasid === NO_PASID) {
      this.#pasid = ridPasid;
      return 0;
    }
    if ((flags & PASIDE) === 0) return FaultReason.SM_PASID_DISABLED;
    if (pasid === ridPasid) return FaultReason.SM_PASID_IS_RID_PASID;
    if (pasid >= limit) return FaultReason.SM_PASID_BEYOND_DIR;
    this.#pasid = pasid;
    return 0;
  }

  #readDirectory(): number {
    if (!this.#readNext(8 * (this.#pasid >>> 6), 2)) return FaultReason.PASID_DIR_ACCESS;
    this.#noteFpd();
    if ((this.#words[0]! & P) === 0) return FaultReason.PASID_DIR_NOT_PRESENT;
    return this.#isReserved(this.#reserved.directory, 2) ? FaultReason.PASID_DIR_RESERVED : 0;
  }

  #readEntry(): number {
    if (!this.#readNext(64 * (this.#pasid & 0x3f), 16)) return FaultReason.PASID_ENTRY_ACCESS;
    this.#noteFpd();
    if ((this.#words[0]! & P) === 0) return FaultReason.PASID_ENTRY_NOT_PRESENT;
    const { entry, entryWithoutAw } = this.#reserved;
    const type = valueOf(this.#words, PGTT);
    const ignoresAw =
      type === PasidTranslationType.FIRST_STAGE || type === PasidTranslationType.PASS_THROUGH;
    const reserved = ignoresAw ? entryWithoutAw : entry;
    return this.#isReserved(reserved, 16) ? FaultReason.PASID_ENTRY_RESERVED : 0;
  }

  #findInvalidEntry(): number {
    const { FSTS, SSTS, NEST, PT } = this.#parts.profile.capabilities;
    let isValid: boolean;
    switch (valueOf(this.#words, PGTT)) {
      case PasidTranslationType.FIRST_STAGE:
        isValid = FSTS !== 0 && this.#hasFirstStage();
        break;
      case PasidTranslationType.SECOND_STAGE:
        isValid = SSTS !== 0 && this.#secondStageWidth() > 0;
        break;
      case PasidTranslationType.NESTED:
        isValid = NEST !== 0 && this.#hasFirstStage() && this.#isFirstStageRootInside();
        break;
      case PasidTranslationType.PASS_THROUGH:
        isValid = PT !== 0;
        break;
      default:
        isValid = false;
    }
    return isValid ? 0 : FaultReason.PASID_ENTRY_INVALID;
  }

  #hasFirstStage(): boolean {
    const levels = valueOf(this.#words, FSPM);
    return levels === 0 || (levels === 1 && this.#parts.profile.capabilities.FS5LP !== 0);
  }

  /** In bits, at most MGAW; 0 when the unit has not the width of AW. */
  #secondStageWidth(): number {
    const { capabilities } = this.#parts.profile;
    const aw = valueOf(this.#words, AW);
    if (aw === 0 || ((capabilities.SAGAW >> aw) & 1) === 0) return 0;
    return Math.min(30 + 9 * aw, maxGuestAddressWidth(capabilities));
  }

  #isFirstStageRootInside(): boolean {
    const width = this.#secondStageWidth();
    if (width === 0) return false;
    return hiFromWords(this.#words[FSPTPTR]!, this.#words[FSPTPTR + 1]!) >> (width - 30) === 0;
  }

  /** VT-d 6.5.3.1, table 27. */
  #invalidate({ hi, lo }: PageRequest): void {
    const { invalidator } = this.#parts;
    const domainId = valueOf(this.#words, DID);
    const page = lo & ~0xfff;
    switch (valueOf(this.#words, PGTT)) {
      case PasidTranslationType.FIRST_STAGE:
        invalidator.pasidIotlbPages(domainId, this.#pasid, hi, page, 0, false);
        return;
      case PasidTranslationType.NESTED:
        invalidator.iotlbDomain(domainId);
        return;
      default:
        invalidator.iotlbPages(domainId, hi, page, 0, false);
    }
  }

  #noteFpd(): void {
    if ((this.#words[0]! & FPD) !== 0) this.#suppressed = true;
  }

  /** Reads an entry of the table that the entry read last points to. */
  #readNext(offset: number, count: number): boolean {
    return this.#read(this.#words[0]!, this.#words[1]!, offset, count);
  }

  #read(low: number, high: number, offset: number, count: number): boolean {
    const base = low & ~0xfff;
    const lo = loFromWords(base) + offset;
    const hi = hiFromWords(base, high) + (lo >>> 30);
    return this.#parts.memory.readWords(hi, lo & 0x3fff_ffff, count, this.#words);
  }

  #isReserved(mask: Int32Array, count: number): boolean {
    for (let i = 0; i < count; i++) if ((this.#words[i]! & mask[i]!) !== 0) return true;
    return false;
  }
}
