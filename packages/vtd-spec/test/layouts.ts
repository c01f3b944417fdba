import * as spec from "../src/index.ts";
import {
  decodeCapabilities,
  INVALIDATION_DESCRIPTORS,
  MOVABLE_REGISTERS,
  REGISTERS,
  type Capabilities,
  type Layout,
} from "../src/index.ts";

/** Every layout of a structure in memory, or of a message. */
const STRUCTURES: readonly Layout[] = [
  spec.ROOT_ENTRY,
  spec.SM_ROOT_ENTRY,
  spec.CONTEXT_ENTRY,
  spec.SM_CONTEXT_ENTRY,
  spec.PASID_DIR_ENTRY,
  spec.PASID_ENTRY,
  spec.SS_UPPER,
  spec.SS_TABLE,
  spec.SS_PAGE_1G,
  spec.SS_PAGE_2M,
  spec.SS_PAGE_4K,
  spec.FS_UPPER,
  spec.FS_TABLE,
  spec.FS_PAGE_1G,
  spec.FS_PAGE_2M,
  spec.FS_PAGE_4K,
  spec.HPTL4E,
  spec.HPTL3E,
  spec.HPTL2E,
  spec.HPTL1E,
  spec.IRTE_REMAPPED,
  spec.IRTE_REMAPPED_XAPIC,
  spec.IRTE_POSTED,
  spec.POSTED_INTERRUPT_DESCRIPTOR,
  spec.POSTED_INTERRUPT_DESCRIPTOR_XAPIC,
  spec.COMPATIBILITY_REQUEST,
  spec.REMAPPABLE_REQUEST,
  spec.REMAPPABLE_REQUEST_SHV,
  spec.EVENT_MESSAGE,
  spec.EVENT_MESSAGE_XAPIC,
  spec.IOAPIC_RTE_REMAPPABLE,
  spec.IOAPIC_RTE_COMPATIBILITY,
  spec.PAGE_REQ_DSC,
];

/** Every layout of the package. */
export const LAYOUTS: readonly Layout[] = [
  ...REGISTERS,
  ...MOVABLE_REGISTERS,
  ...INVALIDATION_DESCRIPTORS,
  ...STRUCTURES,
];

/** Capabilities with these values, all others 0. */
export function offering(values: Partial<Capabilities>): Capabilities {
  return { ...decodeCapabilities(0n, 0n), ...values };
}

/** Everything a unit may report: every layout then has all its fields. */
export const EVERYTHING: Capabilities = offering({
  ...(Object.fromEntries(Object.keys(offering({})).map((name) => [name, 1])) as Capabilities),
  ND: 6,
  SSLPS: 3,
});

/** For property tests: the same examples in each run, others with VIOMMU_SEED set. */
export const PROPERTY = { seed: Number(process.env.VIOMMU_SEED ?? 20251), numRuns: 300 };
