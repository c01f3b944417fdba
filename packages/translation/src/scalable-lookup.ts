import { Access, AddressType, hiFromWords, loFromWords, NO_PASID } from "@viommu/plugin";
import type { DmaRequest } from "@viommu/plugin";
import { FaultReason, PASID_DIR_ENTRY, reservedMask, SM_CONTEXT_ENTRY } from "@viommu/vtd-spec";
import { SM_ROOT_ENTRY } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { OWN_WAY } from "./address-space.ts";
import type { Attachment, SpaceLayout } from "./address-space.ts";
import { pasidWay, translatedWay } from "./context-cache.ts";
import type { ContextCache } from "./context-cache.ts";
import type { Counters } from "./counters.ts";
import { NO_DOMAIN, PERMISSION_DOMAINS } from "./domain-table.ts";
import type { Found, RequestLookup } from "./lookup.ts";
import type { PasidSpaces } from "./pasid-spaces.ts";
import { anyReserved } from "./reserved-masks.ts";
import type { SourceTags } from "./source-tags.ts";
import type { TableReader } from "./table-reader.ts";

const PAGE = 0x3fff_f000;
/** P and FPD lie at the same place in all entries. */
const P = 1;
const FPD = 2;

// low word of a context entry (VT-d 9.4)
const DTE = 1 << 2;
const PASIDE = 1 << 3;
const PRE = 1 << 4;
const HPTE = 1 << 5;
const EPTR = 1 << 6;

/** First major version that refuses execute-requested requests outright (VT-d 7.1.3, RTA.5). */
const VERSION_WITHOUT_EXECUTE = 8;

/** What a scalable-mode lookup works with. */
export interface ScalableLookupOptions {
  readonly capabilities: Capabilities;
  readonly hostAddressWidth: number;
  readonly majorVersion: number;
  readonly reader: TableReader;
  readonly contexts: ContextCache;
  readonly sourceTags: SourceTags;
  readonly spaces: PasidSpaces;
  readonly counters: Counters;
}

/**
 * Scalable mode: root table, context table, PASID directory, PASID table, address space (VT-d 3.4.3;
 * order of checks: 7.1.3).
 */
export class ScalableLookup implements RequestLookup {
  private readonly options: ScalableLookupOptions;
  private readonly rootReserved: Int32Array;
  private readonly contextReserved: Int32Array;
  private readonly directoryReserved: Int32Array;
  /** PASIDs are below this. */
  private readonly pasidLimit: number;
  private readonly refusesExecute: boolean;
  private rootHi = 0;
  private rootLo = 0;
  // what the context entry read last says
  private directoryHi = 0;
  private directoryLo = 0;
  private pasid = 0;
  private privileged = false;
  private deviceTlb = false;
  /** Translated requests need permission. */
  private needsPermission = false;

  constructor(options: ScalableLookupOptions) {
    const { capabilities, hostAddressWidth, majorVersion } = options;
    this.options = options;
    this.rootReserved = reservedMask(SM_ROOT_ENTRY, capabilities, hostAddressWidth);
    this.contextReserved = reservedMask(SM_CONTEXT_ENTRY, capabilities, hostAddressWidth);
    this.directoryReserved = reservedMask(PASID_DIR_ENTRY, capabilities, hostAddressWidth);
    this.pasidLimit = 2 ** (capabilities.PSS + 1);
    this.refusesExecute = majorVersion >= VERSION_WITHOUT_EXECUTE;
  }

  /** Where the root table lies. */
  setRoot(hi: number, lo: number): void {
    this.rootHi = hi;
    this.rootLo = lo & PAGE;
  }

  lookup(request: DmaRequest, found: Found): number {
    if (request.pasid !== NO_PASID) {
      if (this.refusesExecute && asksToExecute(request)) return FaultReason.EXECUTE_REQUESTED;
      if (request.pasid >= this.pasidLimit) return FaultReason.PASID_BEYOND_PSS;
    }
    const known = this.cached(request);
    if (known === null) return this.fetch(request, found);
    if (request.addressType !== AddressType.UNTRANSLATED && !known.deviceTlb) {
      // blocked by the context entry: FPD of the entries behind it doesn't count
      return this.readContext(request, found) || FaultReason.SM_DEVICE_TLB_DISABLED;
    }
    found.space = known.space;
    found.suppressed = known.suppressed;
    const executes = request.addressType !== AddressType.TRANSLATED && asksToExecute(request);
    return executes ? FaultReason.PASID_ENTRY_EXECUTE_BLOCKED : 0;
  }

