import { createHookTable } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";
import { TranslationEngine } from "@viommu/translation";
import { decodeCapabilities, TranslationTableMode } from "@viommu/vtd-spec";
import type { PhysicalUnit } from "../../src/index.ts";

/**
 * A second unit over the tables of the first, which remembers nothing: `invalidateAll` before each
 * question makes its answers what the tables say at that moment.
 */
export function coldUnit(
  unit: PhysicalUnit,
  memory: GuestMemory,
  rootFrame: number,
): TranslationEngine {
  const { cap, ecap, hostAddressWidth } = unit.info;
  const capabilities = decodeCapabilities(cap, ecap);
  const engine = new TranslationEngine({
    memory,
    capabilities,
    hostAddressWidth,
    segment: 0,
    reporter: { dmaFault: () => undefined },
    hooks: createHookTable(),
    unit: "cold",
    iotlbSlots: 16,
  });
  const { LEGACY, SCALABLE } = TranslationTableMode;
  const mode = capabilities.SMTS !== 0 ? SCALABLE : LEGACY;
  engine.latchRoot(0, rootFrame * 4096, mode, false);
  engine.setEnabled(true);
  return engine;
}
