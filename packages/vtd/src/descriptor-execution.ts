import { ALL_PASIDS, NO_PASID } from "@viommu/plugin";
import {
  bits,
  CC_INV_DSC,
  DescriptorType,
  DEV_TLB_INV_DSC,
  domainIdWidth,
  Granularity,
  HPT_INV_DSC,
  IEC_INV_DSC,
  IOTLB_INV_DSC,
  maxGuestAddressWidth,
  P_DEV_TLB_INV_DSC,
  P_IOTLB_INV_DSC,
  PAGE_GRP_RESP_DSC,
  PasidCacheGranularity,
  PasidIotlbGranularity,
  PC_INV_DSC,
  TranslationTableMode,
} from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { bitsInWord, valueOf } from "./bit-field.ts";
import { descriptorType } from "./descriptor.ts";
import type { DeviceTlbInvalidations } from "./device-tlb.ts";
import type { Invalidator } from "./invalidator.ts";
import type { PageResponseSink } from "./page-request-queue.ts";
import { PageRange } from "./page-range.ts";

const CONTEXT = {
  G: bits(CC_INV_DSC, "G"),
  DID: bits(CC_INV_DSC, "DID"),
  SID: bits(CC_INV_DSC, "SID"),
  FM: bits(CC_INV_DSC, "FM"),
};
const IOTLB = { AM: bits(IOTLB_INV_DSC, "AM"), IH: bits(IOTLB_INV_DSC, "IH") };
const IEC = {
  G: bits(IEC_INV_DSC, "G"),
  IIDX: bits(IEC_INV_DSC, "IIDX"),
  IM: bits(IEC_INV_DSC, "IM"),
};
const DEVICE = { SID: bits(DEV_TLB_INV_DSC, "SID"), S: bitsInWord(DEV_TLB_INV_DSC, "S") };
const PASID_DEVICE = {
  SID: bits(P_DEV_TLB_INV_DSC, "SID"),
  PASID: bits(P_DEV_TLB_INV_DSC, "PASID"),
  S: bitsInWord(P_DEV_TLB_INV_DSC, "S"),
  GI: bitsInWord(P_DEV_TLB_INV_DSC, "GI"),
};
const PASID_IOTLB = { G: bits(P_IOTLB_INV_DSC, "G"), PASID: bits(P_IOTLB_INV_DSC, "PASID") };
const PASID_CACHE = { G: bits(PC_INV_DSC, "G"), PASID: bits(PC_INV_DSC, "PASID") };
/** HPTDID, AM and ADDR lie where DID, AM and ADDR are in an IOTLB descriptor. */
const HPT = { IH: bits(HPT_INV_DSC, "IH") };
const RESPONSE = {
  PP: bits(PAGE_GRP_RESP_DSC, "PP"),
  RC: bits(PAGE_GRP_RESP_DSC, "RC"),
  RID: bits(PAGE_GRP_RESP_DSC, "RID"),
  PASID: bits(PAGE_GRP_RESP_DSC, "PASID"),
  PRGI: bits(PAGE_GRP_RESP_DSC, "PRGI"),
};

/** Bits of the function number that a function mask FM ignores (VT-d 6.5.2.1, table 21). */
export const FUNCTION_MASKS: readonly number[] = [0, 4, 6, 7];

/** What descriptors act on. */
export interface DescriptorTargets {
  readonly capabilities: Capabilities;
  readonly hostAddressWidth: number;
  readonly invalidator: Invalidator;
  readonly deviceTlb: DeviceTlbInvalidations;
  readonly pageResponses: PageResponseSink | null;
}

/** Carries out valid descriptors, all but the wait descriptor (VT-d 6.5.2, 7.6.1). */
export class DescriptorExecutor {
  readonly #targets: DescriptorTargets;
  readonly #domainIdMask: number;
  readonly #addressWidth: number;
  readonly #hostAddressWidth: number;
  readonly #range = new PageRange();

  constructor(targets: DescriptorTargets) {
    this.#targets = targets;
    this.#domainIdMask = (1 << domainIdWidth(targets.capabilities)) - 1;
    this.#addressWidth = maxGuestAddressWidth(targets.capabilities);
    this.#hostAddressWidth = targets.hostAddressWidth;
  }

  /** False when a descriptor has to wait until its device can take another invalidation. */
  hasRoom(words: Int32Array): boolean {
    const { deviceTlb } = this.#targets;
    switch (descriptorType(words)) {
      case DescriptorType.DEVICE_TLB:
        return deviceTlb.hasRoom(valueOf(words, DEVICE.SID));
      case DescriptorType.PASID_DEVICE_TLB:
        return deviceTlb.hasRoom(valueOf(words, PASID_DEVICE.SID));
      default:
        return true;
    }
  }

  /** `mode` is one of `TranslationTableMode`. */
  execute(words: Int32Array, mode: number): void {
    switch (descriptorType(words)) {
      case DescriptorType.CONTEXT_CACHE:
        this.#context(words, mode);
        return;
      case DescriptorType.IOTLB:
        this.#iotlb(words);
        return;
      case DescriptorType.DEVICE_TLB:
        this.#range.setSized(words[2]!, words[3]!, (words[2]! & DEVICE.S) !== 0);
        this.#device(valueOf(words, DEVICE.SID), NO_PASID);
        return;
      case DescriptorType.INTERRUPT_ENTRY_CACHE:
        this.#interruptEntries(words);
        return;
      case DescriptorType.PASID_IOTLB:
        this.#pasidIotlb(words);
        return;
      case DescriptorType.PASID_CACHE:
        this.#pasidCache(words);
        return;
      case DescriptorType.PASID_DEVICE_TLB:
        this.#pasidDevice(words);
        return;
      case DescriptorType.PAGE_GROUP_RESPONSE:
        this.#respond(words);
        return;
      case DescriptorType.HPT_CACHE:
        this.#hostPermissions(words);
        return;
    }
  }

