import {
  CC_INV_DSC,
  DescriptorType,
  DEV_TLB_INV_DSC,
  Granularity,
  HPT_INV_DSC,
  IEC_INV_DSC,
  INV_WAIT_DSC,
  IOTLB_INV_DSC,
  P_DEV_TLB_INV_DSC,
  P_IOTLB_INV_DSC,
  PAGE_GRP_RESP_DSC,
  PasidCacheGranularity,
  PasidIotlbGranularity,
  PC_INV_DSC,
} from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import type { InvalidationOf, InvalidationRequest } from "./invalidation.ts";
import { PAGE_SIZE } from "./table-memory.ts";
import { WordEncoder } from "./word-encoder.ts";

/** What a wait descriptor writes when all before it is done; Linux uses the same number. */
export const DONE = 2;

const CONTEXT_CACHE = new WordEncoder(CC_INV_DSC);
const IOTLB = new WordEncoder(IOTLB_INV_DSC);
const DEVICE_TLB = new WordEncoder(DEV_TLB_INV_DSC);
const PASID_CACHE = new WordEncoder(PC_INV_DSC);
const PASID_IOTLB = new WordEncoder(P_IOTLB_INV_DSC);
const PASID_DEVICE_TLB = new WordEncoder(P_DEV_TLB_INV_DSC);
const HOST_PERMISSIONS = new WordEncoder(HPT_INV_DSC);
const PAGE_RESPONSE = new WordEncoder(PAGE_GRP_RESP_DSC);
const INTERRUPT_ENTRY_CACHE = new WordEncoder(IEC_INV_DSC);
const WAIT = new WordEncoder(INV_WAIT_DSC);

/** All descriptors have their address here. */
const ADDRESS_WORD = 2;

/** The descriptor for a request (VT-d 6.5.2). */
export function descriptorOf(request: InvalidationRequest, capabilities: Capabilities): Int32Array {
  switch (request.cache) {
    case "context":
      return contextDescriptor(request);
    case "pasid":
      return pasidCacheDescriptor(request);
    case "iotlb":
      return iotlbDescriptor(request, capabilities);
    case "pasid-iotlb":
      return pasidIotlbDescriptor(request);
    case "device-tlb":
      return deviceTlbDescriptor(request, capabilities);
    case "host-permission":
      return hostPermissionDescriptor(request);
    case "interrupt-entry":
      return interruptEntryDescriptor(request);
    case "page-response":
      return pageResponseDescriptor(request);
  }
}

/**
 * Writes DONE to an address when everything before it is done; with `drain`, behind the page requests
 * that were received before (PD, VT-d 7.7).
 */
export function waitDescriptor(statusAddress: number, drain: boolean): Int32Array {
  const values = { TYPE: DescriptorType.WAIT, SW: 1, PD: drain ? 1 : 0, SDATA: DONE };
  return WAIT.encodeWithAddress(values, ADDRESS_WORD, statusAddress);
}

/**
 * A fence: what follows waits for what is before it. By itself it does nothing, and is put in the
 * place of a descriptor that the unit refuses.
 */
export function fenceDescriptor(): Int32Array {
  return WAIT.encode({ TYPE: DescriptorType.WAIT, FN: 1 });
}

function contextDescriptor(request: InvalidationOf<"context">): Int32Array {
  const TYPE = DescriptorType.CONTEXT_CACHE;
  if (request.granularity === "global") {
    return CONTEXT_CACHE.encode({ TYPE, G: Granularity.GLOBAL });
  }
  const { domainId: DID, sourceId: SID } = request;
  return CONTEXT_CACHE.encode({ TYPE, G: Granularity.DEVICE, DID, SID });
}

function iotlbDescriptor(
  request: InvalidationOf<"iotlb">,
  { DRD: DR, DWD: DW }: Capabilities,
): Int32Array {
  const TYPE = DescriptorType.IOTLB;
  switch (request.granularity) {
    case "global":
      return IOTLB.encode({ TYPE, G: Granularity.GLOBAL, DR, DW });
    case "domain":
      return IOTLB.encode({ TYPE, G: Granularity.DOMAIN, DR, DW, DID: request.domainId });
    case "page": {
      const { domainId: DID, order: AM, leafOnly } = request;
      const values = { TYPE, G: Granularity.PAGE, DR, DW, DID, AM, IH: leafOnly ? 1 : 0 };
      return IOTLB.encodeWithAddress(values, ADDRESS_WORD, request.address);
    }
  }
}

