import { checksOf } from "./check.ts";
import type { Check } from "./check.ts";
import { physicalAttachmentRequirements } from "./physical-attachments.ts";
import { physicalDirtyRequirements } from "./physical-dirty.ts";
import { physicalInterruptRequirements } from "./physical-interrupts.ts";
import { physicalMappingRequirements } from "./physical-mappings.ts";
import { physicalNestingRequirements } from "./physical-nesting.ts";
import { physicalPageRequestRequirements } from "./physical-page-requests.ts";
import { PhysicalUnderTest } from "./physical-under-test.ts";
import type { PhysicalIommuHarness } from "./physical-under-test.ts";

/**
 * Whether a physical IOMMU keeps the contract of the port: devices reach what their spaces map, and
 * nothing else, before and after each change; ids and frames come back; faults and interrupts tell
 * the truth. What `info` says it has not is left out.
 */
export function physicalIommuConformance(make: () => PhysicalIommuHarness): readonly Check[] {
  const nesting = physicalNestingRequirements().map((requirement) => ({
    ...requirement,
    applies: (test: PhysicalUnderTest) =>
      test.iommu.info.nesting && requirement.applies?.(test) !== false,
  }));
  return checksOf(
    () => new PhysicalUnderTest(make()),
    [
      ...physicalAttachmentRequirements(),
      ...physicalMappingRequirements(),
      ...physicalDirtyRequirements(),
      ...physicalInterruptRequirements(),
      ...physicalPageRequestRequirements(),
      ...nesting,
    ],
  );
}
