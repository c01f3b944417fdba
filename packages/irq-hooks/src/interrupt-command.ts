import { DeliveryMode, isVectored } from "./delivery.ts";
import { ApicError, ApicMode } from "./vlapic-array.ts";
import { EVERYONE } from "./destinations.ts";
import type { LapicBus } from "./vlapic-bus.ts";

/** Bits 19:18 of ICR. */
export const Shorthand = {
  NONE: 0,
  SELF: 0x4_0000,
  ALL: 0x8_0000,
  OTHERS: 0xc_0000,
} as const;

const LOGICAL = 0x800;
const ASSERT = 0x4000;
const LEVEL = 0x8000;

/**
 * Sends what a vCPU has written to its ICR (SDM vol. 3, 11.6.1, 11.12.9): bits 7:0 vector, 10:8
 * delivery mode, 11 logical, 14 level, 15 trigger mode, 19:18 shorthand; `high` the destination.
 */
export function sendCommand(bus: LapicBus, vcpu: number, command: number, high: number): void {
  const mode = (command >>> 8) & 7;
  const vector = command & 0xff;
  if (mode === 3 || mode === DeliveryMode.EXTINT) return; // reserved in ICR
  // INIT level de-assert: no effect since the Pentium 4.
  if (mode === DeliveryMode.INIT && (command & (LEVEL | ASSERT)) === LEVEL) return;
  // It goes out all the same: whoever receives it notes the error too.
  if (isVectored(mode) && vector < 16) bus.lapics.recordError(vcpu, ApicError.SEND_VECTOR);

  switch (command & Shorthand.OTHERS) {
    case Shorthand.SELF:
      bus.sendSelfIpi(vcpu, mode, vector);
      break;
    case Shorthand.ALL:
      bus.sendIpi(EVERYONE, false, mode, vector, -1);
      break;
    case Shorthand.OTHERS:
      bus.sendIpi(EVERYONE, false, mode, vector, vcpu);
      break;
    default:
      bus.sendIpi(destinationOf(bus, vcpu, high), (command & LOGICAL) !== 0, mode, vector, -1);
  }
}

/** An IPI from xAPIC mode to FFh is for every local APIC, those in x2APIC mode included. */
function destinationOf(bus: LapicBus, vcpu: number, high: number): number {
  if (bus.lapics.mode(vcpu) === ApicMode.X2APIC) return high;
  return high >>> 24 === 0xff ? EVERYONE : high >>> 24;
}
