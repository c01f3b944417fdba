import type { InterruptRoute } from "./interrupt-route.ts";
import { INTERRUPT_RANGE } from "./delivery.ts";

/** What became of a message, beside the results of a remapper (0, `CONSUMED`, fault reasons). */
export const VmsiResult = {
  /** The guest has pointed it outside FEEx_xxxxh: the device's write of the data is plain DMA. */
  NOT_AN_INTERRUPT: -2,
  /** It is masked, and sent when the guest takes the mask away. */
  PENDING: -3,
  /** The capability is off: the device interrupts by its pin, if it has one. */
  DISABLED: -4,
} as const;

/** Delivers a message that a device writes; `upper` is bits 63:32 of the address. */
export function vmsiDeliver(
  route: InterruptRoute,
  upper: number,
  address: number,
  data: number,
): number {
  if (upper !== 0 || address >>> 20 !== INTERRUPT_RANGE) return VmsiResult.NOT_AN_INTERRUPT;
  return route.send(address, data);
}
