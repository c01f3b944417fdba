import type { InterruptRequest } from "@viommu/plugin";
import { bits, COMPATIBILITY_REQUEST, IRTE_REMAPPED } from "@viommu/vtd-spec";

/*
 * Messages in the form an MSI has: signed 32-bit ints, as table entries and registers hold them. A
 * destination of 32 bits is split between address 19:12 and upper address 31:8 (VT-d 5.1.6).
 */

const FEE = 0xfee << bits(COMPATIBILITY_REQUEST, "FEE").shift;
const DST_SHIFT = bits(COMPATIBILITY_REQUEST, "DST").shift;
const DLM_TO = bits(COMPATIBILITY_REQUEST, "DLM").shift;
const TM_TO = bits(COMPATIBILITY_REQUEST, "TM").shift;

/** Trigger mode level: always asserted in what a unit sends (VT-d 5.1.4, 5.2.3). */
const ASSERTED = 1 << bits(COMPATIBILITY_REQUEST, "LEVEL").shift;

/** Redirection hint and destination mode have the same places in an entry and in an address. */
const RH_DM = (1 << bits(IRTE_REMAPPED, "RH").shift) | (1 << bits(IRTE_REMAPPED, "DM").shift);

const VECTOR_SHIFT = bits(IRTE_REMAPPED, "V").shift;
const VECTOR_MASK = bits(IRTE_REMAPPED, "V").mask;
const DLM_SHIFT = bits(IRTE_REMAPPED, "DLM").shift;
const DLM_MASK = bits(IRTE_REMAPPED, "DLM").mask;
const TM_SHIFT = bits(IRTE_REMAPPED, "TM").shift;

/** Address bits that nobody looks at; a remapped message has them from its request. */
const IGNORED = 3;

/**
 * Completes a request with the message that a remapped entry stands for (VT-d 9.9).
 * @param word0 bits 31:0 of the entry
 * @param destination APIC id of 8 or 32 bits
 */
export function remappedMessage(
  request: InterruptRequest,
  word0: number,
  destination: number,
): void {
  request.messageAddress =
    FEE | ((destination & 0xff) << DST_SHIFT) | (word0 & RH_DM) | (request.address & IGNORED);
  request.messageUpper = destination & ~0xff;
  request.messageData =
    ((word0 >>> VECTOR_SHIFT) & VECTOR_MASK) |
    (((word0 >>> DLM_SHIFT) & DLM_MASK) << DLM_TO) |
    ASSERTED |
    (((word0 >>> TM_SHIFT) & 1) << TM_TO);
}
