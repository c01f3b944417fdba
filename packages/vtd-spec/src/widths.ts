import type { Capabilities } from "./layout.ts";

/** Width of a domain-id in bits, 4–16 (VT-d 11.4.2, ND). */
export function domainIdWidth(capabilities: Capabilities): number {
  return 4 + 2 * capabilities.ND;
}

/** Maximum guest address width in bits, 1–64 (VT-d 11.4.2, MGAW). */
export function maxGuestAddressWidth(capabilities: Capabilities): number {
  return capabilities.MGAW + 1;
}