function pasidCacheDescriptor(request: InvalidationOf<"pasid">): Int32Array {
  const TYPE = DescriptorType.PASID_CACHE;
  if (request.granularity === "global") {
    return PASID_CACHE.encode({ TYPE, G: PasidCacheGranularity.GLOBAL });
  }
  const { domainId: DID, pasid: PASID } = request;
  return PASID_CACHE.encode({ TYPE, G: PasidCacheGranularity.PASID, DID, PASID });
}

function pasidIotlbDescriptor(request: InvalidationOf<"pasid-iotlb">): Int32Array {
  const { domainId: DID, pasid: PASID } = request;
  const values = { TYPE: DescriptorType.PASID_IOTLB, DID, PASID };
  if (request.granularity === "pasid") {
    return PASID_IOTLB.encode({ ...values, G: PasidIotlbGranularity.PASID });
  }
  const { address, order: AM, leafOnly } = request;
  const page = { ...values, G: PasidIotlbGranularity.PAGE, AM, IH: leafOnly ? 1 : 0 };
  return PASID_IOTLB.encodeWithAddress(page, ADDRESS_WORD, address);
}

/** With S, the lowest zero bit of the page number gives the size: bit k means 2^(k+1) pages. */
function deviceTlbDescriptor(
  request: InvalidationOf<"device-tlb">,
  { DIT }: Capabilities,
): Int32Array {
  const { sourceId: SID, pasid, physicalFunction, pendingInvalidations, address, order } = request;
  const S = order === 0 ? 0 : 1;
  const ones = order === 0 ? 0 : (2 ** (order - 1) - 1) * PAGE_SIZE;
  // all of them is written as 0
  const values = {
    SID,
    S,
    MIP: pendingInvalidations & 31,
    ...physicalFunctionId(DIT, physicalFunction),
  };
  if (pasid === null) {
    const TYPE = DescriptorType.DEVICE_TLB;
    return DEVICE_TLB.encodeWithAddress({ ...values, TYPE }, ADDRESS_WORD, address + ones);
  }
  const PASID = { TYPE: DescriptorType.PASID_DEVICE_TLB, PASID: pasid };
  return PASID_DEVICE_TLB.encodeWithAddress({ ...values, ...PASID }, ADDRESS_WORD, address + ones);
}

/** PFSID in its two parts; reserved without ECAP.DIT. */
function physicalFunctionId(DIT: number, id: number): { PFSID: number; PFSID_HIGH: number } {
  return DIT === 0 ? { PFSID: 0, PFSID_HIGH: 0 } : { PFSID: id & 15, PFSID_HIGH: id >> 4 };
}

function hostPermissionDescriptor(request: InvalidationOf<"host-permission">): Int32Array {
  const TYPE = DescriptorType.HPT_CACHE;
  if (request.granularity === "global") {
    return HOST_PERMISSIONS.encode({ TYPE, G: Granularity.GLOBAL });
  }
  const values = { TYPE, HPTDID: request.hptDomainId, IH: request.levels - 1 };
  if (request.granularity === "domain") {
    return HOST_PERMISSIONS.encode({ ...values, G: Granularity.DOMAIN });
  }
  const page = { ...values, G: Granularity.PAGE, AM: request.order };
  return HOST_PERMISSIONS.encodeWithAddress(page, ADDRESS_WORD, request.address);
}

function pageResponseDescriptor(request: InvalidationOf<"page-response">): Int32Array {
  const { sourceId: RID, pasid, group: PRGI, code: RC } = request;
  const TYPE = DescriptorType.PAGE_GROUP_RESPONSE;
  const PP = pasid === null ? 0 : 1;
  return PAGE_RESPONSE.encode({ TYPE, RID, PP, PASID: pasid ?? 0, RC, PRGI });
}

function interruptEntryDescriptor(request: InvalidationOf<"interrupt-entry">): Int32Array {
  const TYPE = DescriptorType.INTERRUPT_ENTRY_CACHE;
  if (request.granularity === "global") return INTERRUPT_ENTRY_CACHE.encode({ TYPE });
  const { index: IIDX, order: IM } = request;
  return INTERRUPT_ENTRY_CACHE.encode({ TYPE, G: 1, IIDX, IM });
}