  private cached(request: DmaRequest): Attachment | null {
    const sourceId = request.sourceId & 0xffff;
    const { contexts, sourceTags } = this.options;
    const way = wayOf(request);
    if (way === OWN_WAY) return contexts.find(sourceId);
    const known = contexts.findOther(sourceId, way);
    if (known !== null) sourceTags.set(sourceId, way, known.space.tag);
    return known;
  }

  private fetch(request: DmaRequest, found: Found): number {
    const reason = this.readContext(request, found);
    if (reason !== 0) return reason;
    if (request.addressType === AddressType.TRANSLATED && !this.needsPermission) {
      // the PASID table has no say
      return this.connect(request, found, NO_DOMAIN, NO_PASID, this.options.spaces.translated);
    }
    return this.readDirectory(found) || this.readEntry(found) || this.useEntry(request, found);
  }

  /** Reads root entry and context entry. */
  private readContext(request: DmaRequest, found: Found): number {
    const { counters, reader } = this.options;
    const words = reader.words;
    if (found.effects) counters.contextFetches += 1;

    const bus = (request.sourceId >>> 8) & 0xff;
    const devfn = request.sourceId & 0xff;
    const half = devfn >>> 7;
    if (!reader.read(this.rootHi, this.rootLo | (bus << 4) | (half << 3), 2)) {
      return FaultReason.SM_ROOT_ACCESS;
    }
    if ((words[0]! & P) === 0) return FaultReason.SM_ROOT_NOT_PRESENT;
    const reserved = this.rootReserved.subarray(half << 1, (half << 1) + 2);
    if (anyReserved(words, reserved)) return FaultReason.SM_ROOT_RESERVED;

    const tableHi = hiFromWords(words[0]!, words[1]!);
    const tableLo = words[0]! & PAGE;
    if (!reader.read(tableHi, tableLo | ((devfn & 0x7f) << 5), 8)) {
      return FaultReason.SM_CONTEXT_ACCESS;
    }
    found.suppressed = (words[0]! & FPD) !== 0; // whatever P says
    if ((words[0]! & P) === 0) return FaultReason.SM_CONTEXT_NOT_PRESENT;
    if (anyReserved(words, this.contextReserved)) return FaultReason.SM_CONTEXT_RESERVED;
    return this.useContext(request);
  }

  /** Goes on with a present context entry, the one read last. */
  private useContext(request: DmaRequest): number {
    const words = this.options.reader.words;
    const flags = words[0]!;
    const type = request.addressType;
    const ridPasid = words[2]! & 0xf_ffff;
    const limit = 0x2000 << ((flags >>> 9) & 7);
    if ((flags & (DTE | PRE)) === PRE) return FaultReason.SM_CONTEXT_INVALID;
    if (ridPasid >= limit) return FaultReason.SM_CONTEXT_INVALID;
    // table 30: SCT.4.3 is not for these requests with PASID; they go on to SCT.5 and SCT.6
    const needsPaside = request.pasid !== NO_PASID && type !== AddressType.TRANSLATED;
    if ((flags & (EPTR | PASIDE)) === EPTR && !needsPaside) return FaultReason.SM_CONTEXT_INVALID;

    this.deviceTlb = (flags & DTE) !== 0;
    if (type !== AddressType.UNTRANSLATED && !this.deviceTlb) {
      return FaultReason.SM_DEVICE_TLB_DISABLED;
    }
    this.directoryHi = hiFromWords(words[0]!, words[1]!);
    this.directoryLo = loFromWords(words[0]!) & PAGE;
    this.pasid = ridPasid;
    this.privileged = (words[2]! & (1 << 20)) !== 0;
    this.needsPermission = (flags & HPTE) !== 0;
    const { pasid, access } = request;
    if (pasid === NO_PASID) return 0;
    if (type === AddressType.TRANSLATED) {
      if ((flags & EPTR) === 0) return FaultReason.SM_TRANSLATED_PASID_DISABLED;
    } else if ((flags & PASIDE) === 0) {
      return FaultReason.SM_PASID_DISABLED;
    }
    if (pasid === ridPasid) return FaultReason.SM_PASID_IS_RID_PASID;
    if (pasid >= limit) return FaultReason.SM_PASID_BEYOND_DIR;
    this.pasid = pasid;
    this.privileged = isPrivileged(access);
    return 0;
  }

