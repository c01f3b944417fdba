import type { DmaEvent } from "./format.ts";

/** The bytes of this length that the reference read last. */
export function lastRead({ reads }: DmaEvent, length: number): ReadBytes | undefined {
  const { address, bytes } = reads.findLast((read) => read.bytes?.length === length) ?? {};
  if (address === undefined || !bytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  return { address, qword: (offset) => view.getBigUint64(offset, true) };
}

/** Bytes that the reference has read; `qword` reads 8 of them. */
export interface ReadBytes {
  readonly address: bigint;
  readonly qword: (offset: number) => bigint;
}

/** Bytes of a page-table entry, of a root entry, of a PASID table entry, as a trace has them. */
export const ENTRY = 8;
export const ROOT_ENTRY = 16;
export const PASID_ENTRY = 64;
