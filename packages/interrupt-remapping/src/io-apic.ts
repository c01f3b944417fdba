import type { InterruptRequest } from "@viommu/plugin";
import {
  bits,
  COMPATIBILITY_REQUEST,
  DeliveryMode,
  IOAPIC_RTE_COMPATIBILITY,
  IOAPIC_RTE_REMAPPABLE,
} from "@viommu/vtd-spec";

const FEE = 0xfee << bits(COMPATIBILITY_REQUEST, "FEE").shift;
const FORMAT = bits(IOAPIC_RTE_REMAPPABLE, "IF");
const DLM = bits(IOAPIC_RTE_COMPATIBILITY, "DLM");
const INDEX_15 = bits(IOAPIC_RTE_REMAPPABLE, "INDEX_15");
const VECTOR_MASK = bits(IOAPIC_RTE_REMAPPABLE, "V").mask;
const DLM_IN_PLACE = DLM.mask << DLM.shift;
const TRIGGER = 1 << bits(IOAPIC_RTE_REMAPPABLE, "TM").shift;
const ASSERTED = 1 << bits(COMPATIBILITY_REQUEST, "LEVEL").shift;
const RH = 1 << bits(COMPATIBILITY_REQUEST, "RH").shift;

/**
 * Puts the message that an I/O APIC sends for a redirection table entry into the request: in
 * remappable or in compatibility format, as RTE bit 48 says (VT-d 5.1.5.1).
 *
 * In both formats RTE 63:48 are address bits 19:4 and RTE bit 11 is address bit 2. SHV stays 0 in
 * remappable format; in compatibility format the redirection hint is set for lowest priority.
 * Vector, delivery mode and trigger mode are in the data, level asserted.
 */
export function ioApicMessage(rteLow: number, rteHigh: number, request: InterruptRequest): void {
  const remappable = (rteHigh >>> FORMAT.shift) & 1;
  const lowestPriority = ((rteLow >>> DLM.shift) & DLM.mask) === DeliveryMode.LOWEST_PRIORITY;
  request.upper = 0;
  request.address =
    FEE |
    ((rteHigh >>> FORMAT.shift) << 4) |
    (remappable === 0 && lowestPriority ? RH : 0) |
    (((rteLow >>> INDEX_15.shift) & 1) << 2);
  request.data = (rteLow & (VECTOR_MASK | DLM_IN_PLACE | TRIGGER)) | ASSERTED;
}
