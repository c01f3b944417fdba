import type { DmaPort } from "@viommu/memory";
import type { ProcessAccessState } from "./process-access.ts";

/** A copy under way. */
export interface Job {
  readonly queue: number;
  /** I/O virtual address of its descriptor. */
  readonly descriptor: number;
  readonly pasid: number;
  readonly source: number;
  readonly target: number;
  readonly length: number;
  /** Bytes that have been copied. */
  done: number;
  /** Bytes that were read, and could not be written yet. */
  held: Uint8Array | null;
  /** A page that it needs is not to be had. */
  refused: boolean;
  readonly port: DmaPort;
}

/** A copy of a saved device; `held` in base64. */
export type JobState = Omit<Job, "held" | "port"> & { readonly held: string | null };

/** What a saved accelerator has besides. */
export interface AcceleratorState {
  readonly access: ProcessAccessState;
  readonly active: readonly JobState[];
  readonly waiting: readonly JobState[];
}

/** A copy for the state of the device. */
export function stateOf(job: Job): JobState {
  const { queue, descriptor, pasid, source, target, length, done, held, refused } = job;
  const text = held === null ? null : Buffer.from(held).toString("base64");
  return { queue, descriptor, pasid, source, target, length, done, held: text, refused };
}
