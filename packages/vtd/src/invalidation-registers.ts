import type { InFlight } from "@viommu/plugin";
import {
  bits,
  CCMD,
  domainIdWidth,
  Granularity,
  GSTS,
  IOTLB,
  IVA,
  maxGuestAddressWidth,
  Offset,
  TranslationTableMode,
} from "@viommu/vtd-spec";
import { bitsInWord, valueOf } from "./bit-field.ts";
import { FUNCTION_MASKS } from "./descriptor-execution.ts";
import type { Invalidator } from "./invalidator.ts";
import { PageRange } from "./page-range.ts";
import type { Profile } from "./profile.ts";
import { ivaOffset } from "./register-map.ts";
import type { RegisterFile } from "./register-file.ts";
import type { TablePointers } from "./table-pointers.ts";

const QIES = bitsInWord(GSTS, "QIES");
const ICC = bitsInWord(CCMD, "ICC");
const CAIG = bitsInWord(CCMD, "CAIG");
const IVT = bitsInWord(IOTLB, "IVT");
const IAIG = bitsInWord(IOTLB, "IAIG");
const CONTEXT = {
  CIRG: bits(CCMD, "CIRG"),
  CAIG: bits(CCMD, "CAIG"),
  FM: bits(CCMD, "FM"),
  SID: bits(CCMD, "SID"),
  DID: bits(CCMD, "DID"),
};
const TLB = { IIRG: bits(IOTLB, "IIRG"), IAIG: bits(IOTLB, "IAIG"), DID: bits(IOTLB, "DID") };
const ADDRESS = { IH: bits(IVA, "IH"), AM: bits(IVA, "AM") };

/** From this major version on, every request through these registers is an error. */
const FIRST_VERSION_WITHOUT = 6;

/** The actual granularity of a request that was refused. */
const REFUSED = 0;

/** What the invalidation registers work with. */
export interface InvalidationRegisterParts {
  readonly file: RegisterFile;
  readonly profile: Profile;
  readonly pointers: TablePointers;
  readonly invalidator: Invalidator;
  readonly inFlight: InFlight;
}

/**
 * Register-based invalidation (VT-d 6.5.1, 11.4.6). A request runs when the top byte is written; its
 * busy bit clears, and its registers return to software, when the accesses in flight have drained.
 * Refused (actual granularity 0): outside legacy mode, while the queue is enabled, with a reserved
 * granularity, with AM above MAMV, and on units of major version 6 and up.
 */
export class InvalidationRegisters {
  readonly #parts: InvalidationRegisterParts;
  readonly #iva: number;
  readonly #iotlb: number;
  readonly #domainIdMask: number;
  readonly #range = new PageRange();
  readonly #words = new Int32Array(2);
  #contextFence = 0;
  #iotlbFence = 0;

