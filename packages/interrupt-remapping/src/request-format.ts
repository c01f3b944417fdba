import { bits, COMPATIBILITY_REQUEST, REMAPPABLE_REQUEST_SHV } from "@viommu/vtd-spec";

const FEE_SHIFT = bits(COMPATIBILITY_REQUEST, "FEE").shift;
const FORMAT = 1 << bits(COMPATIBILITY_REQUEST, "IF").shift;
const SHV = 1 << bits(REMAPPABLE_REQUEST_SHV, "SHV").shift;
const HANDLE_SHIFT = bits(REMAPPABLE_REQUEST_SHV, "HANDLE").shift;
const HANDLE_MASK = bits(REMAPPABLE_REQUEST_SHV, "HANDLE").mask;
const HANDLE_15 = 1 << bits(REMAPPABLE_REQUEST_SHV, "HANDLE_15").shift;
const HANDLE_15_MOVE = 15 - bits(REMAPPABLE_REQUEST_SHV, "HANDLE_15").shift;
const SUBHANDLE = bits(REMAPPABLE_REQUEST_SHV, "SUBHANDLE").mask;

/** What {@link interruptIndex} answers when data 31:16 are not 0 although the subhandle counts. */
export const INDEX_RESERVED = -1;

/** Whether a dword written there is an interrupt request: FEEx_xxxxh (VT-d 3.15). */
export function isInterruptAddress(upper: number, address: number): boolean {
  return upper === 0 && address >>> FEE_SHIFT === 0xfee;
}

/** Whether the request is in remappable format; otherwise in compatibility format (VT-d 5.1.2). */
export function isRemappable(address: number): boolean {
  return (address & FORMAT) !== 0;
}

/**
 * The index into the interrupt-remapping table that a request in remappable format asks for
 * (VT-d 5.1.3): 0 to 1_FFFEh, as handle and subhandle are added without wrap, or
 * {@link INDEX_RESERVED}.
 */
export function interruptIndex(address: number, data: number): number {
  const handle =
    ((address >>> HANDLE_SHIFT) & HANDLE_MASK) | ((address & HANDLE_15) << HANDLE_15_MOVE);
  if ((address & SHV) === 0) return handle;
  if ((data & ~SUBHANDLE) !== 0) return INDEX_RESERVED;
  return handle + (data & SUBHANDLE);
}
