import {
  CC_INV_DSC,
  DescriptorType,
  DEV_TLB_INV_DSC,
  Granularity,
  IEC_INV_DSC,
  INV_WAIT_DSC,
  IOTLB_INV_DSC,
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
const INTERRUPT_ENTRY_CACHE = new WordEncoder(IEC_INV_DSC);
const WAIT = new WordEncoder(INV_WAIT_DSC);

/** All descriptors have their address here. */
const ADDRESS_WORD = 2;

/** The descriptor for a request (VT-d 6.5.2). */
export function descriptorOf(request: InvalidationRequest, capabilities: Capabilities): Int32Array {
  switch (request.cache) {
    case "context":
      return contextDescriptor(request);
    case "iotlb":
      return iotlbDescriptor(request, capabilities);
    case "device-tlb":
      return deviceTlbDescriptor(request);
    case "interrupt-entry":
      return interruptEntryDescriptor(request);
  }
}

/** Writes DONE to an address when everything before it is done. */
export function waitDescriptor(statusAddress: number): Int32Array {
  const values = { TYPE: DescriptorType.WAIT, SW: 1, SDATA: DONE };
  return WAIT.encodeWithAddress(values, ADDRESS_WORD, statusAddress);
}

/** Does nothing; put in the place of a descriptor that the unit refuses. */
export function emptyDescriptor(): Int32Array {
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

/** With S, the lowest zero bit of the page number gives the size: bit k means 2^(k+1) pages. */
function deviceTlbDescriptor(request: InvalidationOf<"device-tlb">): Int32Array {
  const { sourceId: SID, address, order } = request;
  const values = { TYPE: DescriptorType.DEVICE_TLB, SID, S: order === 0 ? 0 : 1 };
  const ones = order === 0 ? 0 : (2 ** (order - 1) - 1) * PAGE_SIZE;
  return DEVICE_TLB.encodeWithAddress(values, ADDRESS_WORD, address + ones);
}

function interruptEntryDescriptor(request: InvalidationOf<"interrupt-entry">): Int32Array {
  const TYPE = DescriptorType.INTERRUPT_ENTRY_CACHE;
  if (request.granularity === "global") return INTERRUPT_ENTRY_CACHE.encode({ TYPE });
  const { index: IIDX, order: IM } = request;
  return INTERRUPT_ENTRY_CACHE.encode({ TYPE, G: 1, IIDX, IM });
}
