import { readTrace } from "../src/reader.ts";
import { replayTrace } from "../src/report.ts";
import type { TraceReport } from "../src/report.ts";
import { HEADER, plain, text } from "./lines.ts";

/*
 * Recordings made by hand, for a real unit: tables at fixed addresses, and the register writes that
 * put them into use.
 */

/** Words of 64 bits as a trace writes bytes. */
function qwords(...values: readonly (bigint | number)[]): string {
  const bytes = new Uint8Array(8 * values.length);
  values.forEach((value, i) => {
    new DataView(bytes.buffer).setBigUint64(8 * i, BigInt(value), true);
  });
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A number as a trace writes it. */
export function hex(value: bigint | number): string {
  return `0x${BigInt(value).toString(16)}`;
}

/** Memory that the reference has read: address, words of 64 bits. */
export type Reads = readonly (readonly [bigint | number, ...(bigint | number)[]])[];

export const reads = (entries: Reads): [string, string][] =>
  entries.map(([address, ...words]) => [hex(address), qwords(...words)]);

export const write = (offset: number, value: bigint | number, size = 4): object => ({
  e: "mmio-write",
  offset: hex(offset),
  size,
  value: hex(value),
});

export const read = (offset: number, value: bigint | number, size = 4): object => ({
  e: "mmio-read",
  offset: hex(offset),
  size,
  value: hex(value),
});

const TE = 0x8000_0000;
const SRTP = 0x4000_0000;
const IRE = 0x0200_0000;
const SIRTP = 0x0100_0000;

/** Translation on, with the root table at 1000h. */
export const legacyMode: readonly object[] = [
  { e: "reset" },
  write(0x20, 0x1000n, 8),
  write(0x18, SRTP),
  write(0x18, TE),
];

/** The same in scalable mode. */
export const scalableMode: readonly object[] = [
  { e: "reset" },
  write(0x20, 0x1400n, 8),
  write(0x18, SRTP),
  write(0x18, TE),
];

/** Interrupt remapping on, with a table of 2^16 entries (or `size`: IRTA.S) at 10_0000h. */
export const remapping = (size = 15): readonly object[] => [
  { e: "reset" },
  write(0xb8, 0x10_0000n | BigInt(size), 8),
  write(0x18, SIRTP),
  write(0x18, IRE),
];

/** CAP and ECAP of a reference with second-stage or first-stage tables in scalable mode. */
export const SECOND_STAGE = { cap: "0x80d2008c222f0606", ecap: "0x480080f00f4a" };
export const FIRST_STAGE = { cap: "0x81d2008c222f0606", ecap: "0x880000f00f4a" };

/** Replays events on a real unit. */
async function replay(
  events: readonly object[],
  unit: Partial<Record<"cap" | "ecap", string>> = {},
): Promise<TraceReport> {
  const header = { ...HEADER, unit: { ...HEADER.unit, ...unit } };
  return replayTrace(await readTrace(plain(text(events, header))));
}

/** "clean", or what differs first; then the names of the deviations with their counts. */
export async function outcome(
  events: readonly object[],
  unit: Partial<Record<"cap" | "ecap", string>> = {},
): Promise<string> {
  const { firstDifference: first, unknownReads, deviations } = await replay(events, unit);
  const names = deviations.map(({ name, count }) => ` ${name}:${count}`).join("");
  if (unknownReads !== undefined) return `unknown ${unknownReads.first}${names}`;
  if (first === undefined) return `clean${names}`;
  return `event ${first.event} ${first.class}: ${first.expected} | ${first.actual}${names}`;
}
