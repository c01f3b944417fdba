import {
  CC_INV_DSC,
  DEV_TLB_INV_DSC,
  encode,
  Granularity,
  IEC_INV_DSC,
  INV_WAIT_DSC,
  IOTLB_INV_DSC,
  DescriptorType,
} from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import type { InvalidationOf, InvalidationRequest, PageBlock } from "./invalidation.ts";
import { PAGE_SIZE } from "./table-memory.ts";

/** What a wait descriptor writes when all before it is done; Linux uses the same number. */
export const DONE = 2;

/** The descriptor for a request (VT-d 6.5.2). */
export function descriptorOf(request: InvalidationRequest, capabilities: Capabilities): Int32Array {
  switch (request.cache) {
    case "context":
      return contextDescriptor(request);
    case "iotlb":
      return iotlbDescriptor(request, capabilities);
    case "device-tlb":
      return encode(DEV_TLB_INV_DSC, {
        TYPE: DescriptorType.DEVICE_TLB,
        SID: request.sourceId,
        ...deviceTlbRange(request),
      });
    case "interrupt-entry":
      return interruptEntryDescriptor(request);
  }
}

/** Writes DONE to an address when everything before it is done. */
export function waitDescriptor(statusAddress: number): Int32Array {
  const TYPE = DescriptorType.WAIT;
  return encode(INV_WAIT_DSC, { TYPE, SW: 1, SDATA: DONE, SADDR: statusAddress });
}

/** Does nothing; put in the place of a descriptor that the unit refuses. */
export function emptyDescriptor(): Int32Array {
  return encode(INV_WAIT_DSC, { TYPE: DescriptorType.WAIT, FN: 1 });
}

function contextDescriptor(request: InvalidationOf<"context">): Int32Array {
  const TYPE = DescriptorType.CONTEXT_CACHE;
  if (request.granularity === "global") return encode(CC_INV_DSC, { TYPE, G: Granularity.GLOBAL });
  const { domainId: DID, sourceId: SID } = request;
  return encode(CC_INV_DSC, { TYPE, G: Granularity.DEVICE, DID, SID });
}

function iotlbDescriptor(request: InvalidationOf<"iotlb">, capabilities: Capabilities): Int32Array {
  const common = { TYPE: DescriptorType.IOTLB, DR: capabilities.DRD, DW: capabilities.DWD };
  switch (request.granularity) {
    case "global":
      return encode(IOTLB_INV_DSC, { ...common, G: Granularity.GLOBAL });
    case "domain":
      return encode(IOTLB_INV_DSC, { ...common, G: Granularity.DOMAIN, DID: request.domainId });
    case "page": {
      const { domainId: DID, address: ADDR, order: AM, leafOnly } = request;
      const IH = leafOnly ? 1 : 0;
      return encode(IOTLB_INV_DSC, { ...common, G: Granularity.PAGE, DID, ADDR, AM, IH });
    }
  }
}

function interruptEntryDescriptor(request: InvalidationOf<"interrupt-entry">): Int32Array {
  const TYPE = DescriptorType.INTERRUPT_ENTRY_CACHE;
  if (request.granularity === "global") return encode(IEC_INV_DSC, { TYPE });
  return encode(IEC_INV_DSC, { TYPE, G: 1, IIDX: request.index, IM: request.order });
}

/** With S, the lowest zero bit of the page number gives the size: bit k means 2^(k+1) pages. */
function deviceTlbRange({ address, order }: PageBlock): { ADDR: bigint; S: number } {
  if (order === 0) return { ADDR: BigInt(address), S: 0 };
  const pages = (1n << BigInt(order - 1)) - 1n;
  return { ADDR: BigInt(address) | (pages * BigInt(PAGE_SIZE)), S: 1 };
}