  constructor(parts: InvalidationRegisterParts) {
    this.#parts = parts;
    this.#iva = ivaOffset(parts.profile);
    this.#iotlb = this.#iva + 8;
    this.#domainIdMask = (1 << domainIdWidth(parts.profile.capabilities)) - 1;
    parts.file.onWrite(Offset.CCMD + 4, (value) => {
      if ((value & ICC) !== 0) this.#startContext();
    });
    parts.file.onWrite(this.#iotlb + 4, (value) => {
      if ((value & IVT) !== 0) this.#startIotlb();
    });
  }

  /** Accesses in flight have ended: completes what waited for them. */
  settle(): void {
    const { file, inFlight } = this.#parts;
    if (this.#isBusy(Offset.CCMD) && inFlight.drained(this.#contextFence)) {
      file.lock(Offset.CCMD, 8, false);
      file.set(Offset.CCMD + 4, file.get(Offset.CCMD + 4) & ~ICC);
    }
    if (this.#isBusy(this.#iotlb) && inFlight.drained(this.#iotlbFence)) {
      file.lock(this.#iva, 16, false);
      file.set(this.#iotlb + 4, file.get(this.#iotlb + 4) & ~IVT);
    }
  }

  /** After a restore: requests that were busy wait for what is in flight in this machine. */
  resume(): void {
    if (this.#isBusy(Offset.CCMD)) this.#waitContext();
    if (this.#isBusy(this.#iotlb)) this.#waitIotlb();
    this.settle();
  }

  /** ICC and IVT are both the top bit of their register. */
  #isBusy(offset: number): boolean {
    return this.#parts.file.get(offset + 4) < 0;
  }

  #startContext(): void {
    const { file } = this.#parts;
    const actual = this.#isUsable() ? this.#invalidateContext(this.#load(Offset.CCMD)) : REFUSED;
    const rest = file.get(Offset.CCMD + 4) & ~(CAIG | ICC);
    file.set(Offset.CCMD + 4, rest | (actual << CONTEXT.CAIG.shift));
    if (actual === REFUSED) return;
    file.set(Offset.CCMD + 4, file.get(Offset.CCMD + 4) | ICC);
    this.#waitContext();
    this.settle();
  }

  #startIotlb(): void {
    const { file } = this.#parts;
    const actual = this.#isUsable() ? this.#invalidateIotlb(this.#load(this.#iotlb)) : REFUSED;
    const rest = file.get(this.#iotlb + 4) & ~(IAIG | IVT);
    file.set(this.#iotlb + 4, rest | (actual << TLB.IAIG.shift));
    if (actual === REFUSED) return;
    file.set(this.#iotlb + 4, file.get(this.#iotlb + 4) | IVT);
    this.#waitIotlb();
    this.settle();
  }

  /** A pending command belongs to hardware: software can't write its register (VT-d 6.9). */
  #waitContext(): void {
    this.#contextFence = this.#parts.inFlight.mark();
    this.#parts.file.lock(Offset.CCMD, 8, true);
  }

  /** IVA and IOTLB lie side by side. */
  #waitIotlb(): void {
    this.#iotlbFence = this.#parts.inFlight.mark();
    this.#parts.file.lock(this.#iva, 16, true);
  }

  #isUsable(): boolean {
    const { file, profile, pointers } = this.#parts;
    if ((file.get(Offset.GSTS) & QIES) !== 0) return false;
    if (profile.version >> 4 >= FIRST_VERSION_WITHOUT) return false;
    return pointers.mode === TranslationTableMode.LEGACY;
  }

  #load(offset: number): Int32Array {
    this.#words[0] = this.#parts.file.get(offset);
    this.#words[1] = this.#parts.file.get(offset + 4);
    return this.#words;
  }

  /** Returns the actual granularity. */
  #invalidateContext(words: Int32Array): number {
    const { invalidator } = this.#parts;
    const domainId = valueOf(words, CONTEXT.DID) & this.#domainIdMask;
    const granularity = valueOf(words, CONTEXT.CIRG);
    switch (granularity) {
      case Granularity.GLOBAL:
        invalidator.contextGlobal();
        break;
      case Granularity.DOMAIN:
        invalidator.contextDomain(domainId);
        break;
      case Granularity.DEVICE: {
        const mask = FUNCTION_MASKS[valueOf(words, CONTEXT.FM)]!;
        invalidator.contextDevice(domainId, valueOf(words, CONTEXT.SID), mask);
        break;
      }
    }
    return granularity;
  }

  /** Returns the actual granularity. Without PSI a page request covers its domain. */
  #invalidateIotlb(words: Int32Array): number {
    const { invalidator, profile } = this.#parts;
    const domainId = valueOf(words, TLB.DID) & this.#domainIdMask;
    let granularity = valueOf(words, TLB.IIRG);
    if (granularity === Granularity.PAGE && profile.capabilities.PSI === 0) {
      granularity = Granularity.DOMAIN;
    }
    switch (granularity) {
      case Granularity.GLOBAL:
        invalidator.iotlbGlobal();
        return granularity;
      case Granularity.DOMAIN:
        invalidator.iotlbDomain(domainId);
        return granularity;
      case Granularity.PAGE:
        return this.#invalidatePages(domainId) ? granularity : REFUSED;
      default:
        return REFUSED;
    }
  }

  #invalidatePages(domainId: number): boolean {
    const { invalidator, profile } = this.#parts;
    const address = this.#load(this.#iva);
    const mask = valueOf(address, ADDRESS.AM);
    if (mask > profile.capabilities.MAMV) return false;
    const width = maxGuestAddressWidth(profile.capabilities);
    this.#range.setMaskedBelow(width, address[0]!, address[1]!, mask);
    const { hi, lo, order } = this.#range;
    invalidator.iotlbPages(domainId, hi, lo, order, valueOf(address, ADDRESS.IH) === 1);
    return true;
  }
}
