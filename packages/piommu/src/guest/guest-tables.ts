import { NO_PASID } from "@viommu/plugin";
import type { GuestMemory, ModeChange } from "@viommu/plugin";
import {
  CONTEXT_ENTRY,
  maxGuestAddressWidth,
  PASID_DIR_ENTRY,
  PASID_ENTRY,
  PasidTranslationType,
  reservedMask,
  ROOT_ENTRY,
  SM_CONTEXT_ENTRY,
  SM_ROOT_ENTRY,
  TranslationTableMode,
  TranslationType,
} from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { EntryReader, frameIn, hasReserved } from "./entry-reader.ts";
import { STAGE_OFF } from "./guest-stage.ts";
import type { GuestStage, SecondStage } from "./guest-stage.ts";

const P = 1;
const FPD = 2;
const DTE = 1 << 2;
const PASIDE = 1 << 3;
/** AW of a PASID table entry, which guests set in first-stage entries too (docs/adr/0004). */
const PASID_AW = 7 << 2;
/** A PASID table has 64 entries. */
const TABLE_SHIFT = 6;

/** A scalable-mode context entry that is present and valid. */
interface ScalableContext {
  readonly directory: number;
  /** PASIDs are below this. */
  readonly limit: number;
  readonly ridPasid: number;
  readonly withPasid: boolean;
  readonly deviceTlb: boolean;
  readonly suppressed: boolean;
}

/**
 * Reads what the tables of one guest unit say of a device: root, context and PASID entries, with
 * the checks of VT-d 7.1.3. At most four reads for an answer; it caches nothing.
 */
export class GuestTables {
  readonly #capabilities: Capabilities;
  readonly #reader: EntryReader;
  readonly #inputLimit: number;
  readonly #reserved: Readonly<
    Record<"root" | "context" | "smRoot" | "smContext" | "directory" | "pasid", Int32Array>
  >;
  #mode: Pick<ModeChange, "translation" | "rootTable"> = { translation: false, rootTable: [0, 0] };

