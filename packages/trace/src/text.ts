import { Access } from "@viommu/plugin";
import { faultReason } from "@viommu/vtd-spec";
import type { CapturedWrite } from "./trace-memory.ts";
import type { MemoryBytes, Message } from "./format.ts";

/*
 * Values as people and trace files write them.
 */

/** "0x1f", at least `digits` digits. */
export function hex(value: bigint | number, digits = 1): string {
  return `0x${value.toString(16).padStart(digits, "0")}`;
}

/** "00:02.0": bus, device and function of a source-id. */
export function deviceName(sourceId: number): string {
  const part = (value: number): string => value.toString(16).padStart(2, "0");
  return `${part(sourceId >> 8)}:${part((sourceId >> 3) & 31)}.${sourceId & 7}`;
}

/** "read", "write", "read and write" or "zero-length read". */
export function accessName(access: number): string {
  const rights = access & Access.ATOMIC;
  if (rights === Access.ATOMIC) return "read and write";
  if (rights === Access.NONE) return "zero-length read";
  return rights === Access.WRITE ? "write" : "read";
}

/** "read", "write", "read and write" or "nothing": bits of `Access` as rights. */
export function rightsName(rights: number): string {
  return ["nothing", "read", "write", "read and write"][rights & Access.ATOMIC]!;
}

/** Letters of a trace file: "r", "w", "rw" or "none". */
export function accessLetters(access: number): string {
  return ["none", "r", "w", "rw"][access & Access.ATOMIC]!;
}

/** "fault 05h (…)", or that nothing was reported. */
export function faultText(fault: number | undefined): string {
  if (fault === undefined) return "denied without a report";
  const code = `${fault.toString(16).toUpperCase().padStart(2, "0")}h`;
  return `fault ${code} (${faultReason(fault)?.text ?? "no reason of VT-d 5.10"})`;
}

/** "0xfee00000 <- 0x20". */
export function messageText({ address, data }: Message): string {
  return `${hex(address)} <- ${hex(data)}`;
}

/** Digit pairs, lowest address first. */
export function bytesText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** "0x1000: 02000000", comma-separated; "nothing" for an empty list. */
export function writesText(writes: readonly (MemoryBytes | CapturedWrite)[]): string {
  const texts = writes.map(
    ({ address, bytes }) => `${hex(address)}: ${bytes === null ? "failed" : bytesText(bytes)}`,
  );
  return listText(texts);
}

/** Comma-separated; "nothing" for an empty list. */
export function listText(texts: readonly string[]): string {
  return texts.length === 0 ? "nothing" : texts.join(", ");
}
