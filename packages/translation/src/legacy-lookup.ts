import { AddressType, hiFromWords, loFromWords, NO_PASID } from "@viommu/plugin";
import type { DmaRequest } from "@viommu/plugin";
import { CONTEXT_ENTRY, FaultReason, reservedMask, ROOT_ENTRY } from "@viommu/vtd-spec";
import { TranslationType } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { OWN_WAY, passThroughLayout } from "./address-space.ts";
import type { AddressSpace, SpaceLayout } from "./address-space.ts";
import { inputWidth, isWidthSupported, levelsOf } from "./address-width.ts";
import type { ContextCache } from "./context-cache.ts";
import type { Counters } from "./counters.ts";
import type { Found, RequestLookup } from "./lookup.ts";
import { anyReserved } from "./reserved-masks.ts";
import type { TableReader } from "./table-reader.ts";
import type { Walker } from "./walk.ts";

const PAGE = 0x3fff_f000;
const P = 1;
const FPD = 2;

/** What a legacy-mode lookup works with. */
export interface LegacyLookupOptions {
  readonly capabilities: Capabilities;
  readonly hostAddressWidth: number;
  readonly reader: TableReader;
  readonly contexts: ContextCache;
  readonly secondStage: Walker;
  readonly passThrough: Walker;
  /** The space of translated requests. */
  readonly host: AddressSpace;
  readonly counters: Counters;
}

/** Legacy mode: root table, context table, domain (VT-d 3.4.2; order of checks: 7.1.3). */
export class LegacyLookup implements RequestLookup {
  private readonly options: LegacyLookupOptions;
  private readonly rootReserved: Int32Array;
  private readonly contextReserved: Int32Array;
  private rootHi = 0;
  private rootLo = 0;

  constructor(options: LegacyLookupOptions) {
    const { capabilities, hostAddressWidth } = options;
    this.options = options;
    this.rootReserved = reservedMask(ROOT_ENTRY, capabilities, hostAddressWidth);
    this.contextReserved = reservedMask(CONTEXT_ENTRY, capabilities, hostAddressWidth);
  }

  /** Where the root table lies. */
  setRoot(hi: number, lo: number): void {
    this.rootHi = hi;
    this.rootLo = lo & PAGE;
  }

  lookup(request: DmaRequest, found: Found): number {
    if (request.pasid !== NO_PASID) return FaultReason.PASID_IN_LEGACY;
    const known = this.options.contexts.find(request.sourceId & 0xffff);
    if (known === null) return this.fetch(request, found);
    found.space = known.space;
    found.suppressed = known.suppressed;
    return this.checkAddressType(request, known.deviceTlb, found);
  }

  /** Reads root entry and context entry. */
  private fetch(request: DmaRequest, found: Found): number {
    const { counters, reader } = this.options;
    const words = reader.words;
    if (found.effects) counters.contextFetches += 1;

    const bus = (request.sourceId >>> 8) & 0xff;
    if (!reader.read(this.rootHi, this.rootLo | (bus << 4), 4)) return FaultReason.ROOT_ACCESS;
    if ((words[0]! & P) === 0) return FaultReason.ROOT_NOT_PRESENT;
    if (anyReserved(words, this.rootReserved)) return FaultReason.ROOT_RESERVED;

    const tableHi = hiFromWords(words[0]!, words[1]!);
    const tableLo = words[0]! & PAGE;
    const devfn = request.sourceId & 0xff;
    if (!reader.read(tableHi, tableLo | (devfn << 4), 4)) return FaultReason.CONTEXT_ACCESS;
    found.suppressed = (words[0]! & FPD) !== 0; // whatever P says
    if ((words[0]! & P) === 0) return FaultReason.CONTEXT_NOT_PRESENT;
    if (anyReserved(words, this.contextReserved)) return FaultReason.CONTEXT_RESERVED;
    return this.useContext(request, found);
  }

  /** Goes on with a present context entry, the one read last. */
  private useContext(request: DmaRequest, found: Found): number {
    const { capabilities, contexts, reader } = this.options;
    const type = (reader.words[0]! >>> 2) & 3;
    const aw = reader.words[2]! & 7;
    const domainId = (reader.words[2]! >>> 8) & 0xffff;
    if (!this.isSupported(type)) return FaultReason.CONTEXT_INVALID;
    if (!isWidthSupported(capabilities, aw)) return FaultReason.CONTEXT_INVALID;

    const deviceTlb = type === TranslationType.DEVICE_TLB;
    if (request.addressType !== AddressType.UNTRANSLATED && !deviceTlb) {
      return FaultReason.REQUEST_BLOCKED;
    }
    const layout =
      type === TranslationType.PASS_THROUGH ? this.passThrough() : this.secondStage(aw);
    const route = {
      domainId,
      pasid: NO_PASID,
      layout,
      sourceId: request.sourceId & 0xffff,
      way: OWN_WAY,
      suppressed: found.suppressed,
      deviceTlb,
    };
    found.space = contexts.connect(route, found.effects);
    return this.checkAddressType(request, deviceTlb, found);
  }

  private isSupported(type: number): boolean {
    const { DT, PT } = this.options.capabilities;
    switch (type) {
      case TranslationType.UNTRANSLATED:
        return true;
      case TranslationType.DEVICE_TLB:
        return DT !== 0;
      case TranslationType.PASS_THROUGH:
        return PT !== 0;
      default:
        return false;
    }
  }

  private passThrough(): SpaceLayout {
    const { passThrough: walker, hostAddressWidth } = this.options;
    return passThroughLayout("pass-through", walker, hostAddressWidth);
  }

  private secondStage(aw: number): SpaceLayout {
    const { capabilities, reader, secondStage: walker } = this.options;
    const rootHi = hiFromWords(reader.words[0]!, reader.words[1]!);
    const rootLo = loFromWords(reader.words[0]!) & PAGE;
    return {
      key: `${rootHi},${rootLo},${aw}`,
      walker,
      firstStage: false,
      inputWidth: inputWidth(capabilities, aw),
      rootHi,
      rootLo,
      levels: levelsOf(aw),
      under: null,
      memoryFlags: 0,
      pat: 0,
    };
  }

  /** Translation requests and translated requests need TT=01b; the latter are not translated. */
  private checkAddressType(request: DmaRequest, deviceTlb: boolean, found: Found): number {
    if (request.addressType === AddressType.UNTRANSLATED) return 0;
    if (!deviceTlb) return FaultReason.REQUEST_BLOCKED;
    if (request.addressType === AddressType.TRANSLATED) found.space = this.options.host;
    return 0;
  }
}
