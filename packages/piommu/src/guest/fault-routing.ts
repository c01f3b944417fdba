import { DmaRequest } from "@viommu/plugin";
import type { PhysicalFault } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import type { Binding } from "./passed-device.ts";

const request = (fault: PhysicalFault, sourceId: number): DmaRequest => {
  const copy = new DmaRequest();
  copy.sourceId = sourceId;
  copy.pasid = fault.pasid;
  copy.access = fault.access;
  copy.addressType = fault.addressType;
  copy.hi = fault.hi;
  copy.lo = fault.lo;
  return copy;
};

/**
 * Puts a DMA fault of a physical device into the fault log of the guest's unit, with the source-id
 * that the guest knows, if the guest's own tables are the reason. False: a matter of the host.
 */
export function routeDmaFault(fault: PhysicalFault, binding: Binding): boolean {
  const { virtualSourceId, state } = binding.device;
  const { unit } = state;
  const { stage } = binding;
  const seen = request(fault, virtualSourceId);
  // the unit's own answer has the guest's reason, and respects FPD
  if (unit.dma.probe(seen) > 0) {
    unit.dma.translate(seen);
    return true;
  }
  seen.suppressed = stage.kind !== "off" && stage.suppressed;
  if (fault.stage === "first-stage") {
    unit.recordDmaFault(fault.reason, seen); // the tables have been repaired since
    return true;
  }
  if (!binding.starved) return false;
  // the guest's tables can't be used, as if they could not be read
  const reason = state.tables.scalable
    ? FaultReason.SM_SS_ENTRY_ACCESS
    : FaultReason.SS_ENTRY_ACCESS;
  unit.recordDmaFault(reason, seen);
  return true;
}
