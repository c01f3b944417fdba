import { Access, highWord, lowWord, NO_PASID } from "@viommu/plugin";
import type { DmaRequest, PageRequest } from "@viommu/plugin";
import { FaultType, FRCD } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { bitsInWord } from "./bit-field.ts";

/** FRCD.F, in the last of the four words of a record. */
export const RECORD_FAULT: number = bitsInWord(FRCD, "F");

const PP = bitsInWord(FRCD, "PP");
const EXE = bitsInWord(FRCD, "EXE");
const PRIV = bitsInWord(FRCD, "PRIV");
const T1 = bitsInWord(FRCD, "T1");
const T2 = bitsInWord(FRCD, "T2");

/** Bits 11:0 of an address, which no record holds. */
const PAGE_OFFSET = 0xfff;

/** Builds fault records out of requests (VT-d 11.4.7.6). */
export class FaultRecordEncoder {
  /** The record built last, as four words; F is clear. */
  readonly words: Int32Array = new Int32Array(4);
  readonly #addressWidth: number;
  readonly #hasPasid: boolean;
  readonly #hasDeviceTlb: boolean;

  constructor(capabilities: Capabilities) {
    this.#addressWidth = largestAddressWidth(capabilities);
    this.#hasPasid = capabilities.PASID !== 0;
    this.#hasDeviceTlb = capabilities.DT !== 0;
  }

  dma(reason: number, request: DmaRequest): void {
    this.#build(reason, request.sourceId, dmaType(request.access));
    this.#setPage(request.hi, request.lo);
    this.#setPasid(request.pasid, request.access);
    if (this.#hasDeviceTlb) this.words[3]! |= (request.addressType & 3) << 28;
  }

  /** AT is valid for reads, writes and atomics only. */
  pageRequest(reason: number, request: PageRequest): void {
    this.#build(reason, request.sourceId, FaultType.PAGE_REQUEST);
    this.#setPage(request.hi, request.lo);
    this.#setPasid(request.pasid, request.access & ~Access.EXECUTE);
  }

  /** `index` is the interrupt index, or -1 where the request named none. */
  interrupt(reason: number, sourceId: number, index: number): void {
    this.#build(reason, sourceId, 0);
    this.words[1] = index < 0 ? 0 : index << 16;
  }

  #build(reason: number, sourceId: number, type: number): void {
    this.words[0] = 0;
    this.words[1] = 0;
    this.words[2] = (sourceId & 0xffff) | ((type & 1) !== 0 ? T2 : 0);
    this.words[3] = (reason & 0xff) | ((type & 2) !== 0 ? T1 : 0);
  }

  /** FI: address bits from the largest supported AGAW up are 0. */
  #setPage(hi: number, lo: number): void {
    this.words[0] = lowWord(hi, lo) & ~PAGE_OFFSET;
    this.words[1] = highWord(hi) & ((1 << (this.#addressWidth - 32)) - 1);
  }

  #setPasid(pasid: number, access: number): void {
    if (pasid === NO_PASID || !this.#hasPasid) return;
    const isRead = (this.words[3]! & T1) !== 0 && (this.words[2]! & T2) === 0;
    this.words[2]! |= PP;
    if ((access & Access.PRIVILEGED) !== 0) this.words[2]! |= PRIV;
    if ((access & Access.EXECUTE) !== 0 && isRead) this.words[2]! |= EXE;
    this.words[3]! |= (pasid & 0xf_ffff) << 8;
  }
}

/** A zero-length read is recorded as a read. */
function dmaType(access: number): number {
  switch (access & Access.ATOMIC) {
    case Access.WRITE:
      return FaultType.WRITE;
    case Access.ATOMIC:
      return FaultType.ATOMIC;
    default:
      return FaultType.READ;
  }
}

/** Width in bits of the widest input address: 39, 48 or 57; MGAW where there are no tables. */
function largestAddressWidth(capabilities: Capabilities): number {
  const { SAGAW, FSTS, FS5LP, MGAW } = capabilities;
  if ((SAGAW & 8) !== 0 || FS5LP !== 0) return 57;
  if ((SAGAW & 4) !== 0 || FSTS !== 0) return 48;
  return (SAGAW & 2) !== 0 ? 39 : Math.min(MGAW + 1, 57);
}