  private readDirectory(found: Found): number {
    const { reader } = this.options;
    const words = reader.words;
    // a directory has up to 128 KiB
    const lo = this.directoryLo + ((this.pasid >>> 6) << 3);
    if (!reader.read(this.directoryHi + (lo >>> 30), lo & 0x3fff_ffff, 2)) {
      return FaultReason.PASID_DIR_ACCESS;
    }
    if ((words[0]! & FPD) !== 0) found.suppressed = true;
    if ((words[0]! & P) === 0) return FaultReason.PASID_DIR_NOT_PRESENT;
    return anyReserved(words, this.directoryReserved) ? FaultReason.PASID_DIR_RESERVED : 0;
  }

  /** Reads the PASID table entry that the directory entry read last leads to. */
  private readEntry(found: Found): number {
    const { reader, spaces } = this.options;
    const words = reader.words;
    const tableHi = hiFromWords(words[0]!, words[1]!);
    const tableLo = words[0]! & PAGE;
    if (!reader.read(tableHi, tableLo | ((this.pasid & 0x3f) << 6), 16)) {
      return FaultReason.PASID_ENTRY_ACCESS;
    }
    if ((words[0]! & FPD) !== 0) found.suppressed = true;
    if ((words[0]! & P) === 0) return FaultReason.PASID_ENTRY_NOT_PRESENT;
    return spaces.isReserved(words) ? FaultReason.PASID_ENTRY_RESERVED : 0;
  }

  /** Goes on with a present PASID table entry, the one read last. */
  private useEntry(request: DmaRequest, found: Found): number {
    const { reader, spaces } = this.options;
    const words = reader.words;
    const layout = spaces.layoutOf(words, this.privileged);
    if (layout === null) return FaultReason.PASID_ENTRY_INVALID;
    if (request.addressType === AddressType.TRANSLATED) {
      const domainId = PERMISSION_DOMAINS + (words[10]! & 0xffff);
      return this.connect(request, found, domainId, NO_PASID, spaces.permissionsOf(words));
    }
    // ECAP.ERS is 0 on every unit
    if (asksToExecute(request)) return FaultReason.PASID_ENTRY_EXECUTE_BLOCKED;
    const allowsSupervisor = (words[4]! & 1) !== 0;
    if (this.privileged && !allowsSupervisor) return FaultReason.PASID_ENTRY_SUPERVISOR_BLOCKED;
    return this.connect(request, found, words[2]! & 0xffff, this.pasid, layout);
  }

  private connect(
    request: DmaRequest,
    found: Found,
    domainId: number,
    pasid: number,
    layout: SpaceLayout,
  ): number {
    const route = {
      domainId,
      pasid,
      layout,
      sourceId: request.sourceId & 0xffff,
      way: wayOf(request),
      suppressed: found.suppressed,
      deviceTlb: this.deviceTlb,
    };
    found.space = this.options.contexts.connect(route, found.effects);
    return 0;
  }
}

/** The way that a request goes: `Attachment.way`. */
function wayOf({ addressType, pasid, access }: DmaRequest): number {
  if (addressType === AddressType.TRANSLATED) return translatedWay(pasid);
  return pasid === NO_PASID ? OWN_WAY : pasidWay(pasid, isPrivileged(access));
}

/** The flag has a meaning only in requests with PASID. */
function asksToExecute({ access, pasid }: DmaRequest): boolean {
  return (access & Access.EXECUTE) !== 0 && pasid !== NO_PASID;
}

function isPrivileged(access: number): boolean {
  return (access & Access.PRIVILEGED) !== 0;
}
