import type { GuestMemory } from "@viommu/plugin";

/**
 * Copies a structure out of a caller's memory: false unless all of it can be read and written, so
 * that the answer cannot be lost after the work was done. It is copied once: what the caller changes
 * later is not seen.
 */
export function copyFromCaller(
  memory: GuestMemory,
  hi: number,
  lo: number,
  bytes: Uint8Array,
): boolean {
  return memory.readBytes(hi, lo, bytes) && memory.writeBytes(hi, lo, bytes);
}

/** `hi` of an address `bytes` further on (0 to 2^52). */
export function hiPlus(hi: number, lo: number, bytes: number): number {
  return hi + Math.floor((lo + bytes) / 2 ** 30);
}

/** `lo` of an address `bytes` further on. */
export function loPlus(lo: number, bytes: number): number {
  return (lo + bytes) % 2 ** 30;
}
