import { isVectored } from "./delivery.ts";
import type { InterruptRoute } from "./interrupt-route.ts";

/**
 * Bits of the low half of a redirection entry (82093AA 3.2.4). The high half holds, in compatibility
 * format (bit 48 = 0), the destination at 63:56 and its extension at 55:49; in remappable format
 * (bit 48 = 1) index 14:0 at 63:49, with index 15 at bit 11 (VT-d 5.1.5.1).
 */
export const RedirectionBit = {
  REMOTE_IRR: 0x4000,
  LOW_ACTIVE: 0x2000,
  LEVEL: 0x8000,
  MASKED: 0x1_0000,
} as const;

/** Bits 16, 15, 13 and 11:0: what a guest may write in the low half. Status and remote IRR it may not. */
export const LOW_WRITABLE = 0x1_afff;
/** Masked, all else 0. */
export const LOW_RESET = 0x1_0000;

/** Whether the entry waits for an EOI: NMI, SMI, INIT and ExtINT are edges, however programmed. */
export function isLevelTriggered(low: number): boolean {
  return (low & RedirectionBit.LEVEL) !== 0 && isVectored((low >>> 8) & 7);
}

/**
 * Delivers the interrupt of a redirection entry. Both formats make their message in the same way,
 * which is how VT-d could add its own: entry bits 63:48 are address bits 19:4, bit 11 is address bit
 * 2 (logical mode, or index 15); the redirection hint (remappable: SHV) is 0. Returns what
 * {@link InterruptRoute.send} does.
 */
export function ioapicDeliver(route: InterruptRoute, low: number, high: number): number {
  const address = 0xfee0_0000 | ((high >>> 16) << 4) | ((low & 0x800) >>> 9);
  const asserted = (low & RedirectionBit.LEVEL) >>> 1; // bit 14: a level is on
  return route.send(address, (low & 0x87ff) | asserted);
}
