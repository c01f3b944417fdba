import * as narrow from "./invalidation-descriptors.ts";
import * as wide from "./invalidation-descriptors-wide.ts";
import type { CapabilityName, Layout } from "./layout.ts";
import { PAGE_GRP_RESP_DSC } from "./page-request.ts";

/** Types of invalidation descriptors: TYPE_HIGH * 16 + TYPE (VT-d 6.5.2). */
export const DescriptorType = {
  CONTEXT_CACHE: 1,
  IOTLB: 2,
  DEVICE_TLB: 3,
  INTERRUPT_ENTRY_CACHE: 4,
  WAIT: 5,
  PASID_IOTLB: 6,
  PASID_CACHE: 7,
  PASID_DEVICE_TLB: 8,
  PAGE_GROUP_RESPONSE: 9,
  HPT_CACHE: 0xa,
} as const;

/** An invalidation descriptor. Those of 256 bits are valid outside legacy mode only. */
export interface DescriptorLayout extends Layout {
  readonly type: number;
  /** Without this capability the type is invalid. */
  readonly requires?: CapabilityName;
  /** Values of G which are not reserved; absent: no G, or all values. */
  readonly granularities?: readonly number[];
}

/** All invalidation descriptors in the order of their types (VT-d 6.5.2, 7.6.1). */
export const INVALIDATION_DESCRIPTORS: readonly DescriptorLayout[] = [
  narrow.CC_INV_DSC,
  narrow.IOTLB_INV_DSC,
  narrow.DEV_TLB_INV_DSC,
  narrow.IEC_INV_DSC,
  narrow.INV_WAIT_DSC,
  wide.P_IOTLB_INV_DSC,
  wide.PC_INV_DSC,
  wide.P_DEV_TLB_INV_DSC,
  PAGE_GRP_RESP_DSC,
  wide.HPT_INV_DSC,
];
