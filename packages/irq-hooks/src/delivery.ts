/** Delivery mode of an interrupt message, bits 10:8 of its data (SDM vol. 3, 11.11.2). */
export const DeliveryMode = {
  FIXED: 0,
  LOWEST_PRIORITY: 1,
  SMI: 2,
  NMI: 4,
  INIT: 5,
  /** Start-up IPI: only a local APIC can send it (ICR), never a device. */
  STARTUP: 6,
  EXTINT: 7,
} as const;

/** Modes that deliver a vector to the IRR; all others go to the processor core directly. */
export function isVectored(mode: number): boolean {
  return mode <= DeliveryMode.LOWEST_PRIORITY;
}

/** Bits 31:20 of every interrupt message's address: FEEx_xxxxh. */
export const INTERRUPT_RANGE = 0xfee;
