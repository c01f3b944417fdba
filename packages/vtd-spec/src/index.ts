export type { Capabilities, CapabilityName, Field, FieldName, Layout } from "./layout.ts";
export { bits, decode, encode, fromQwords, reservedMask, toQwords } from "./codec.ts";
export type { FieldBits } from "./codec.ts";

// Capabilities
export { decodeCapabilities, encodeCapabilities } from "./capabilities.ts";
export { domainIdWidth, maxGuestAddressWidth } from "./widths.ts";
export { CAPABILITY_RULES, type CapabilityRule } from "./capability-rules.ts";

// Faults
export { FAULT_REASONS, FaultReason, faultReason, isQualified } from "./fault-reasons.ts";
export type { FaultReasonCode, FaultReasonInfo, FaultReasonName } from "./fault-reasons.ts";

// Registers
export { accessMask } from "./register.ts";
export type { Access, RegisterBase, RegisterField, RegisterLayout } from "./register.ts";
export { Offset } from "./offsets.ts";
export { MOVABLE_REGISTERS, REGISTERS } from "./registers.ts";
export { CAP, ECAP } from "./registers-capability.ts";
export { GCMD, GSTS, IRTA, RDTC, RTADDR, TranslationTableMode, VER } from "./registers-global.ts";
export { CCMD, IOTLB, IVA } from "./registers-invalidation.ts";
export { FEADDR, FECTL, FEDATA, FEUADDR, FRCD, FSTS } from "./registers-fault.ts";
export { AddressType, FaultType } from "./registers-fault.ts";
export { PHMBASE, PHMLIMIT, PLMBASE, PLMLIMIT, PMEN } from "./registers-protected-memory.ts";
export { ICS, IEADDR, IECTL, IEDATA, IEUADDR } from "./registers-queue.ts";
export { InvalidationQueueError, IQA, IQERCD, IQH, IQT } from "./registers-queue.ts";
export { PEADDR, PECTL, PEDATA, PEUADDR } from "./registers-page-request.ts";
export { PQA, PQH, PQT, PRS } from "./registers-page-request.ts";
export { MemoryType, MTRRCAP, MTRRDEF } from "./registers-mtrr.ts";
export { MTRR_FIX, MTRR_PHYSBASE, MTRR_PHYSMASK } from "./registers-mtrr.ts";
export { CommandStatus, ECCAP3, ECEO, ECMD, ECRSP, EnhancedCommand } from "./registers-command.ts";
export { VCCAP, VCMD, VCMD_EO, VCRSP, VirtualCommand } from "./registers-command.ts";

// Tables of DMA remapping
export { ROOT_ENTRY, SM_ROOT_ENTRY } from "./root-entry.ts";
export { AddressWidth, CONTEXT_ENTRY, SM_CONTEXT_ENTRY, TranslationType } from "./context-entry.ts";
export { PASID_DIR_ENTRY, PASID_ENTRY, PasidTranslationType } from "./pasid-entry.ts";
export { SS_PAGE_1G, SS_PAGE_2M, SS_PAGE_4K, SS_TABLE, SS_UPPER } from "./second-stage.ts";
export { FS_PAGE_1G, FS_PAGE_2M, FS_PAGE_4K, FS_TABLE, FS_UPPER } from "./first-stage.ts";
export { HPTL1E, HPTL2E, HPTL3E, HPTL4E } from "./host-permission.ts";

// Interrupts
export { IRTE_POSTED, IRTE_REMAPPED, IRTE_REMAPPED_XAPIC } from "./irte.ts";
export { DeliveryMode, SourceValidation } from "./irte.ts";
export { POSTED_INTERRUPT_DESCRIPTOR } from "./posted-interrupt-descriptor.ts";
export { POSTED_INTERRUPT_DESCRIPTOR_XAPIC } from "./posted-interrupt-descriptor.ts";
export { COMPATIBILITY_REQUEST, REMAPPABLE_REQUEST } from "./interrupt-message.ts";
export { REMAPPABLE_REQUEST_SHV } from "./interrupt-message.ts";
export { EVENT_MESSAGE, EVENT_MESSAGE_XAPIC } from "./interrupt-message.ts";
export { IOAPIC_RTE_COMPATIBILITY, IOAPIC_RTE_REMAPPABLE } from "./ioapic-rte.ts";

// Queues
export { DescriptorType, INVALIDATION_DESCRIPTORS } from "./invalidation-queue.ts";
export type { DescriptorLayout } from "./invalidation-queue.ts";
export { CC_INV_DSC, DEV_TLB_INV_DSC, IEC_INV_DSC } from "./invalidation-descriptors.ts";
export { Granularity, INV_WAIT_DSC, IOTLB_INV_DSC } from "./invalidation-descriptors.ts";
export { HPT_INV_DSC, P_DEV_TLB_INV_DSC } from "./invalidation-descriptors-wide.ts";
export { P_IOTLB_INV_DSC, PC_INV_DSC } from "./invalidation-descriptors-wide.ts";
export { PasidCacheGranularity, PasidIotlbGranularity } from "./invalidation-descriptors-wide.ts";
export { PAGE_GRP_RESP_DSC, PAGE_REQ_DSC, ResponseCode } from "./page-request.ts";