  #domainId(words: Int32Array): number {
    return valueOf(words, CONTEXT.DID) & this.#domainIdMask;
  }

  #context(words: Int32Array, mode: number): void {
    const { invalidator } = this.#targets;
    const granularity = valueOf(words, CONTEXT.G);
    const domainId = this.#domainId(words);
    if (granularity === Granularity.DEVICE) {
      const mask = FUNCTION_MASKS[valueOf(words, CONTEXT.FM)]!;
      invalidator.contextDevice(domainId, valueOf(words, CONTEXT.SID), mask);
    } else if (granularity === Granularity.DOMAIN && mode !== TranslationTableMode.SCALABLE) {
      invalidator.contextDomain(domainId);
    } else {
      // scalable-mode context entries have no domain-id: a domain is everything
      invalidator.contextGlobal();
    }
  }

  #iotlb(words: Int32Array): void {
    const { invalidator } = this.#targets;
    const domainId = this.#domainId(words);
    switch (valueOf(words, CONTEXT.G)) {
      case Granularity.PAGE: {
        // second-stage addresses: bits at and above MGAW are ignored
        const { hi, lo, order } = this.#page(words, this.#addressWidth);
        invalidator.iotlbPages(domainId, hi, lo, order, valueOf(words, IOTLB.IH) === 1);
        return;
      }
      case Granularity.DOMAIN:
        invalidator.iotlbDomain(domainId);
        return;
      default:
        invalidator.iotlbGlobal();
    }
  }

  /** Address bits from `width` up are ignored. */
  #page(words: Int32Array, width: number): PageRange {
    const mask = valueOf(words, IOTLB.AM);
    this.#range.setMaskedBelow(width, words[2]!, words[3]!, mask);
    return this.#range;
  }

  #interruptEntries(words: Int32Array): void {
    const { invalidator } = this.#targets;
    if (valueOf(words, IEC.G) === 0) {
      invalidator.allInterruptEntries();
      return;
    }
    const count = 1 << valueOf(words, IEC.IM);
    invalidator.interruptEntries(valueOf(words, IEC.IIDX) & -count, count);
  }

  #pasidIotlb(words: Int32Array): void {
    const { invalidator } = this.#targets;
    const domainId = this.#domainId(words);
    const pasid = valueOf(words, PASID_IOTLB.PASID);
    if (valueOf(words, PASID_IOTLB.G) === PasidIotlbGranularity.PASID) {
      invalidator.pasidIotlb(domainId, pasid);
      return;
    }
    this.#range.setMasked(words[2]!, words[3]!, valueOf(words, IOTLB.AM));
    const { hi, lo, order } = this.#range;
    const leafOnly = valueOf(words, IOTLB.IH) === 1;
    invalidator.pasidIotlbPages(domainId, pasid, hi, lo, order, leafOnly);
  }

  #pasidCache(words: Int32Array): void {
    const { invalidator } = this.#targets;
    const domainId = this.#domainId(words);
    switch (valueOf(words, PASID_CACHE.G)) {
      case PasidCacheGranularity.DOMAIN:
        invalidator.pasidCacheDomain(domainId);
        return;
      case PasidCacheGranularity.PASID:
        invalidator.pasidCachePasid(domainId, valueOf(words, PASID_CACHE.PASID));
        return;
      default:
        invalidator.pasidCacheGlobal();
    }
  }

  #pasidDevice(words: Int32Array): void {
    const everyPasid = (words[2]! & PASID_DEVICE.GI) !== 0;
    this.#range.setSized(words[2]! & ~0xfff, words[3]!, (words[2]! & PASID_DEVICE.S) !== 0);
    const pasid = everyPasid ? ALL_PASIDS : valueOf(words, PASID_DEVICE.PASID);
    this.#device(valueOf(words, PASID_DEVICE.SID), pasid);
  }

  #hostPermissions(words: Int32Array): void {
    const { invalidator } = this.#targets;
    const hptDomainId = this.#domainId(words);
    const levels = valueOf(words, HPT.IH) + 1;
    switch (valueOf(words, CONTEXT.G)) {
      case Granularity.PAGE: {
        const { hi, lo, order } = this.#page(words, this.#hostAddressWidth);
        invalidator.hostPermissionsPages(hptDomainId, hi, lo, order, levels);
        return;
      }
      case Granularity.DOMAIN:
        invalidator.hostPermissionsDomain(hptDomainId, levels);
        return;
      default:
        invalidator.hostPermissionsGlobal();
    }
  }

  #device(sourceId: number, pasid: number): void {
    const { hi, lo, order } = this.#range;
    this.#targets.invalidator.deviceTlb(sourceId, pasid, hi, lo, order);
    this.#targets.deviceTlb.send(sourceId, pasid, hi, lo, order);
  }

  #respond(words: Int32Array): void {
    this.#targets.pageResponses?.respond(
      valueOf(words, RESPONSE.RID),
      valueOf(words, RESPONSE.PP) === 1 ? valueOf(words, RESPONSE.PASID) : NO_PASID,
      valueOf(words, RESPONSE.PRGI),
      valueOf(words, RESPONSE.RC),
    );
  }
}
