import { Access, hiFromWords, highWord, loFromWords, lowWord, NO_PASID } from "@viommu/plugin";
import type { DmaRequest } from "@viommu/plugin";
import { Permission, PROBE, TranslationField as Field } from "./op-layout.ts";

/** `attributes`: bit 0 execute, 1 privileged, 2 snoop, 3 not translated; bit 7 fault suppressed. */
const SUPPRESSED = 0x80;
const ATTRIBUTE_SHIFT = 2;
const ATTRIBUTES = Access.EXECUTE | Access.PRIVILEGED | Access.SNOOP | Access.BYPASS;

const NO_PASID_FIELD = 0xffff_ffff;
const LARGEST_PASID = 0xf_ffff;
const LARGEST_ACCESS = Access.ATOMIC | Access.EXECUTE | Access.PRIVILEGED;
const LARGEST_ADDRESS_TYPE = 3;

/** Puts the question of a request into a record at byte `at`; the outputs are cleared. */
export function writeQuestion(
  view: DataView,
  at: number,
  segment: number,
  request: DmaRequest,
  probe: boolean,
): void {
  view.setUint16(at + Field.SEGMENT, segment, true);
  view.setUint8(at + Field.BUS, request.sourceId >> 8);
  view.setUint8(at + Field.DEVFN, request.sourceId & 0xff);
  view.setUint8(at + Field.ACCESS, request.access);
  view.setUint8(at + Field.ADDRESS_TYPE, request.addressType);
  view.setUint8(at + Field.FLAGS, probe ? PROBE : 0);
  view.setUint8(at + Field.PADDING, 0);
  view.setUint32(
    at + Field.PASID,
    request.pasid === NO_PASID ? NO_PASID_FIELD : request.pasid,
    true,
  );
  view.setUint32(at + Field.PADDING_2, 0, true);
  writeAddress(view, at + Field.IOVA, request.hi, request.lo);
  clearAnswer(view, at);
}

/** Takes a question out of a record; false when a field holds what no request can have. */
export function readQuestion(view: DataView, at: number, request: DmaRequest): boolean {
  const pasid = view.getUint32(at + Field.PASID, true);
  request.sourceId = (view.getUint8(at + Field.BUS) << 8) | view.getUint8(at + Field.DEVFN);
  request.access = view.getUint8(at + Field.ACCESS);
  request.addressType = view.getUint8(at + Field.ADDRESS_TYPE);
  request.pasid = pasid === NO_PASID_FIELD ? NO_PASID : pasid;
  request.hi = hiAt(view, at + Field.IOVA);
  request.lo = loAt(view, at + Field.IOVA);
  return (
    request.pasid <= LARGEST_PASID &&
    request.access <= LARGEST_ACCESS &&
    request.addressType <= LARGEST_ADDRESS_TYPE &&
    view.getUint8(at + Field.FLAGS) <= PROBE &&
    view.getUint8(at + Field.PADDING) === 0 &&
    view.getUint32(at + Field.PADDING_2, true) === 0
  );
}

/** Puts an answer into the record: `result` as `DmaRemapper.translate` returned it. */
export function writeAnswer(view: DataView, at: number, request: DmaRequest, result: number): void {
  clearAnswer(view, at);
  view.setInt32(at + Field.STATUS, result, true);
  if (result !== 0) {
    view.setUint8(at + Field.ATTRIBUTES, request.suppressed ? SUPPRESSED : 0);
    return;
  }
  const { granted, pageShift } = request;
  writeAddress(view, at + Field.ADDRESS, request.outHi, request.outLo);
  // 2^pageShift - 1, for pages of up to 2^57 bytes
  view.setUint32(at + Field.MASK, pageShift >= 32 ? -1 : 2 ** pageShift - 1, true);
  view.setUint32(at + Field.MASK + 4, pageShift > 32 ? 2 ** (pageShift - 32) - 1 : 0, true);
  view.setUint8(at + Field.PERMISSION, granted & Permission.READ_WRITE);
  view.setUint8(at + Field.ATTRIBUTES, (granted & ATTRIBUTES) >> ATTRIBUTE_SHIFT);
}

/** Takes the answer out of a record into the request; returns the status. */
export function readAnswer(view: DataView, at: number, request: DmaRequest): number {
  const status = view.getInt32(at + Field.STATUS, true);
  const attributes = view.getUint8(at + Field.ATTRIBUTES);
  if (status !== 0) {
    request.suppressed = (attributes & SUPPRESSED) !== 0;
    return status;
  }
  request.outHi = hiAt(view, at + Field.ADDRESS);
  request.outLo = loAt(view, at + Field.ADDRESS);
  request.pageShift =
    64 -
    leadingZeros(view.getUint32(at + Field.MASK + 4, true), view.getUint32(at + Field.MASK, true));
  request.granted =
    view.getUint8(at + Field.PERMISSION) | ((attributes << ATTRIBUTE_SHIFT) & ATTRIBUTES);
  return 0;
}

/** Bits 30 and up of the 64-bit address at this place, by the convention of @viommu/plugin. */
export function hiAt(view: DataView, at: number): number {
  return hiFromWords(view.getInt32(at, true), view.getInt32(at + 4, true));
}

/** Bits 29:0 of the 64-bit address at this place. */
export function loAt(view: DataView, at: number): number {
  return loFromWords(view.getInt32(at, true));
}

/** Stores an address as 64 bits. */
export function writeAddress(view: DataView, at: number, hi: number, lo: number): void {
  view.setInt32(at, lowWord(hi, lo), true);
  view.setInt32(at + 4, highWord(hi), true);
}

function clearAnswer(view: DataView, at: number): void {
  for (let field: number = Field.ADDRESS; field <= Field.STATUS; field += 4) {
    view.setInt32(at + field, 0, true);
  }
}

function leadingZeros(high: number, low: number): number {
  return high === 0 ? 32 + Math.clz32(low) : Math.clz32(high);
}