  constructor(memory: GuestMemory, capabilities: Capabilities, hostAddressWidth: number) {
    this.#capabilities = capabilities;
    this.#reader = new EntryReader(memory);
    this.#inputLimit = maxGuestAddressWidth(capabilities);
    const mask = (layout: Parameters<typeof reservedMask>[0]): Int32Array =>
      reservedMask(layout, capabilities, hostAddressWidth);
    this.#reserved = {
      root: mask(ROOT_ENTRY),
      context: mask(CONTEXT_ENTRY),
      smRoot: mask(SM_ROOT_ENTRY),
      smContext: mask(SM_CONTEXT_ENTRY),
      directory: mask(PASID_DIR_ENTRY),
      pasid: mask(PASID_ENTRY),
    };
  }

  /** The unit's mode from now on. */
  setMode({ translation, rootTable }: ModeChange): void {
    this.#mode = { translation, rootTable: [...rootTable] };
  }

  /** Whether there are PASID tables. */
  get scalable(): boolean {
    return this.#mode.translation && this.#ttm === TranslationTableMode.SCALABLE;
  }

  /** What requests of `sourceId` meet; without PASID for NO_PASID. */
  resolve(sourceId: number, pasid: number): GuestStage {
    if (!this.#mode.translation) return pasid === NO_PASID ? STAGE_OFF : blocked(false);
    const ttm = this.#ttm;
    if (ttm === TranslationTableMode.LEGACY && !this.#ioPermissions) {
      return pasid === NO_PASID ? this.#legacy(sourceId) : blocked(false);
    }
    if (ttm !== TranslationTableMode.SCALABLE || this.#capabilities.SMTS === 0) {
      return blocked(false);
    }
    const context = this.#scalableContext(sourceId);
    if (context === null) return blocked(this.#suppressed);
    return this.#pasidEntry(context, pasid);
  }

  /** Number of PASID tables that the directory of a device can name; 0 where PASIDs are blocked. */
  pasidTables(sourceId: number): number {
    if (!this.scalable || this.#capabilities.SMTS === 0) return 0;
    const context = this.#scalableContext(sourceId);
    return context?.withPasid === true ? context.limit >> TABLE_SHIFT : 0;
  }

  /** The present PASIDs of one PASID table; requests without PASID have their own entry. */
  pasidsIn(sourceId: number, table: number): number[] {
    const context = this.#scalableContext(sourceId);
    if (context === null) return [];
    const frame = this.#pasidTable(context, table);
    if (frame < 0) return [];
    const found: number[] = [];
    for (let index = 0; index < 1 << TABLE_SHIFT; index++) {
      const pasid = (table << TABLE_SHIFT) | index;
      if (pasid === context.ridPasid || pasid >= context.limit) continue;
      if (this.#reader.read(frame, index, 16) && (this.#reader.words[0]! & P) !== 0) {
        found.push(pasid);
      }
    }
    return found;
  }

  /** Whether the entry read last, or one on the way to it, has FPD. */
  #suppressed = false;

  get #ttm(): number {
    return (this.#mode.rootTable[0] >>> 10) & 3;
  }

  /** SSIRWE (VT-d 11.4.5). */
  get #ioPermissions(): boolean {
    return this.#capabilities.SSIRWS !== 0 && (this.#mode.rootTable[0] & (1 << 7)) !== 0;
  }

  get #rootFrame(): number {
    return frameIn(Int32Array.from(this.#mode.rootTable), 0);
  }

  #legacy(sourceId: number): GuestStage {
    const reader = this.#reader;
    const { words } = reader;
    const { context, root } = this.#reserved;
    if (!reader.read(this.#rootFrame, (sourceId >>> 8) & 0xff, 4)) return blocked(false);
    if ((words[0]! & P) === 0 || hasReserved(words, root)) return blocked(false);
    if (!reader.read(frameIn(words, 0), sourceId & 0xff, 4)) return blocked(false);
    const suppressed = (words[0]! & FPD) !== 0;
    if ((words[0]! & P) === 0 || hasReserved(words, context)) return blocked(suppressed);

    const type = (words[0]! >>> 2) & 3;
    const width = words[2]! & 7;
    const domainId = (words[2]! >>> 8) & 0xffff;
    if (!this.#isWidth(width)) return blocked(suppressed);
    if (type === TranslationType.PASS_THROUGH) {
      if (this.#capabilities.PT === 0) return blocked(suppressed);
      return { kind: "pass-through", domainId, suppressed };
    }
    const isOffered =
      type === TranslationType.UNTRANSLATED ||
      (type === TranslationType.DEVICE_TLB && this.#capabilities.DT !== 0);
    if (!isOffered) return blocked(suppressed);
    const second = this.#secondStage(frameIn(words, 0), width, domainId, false);
    return { kind: "second-stage", domainId, second, suppressed };
  }

  #scalableContext(sourceId: number): ScalableContext | null {
    const reader = this.#reader;
    const { words } = reader;
    const { smContext, smRoot } = this.#reserved;
    this.#suppressed = false;
    const half = (sourceId >>> 7) & 1;
    if (!reader.read(this.#rootFrame, ((sourceId >>> 8) & 0xff) * 2 + half, 2)) return null;
    const halfReserved = smRoot.subarray(2 * half, 2 * half + 2);
    if ((words[0]! & P) === 0 || hasReserved(words, halfReserved)) return null;
    if (!reader.read(frameIn(words, 0), sourceId & 0x7f, 8)) return null;
    const flags = words[0]!;
    this.#suppressed = (flags & FPD) !== 0;
    if ((flags & P) === 0 || hasReserved(words, smContext)) return null;
    const limit = 0x2000 << ((flags >>> 9) & 7);
    const ridPasid = words[2]! & 0xf_ffff;
    const withPasid = (flags & PASIDE) !== 0;
    const asksInvalid =
      (flags & 0x14) === 0x10 || // PRE without DTE
      ((flags & (1 << 6)) !== 0 && !withPasid) || // EPTR without PASIDE
      ridPasid >= limit;
    if (asksInvalid) return null;
    return {
      directory: frameIn(words, 0),
      limit,
      ridPasid,
      withPasid,
      deviceTlb: (flags & DTE) !== 0,
      suppressed: this.#suppressed,
    };
  }

  #pasidEntry(context: ScalableContext, pasid: number): GuestStage {
    const { ridPasid, withPasid } = context;
    if (pasid !== NO_PASID) {
      const isBeyond = pasid >= context.limit || pasid >= 2 ** (this.#capabilities.PSS + 1);
      if (!withPasid || pasid === ridPasid || isBeyond) return blocked(context.suppressed);
    }
    const index = pasid === NO_PASID ? ridPasid : pasid;
    this.#suppressed = context.suppressed;
    const table = this.#pasidTable(context, index >>> TABLE_SHIFT);
    const { words } = this.#reader;
    if (table < 0 || !this.#reader.read(table, index & 63, 16)) return blocked(this.#suppressed);
    const suppressed = this.#suppressed || (words[0]! & FPD) !== 0;
    if ((words[0]! & P) === 0 || this.#isPasidReserved()) return blocked(suppressed);
    return this.#stageOf(context, suppressed);
  }

  /** Frame of a PASID table; -1 where the directory names none. */
  #pasidTable(context: ScalableContext, table: number): number {
    const { words } = this.#reader;
    if (!this.#reader.read(context.directory, table, 2)) return -1;
    if ((words[0]! & FPD) !== 0) this.#suppressed = true;
    if ((words[0]! & P) === 0 || hasReserved(words, this.#reserved.directory)) return -1;
    return frameIn(words, 0);
  }

  #isPasidReserved(): boolean {
    const { words } = this.#reader;
    const type = (words[0]! >>> 6) & 7;
    const ignoresWidth =
      type === PasidTranslationType.FIRST_STAGE || type === PasidTranslationType.PASS_THROUGH;
    if (!ignoresWidth) return hasReserved(words, this.#reserved.pasid);
    const mask = this.#reserved.pasid.slice();
    mask[0]! &= ~PASID_AW;
    return hasReserved(words, mask);
  }

  /** Goes on with a present PASID table entry, the one read last. */
  #stageOf(context: ScalableContext, suppressed: boolean): GuestStage {
    const { FSTS, NEST, PT, SSTS } = this.#capabilities;
    const { words } = this.#reader;
    const domainId = words[2]! & 0xffff;
    const type = (words[0]! >>> 6) & 7;
    if (type === PasidTranslationType.PASS_THROUGH && PT !== 0) {
      return { kind: "pass-through", domainId, suppressed };
    }
    if (type === PasidTranslationType.FIRST_STAGE && FSTS !== 0) {
      return this.#firstStage(context, domainId, null, suppressed);
    }
    const withSecond =
      (type === PasidTranslationType.SECOND_STAGE && SSTS !== 0) ||
      (type === PasidTranslationType.NESTED && NEST !== 0);
    const width = (words[0]! >>> 2) & 7;
    if (!withSecond || !this.#isWidth(width)) return blocked(suppressed);
    const snoop = (words[2]! & (1 << 24)) !== 0;
    const second = this.#secondStage(frameIn(words, 0), width, domainId, snoop);
    return type === PasidTranslationType.NESTED
      ? this.#firstStage(context, domainId, second, suppressed)
      : { kind: "second-stage", domainId, second, suppressed };
  }

  #firstStage(
    { deviceTlb }: ScalableContext,
    domainId: number,
    second: SecondStage | null,
    suppressed: boolean,
  ): GuestStage {
    const { words } = this.#reader;
    const paging = (words[4]! >>> 2) & 3;
    const rootFrame = frameIn(words, 4);
    const isBeyond = second !== null && rootFrame >= 2 ** (second.inputWidth - 12);
    if (paging > 1 || (paging === 1 && this.#capabilities.FS5LP === 0) || isBeyond) {
      return blocked(suppressed);
    }
    return {
      kind: "first-stage",
      domainId,
      rootFrame,
      levels: paging === 1 ? 5 : 4,
      supervisor: (words[4]! & 1) !== 0,
      writeProtect: (words[4]! & (1 << 4)) !== 0,
      extendedAccessed: (words[4]! & (1 << 7)) !== 0,
      second,
      deviceTlb,
      suppressed,
    };
  }

  #isWidth(code: number): boolean {
    return code >= 1 && code <= 3 && ((this.#capabilities.SAGAW >>> code) & 1) !== 0;
  }

  #secondStage(rootFrame: number, width: number, domainId: number, snoop: boolean): SecondStage {
    const inputWidth = Math.min(this.#inputLimit, 30 + 9 * width);
    const ioPermissions = this.#ioPermissions;
    return { domainId, rootFrame, levels: width + 2, inputWidth, snoop, ioPermissions };
  }
}

const blocked = (suppressed: boolean): GuestStage => ({ kind: "blocked", suppressed });
