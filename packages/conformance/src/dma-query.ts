import { Access, AddressType, NO_PASID, UNREACHABLE } from "@viommu/plugin";
import { Random } from "./random.ts";

/** What a device asks: the inputs of a DmaRequest. */
export interface DmaQuery {
  readonly sourceId: number;
  readonly pasid: number;
  readonly addressType: number;
  readonly access: number;
  readonly hi: number;
  readonly lo: number;
}

/** A page that the suite wants to have mapped for one device. */
export interface DmaMapping {
  readonly sourceId: number;
  /** Input address, a multiple of the size. */
  readonly hi: number;
  readonly lo: number;
  /** Output address, a multiple of the size, below 2^36. No memory needs to be there. */
  readonly outHi: number;
  readonly outLo: number;
  /** log2 of the size: 12 or 21. A remapper without large pages maps 512 small ones. */
  readonly pageShift: number;
  /** READ and WRITE of `Access`: exactly these accesses are allowed. */
  readonly access: number;
}

const { READ, WRITE, ATOMIC } = Access;
const DEVICE = 0x0010;
const OTHER_DEVICE = 0x01a9;

/** A page with all rights, which the suite unmaps and changes. */
export const FULL_PAGE: DmaMapping = page(DEVICE, 0, 0x10_0000, 1, 0x20_3000, ATOMIC);
/** The same input page of another device. */
export const OTHER_PAGE: DmaMapping = page(OTHER_DEVICE, 0, 0x10_0000, 4, 0x0abc_d000, ATOMIC);

/** Pages that are mapped from the beginning: neighbours, borders, sizes, rights, devices. */
export const MAPPINGS: readonly DmaMapping[] = [
  FULL_PAGE,
  OTHER_PAGE,
  page(DEVICE, 0, 0x10_1000, 0, 0x30_0000, READ),
  page(DEVICE, 0, 0x10_2000, 0, 0x2f_f000, WRITE),
  page(DEVICE, 0, 0x3fff_f000, 2, 0, ATOMIC),
  page(DEVICE, 1, 0, 0, 0x3fff_f000, ATOMIC),
  { ...page(DEVICE, 5, 0x0840_0000, 7, 0x0060_0000, ATOMIC), pageShift: 21 },
  page(DEVICE, 0x1ff, 0x3fff_f000, 0x3f, 0x3fff_f000, ATOMIC),
  page(OTHER_DEVICE, 9, 0x10_1000, 0, 0x30_0000, READ),
];

function page(
  sourceId: number,
  hi: number,
  lo: number,
  outHi: number,
  outLo: number,
  access: number,
): DmaMapping {
  return { sourceId, hi, lo, outHi, outLo, pageShift: 12, access };
}

/** An untranslated request without PASID for a byte of a mapped page. */
export function queryIn(mapping: DmaMapping, offset: number, access: number): DmaQuery {
  const { sourceId, hi, lo } = mapping;
  return {
    sourceId,
    pasid: NO_PASID,
    addressType: AddressType.UNTRANSLATED,
    access,
    hi,
    lo: lo + offset,
  };
}

/** First, last and some other bytes of a mapped page. */
export function offsetsIn({ pageShift }: DmaMapping): readonly number[] {
  const size = 2 ** pageShift;
  return [0, 4, size / 2 - 1, size / 2, size - 4, size - 1];
}

/** All rights a request can ask for, and none. */
export const ACCESSES: readonly number[] = [Access.NONE, READ, WRITE, ATOMIC];

/** Requests for mapped pages, with every combination of rights. */
export function mappedQueries(): readonly DmaQuery[] {
  return MAPPINGS.flatMap((mapping) =>
    offsetsIn(mapping).flatMap((offset) =>
      ACCESSES.map((access) => queryIn(mapping, offset, access)),
    ),
  );
}

const HI = [0, 1, 3, 5, 0x1ff, 0x200, 0x3_ffff, 0x4_0000, 0x7ff_ffff, -1, -512, -(2 ** 26)];
const HI_MARKED = [UNREACHABLE, UNREACHABLE | 3, UNREACHABLE | 0x7ff_ffff];
const LO = [0, 0xfff, 0x10_0000, 0x10_1fff, 0x3ee0_0000, 0x3eef_fffc, 0x3fff_ffff];

/** Requests that a device made by an enemy can send: any value that its fields can hold. */
export function hostileQueries(count: number): readonly DmaQuery[] {
  const random = new Random(11);
  const oneIn = (n: number): boolean => random.below(n) === 0;
  return Array.from({ length: count }, () => ({
    sourceId: oneIn(3)
      ? random.below(0x1_0000)
      : random.pick([DEVICE, OTHER_DEVICE, DEVICE ^ 1, 0, 0xffff]),
    pasid: oneIn(3) ? random.pick([0, 1, 0xf_ffff, random.below(0x10_0000)]) : NO_PASID,
    addressType: oneIn(3) ? random.below(4) : AddressType.UNTRANSLATED,
    access: oneIn(3) ? random.below(16) : random.pick(ACCESSES),
    hi: oneIn(3)
      ? random.pick([random.below(0x200), random.below(2 ** 27), -1 - random.below(2 ** 27)])
      : random.pick([...HI, ...HI_MARKED]),
    lo: oneIn(3) ? random.below(2 ** 30) : random.pick(LO),
  }));
}

/** The query in words, for findings. */
export function describeQuery(query: DmaQuery): string {
  const { sourceId, pasid, addressType, access, hi, lo } = query;
  const parts = [
    `source-id 0x${sourceId.toString(16)}`,
    pasid === NO_PASID ? "no PASID" : `PASID 0x${pasid.toString(16)}`,
    `address type ${addressType}`,
    `access ${access}`,
    `hi ${hi}`,
    `lo 0x${lo.toString(16)}`,
  ];
  return parts.join(", ");
}
