import { expect } from "vitest";
import {
  Access,
  AddressType,
  DmaResult,
  hiFromNumber,
  loFromNumber,
  NO_PASID,
  toNumber,
} from "@viommu/plugin";
import type { DmaRemapper, DmaRequest } from "@viommu/plugin";

export const PAGE = 4096;
const DENIED = { [Access.READ]: 0x06, [Access.WRITE]: 0x05 } as const;

/** One mapping of a table: naturally aligned, 2^shift bytes. */
export interface Mapping {
  readonly pasid: number;
  readonly from: number;
  readonly to: number;
  readonly shift: number;
  readonly rights: number;
  readonly privileged?: boolean;
}

/** The mapping of a list that covers an address, the last one that was added. */
export function mappingOf(
  list: readonly Mapping[],
  pasid: number,
  address: number,
): Mapping | undefined {
  return list.findLast(
    (entry) =>
      entry.pasid === pasid && address >= entry.from && address < entry.from + 2 ** entry.shift,
  );
}

/** log2 of the largest range around an address that this mapping alone decides. */
function sizeAt(list: readonly Mapping[], entry: Mapping, address: number): number {
  const later = list.slice(list.indexOf(entry) + 1).filter(({ pasid }) => pasid === entry.pasid);
  for (let shift = entry.shift; ; shift--) {
    const from = address - (address % 2 ** shift);
    const isAlone = later.every(
      (other) => other.from >= from + 2 ** shift || other.from + 2 ** other.shift <= from,
    );
    if (isAlone || shift === 12) return shift;
  }
}

/** A remapper that understands ATS; what is asked is kept: "kind address access pasid". */
export class AtsRemapper implements DmaRemapper {
  readonly segment = 3;
  mappings: Mapping[] = [];
  /** Addresses that may be written, by untranslated requests only (U = 1). */
  untranslatedOnly = new Set<number>();
  /** What all translation requests end with. */
  refusal = 0;
  readonly asked: string[] = [];
  readonly inFlight = new Set<number>();
  /** Called inside each translation request, after its answer was looked up. */
  onTranslation: (() => void) | null = null;
  #tickets = 100;

  map(from: number, to: number, rights: number = Access.ATOMIC, pasid = NO_PASID, shift = 12) {
    this.mappings.push({ pasid, from, to, shift, rights });
  }

  /** What was asked since the last call. */
  take(): string[] {
    return this.asked.splice(0);
  }

  translate(request: DmaRequest): number {
    const { pasid, access, addressType } = request;
    const address = toNumber(request.hi, request.lo);
    const kind = ["untranslated", "translation", "translated"][addressType]!;
    const suffix = pasid === NO_PASID ? "" : ` pasid ${pasid}`;
    this.asked.push(`${kind} ${address.toString(16)} ${access}${suffix}`);
    if (addressType === AddressType.TRANSLATED) {
      expect(pasid).toBe(NO_PASID);
      return this.#answer(request, address, 30, Access.ATOMIC | Access.BYPASS);
    }
    if (addressType === AddressType.TRANSLATION_REQUEST) {
      if (this.refusal !== 0) return this.refusal;
      const result = this.#complete(request, address);
      this.onTranslation?.();
      return result;
    }
    if (this.untranslatedOnly.has(address)) {
      return this.#answer(request, address, 12, Access.WRITE | Access.BYPASS);
    }
    const entry = mappingOf(this.mappings, pasid, address);
    if (entry === undefined) return DENIED[(access & Access.WRITE || Access.READ) as 1 | 2];
    return this.#answer(request, entry.to + address - entry.from, entry.shift, entry.rights);
  }

  probe(request: DmaRequest): number {
    const result = this.translate(request);
    this.asked[this.asked.length - 1] = "probe";
    return result;
  }

  enter(): number {
    this.#tickets += 1;
    this.inFlight.add(this.#tickets);
    return this.#tickets;
  }

  leave(ticket: number): void {
    expect(this.inFlight.delete(ticket)).toBe(true);
  }

  /** A translation completion (VT-d 4.2.3). */
  #complete(request: DmaRequest, address: number): number {
    if (this.untranslatedOnly.has(address)) {
      return this.#answer(request, 0, 12, Access.WRITE | Access.BYPASS);
    }
    const entry = mappingOf(this.mappings, request.pasid, address);
    const mayAsk = entry?.privileged !== true || (request.access & Access.PRIVILEGED) !== 0;
    if (entry === undefined || !mayAsk || (request.access & Access.EXECUTE) !== 0) {
      return this.#answer(request, 0, 12, 0);
    }
    const size = sizeAt(this.mappings, entry, address);
    return this.#answer(request, entry.to + address - entry.from, size, entry.rights);
  }

  #answer(request: DmaRequest, out: number, pageShift: number, granted: number): number {
    request.outHi = hiFromNumber(out);
    request.outLo = loFromNumber(out);
    request.pageShift = pageShift;
    request.granted = granted;
    return DmaResult.TRANSLATED;
  }
}
