import type { MsixCapability } from "@viommu/irq-hooks";
import { collection } from "@viommu/plugin";
import type { Collection, MmioRegion, PendingWork } from "@viommu/plugin";
import type { DeviceConfig } from "../config/guest-config.ts";
import type { AcceleratorState } from "./copy-job.ts";

/** What a device has done. */
export interface DeviceCounters {
  /** Packets, block requests, copies or ticks that were done. */
  transfers: number;
  /** Bytes of payload that were read from and written to guest memory. */
  bytesRead: number;
  bytesWritten: number;
  /** DMA accesses that were blocked or met no memory. */
  failedDma: number;
}

/** What a saved device consists of. */
export interface DeviceState {
  readonly counters: DeviceCounters;
  readonly interrupts: InterruptsState;
  /** Offset and value of the registers that are not 0. */
  readonly registers: readonly (readonly [offset: number, value: number])[];
  /** Descriptors taken from each ring. */
  readonly heads?: readonly number[];
  /** Queues that have work under way, in the order of their turns. */
  readonly work?: readonly number[];
  /** Number and contents (base64) of the sectors of a disk that hold something. */
  readonly sectors?: readonly (readonly [sector: number, contents: string])[];
  readonly accelerator?: AcceleratorState;
}

/** The interrupts of a saved device; those with MSI-X are a part of their own. */
export interface InterruptsState {
  readonly sent: readonly number[];
  readonly blocked: number;
  readonly cause: number;
}

/** An emulated device: registers for its driver, DMA and interrupts of its own. */
export interface Device extends PendingWork {
  /** True: it works as soon as its driver tells it to. False: when `run` is called. */
  eager: boolean;
  readonly config: DeviceConfig;
  /** Its registers; MSI-X table and pending bits too, if it has them. */
  readonly regions: readonly MmioRegion[];
  readonly interrupts: DeviceInterrupts;
  readonly counters: DeviceCounters;
  /** Time has passed: work that waits for pages tries again. False: none waits. */
  wake?(): boolean;
  save(): DeviceState;
  restore(state: DeviceState): void;
}

/** The interrupts of a device: one for each of its queues. */
export interface DeviceInterrupts {
  /** The capability in configuration space; null: it interrupts by a pin. */
  readonly msix: MsixCapability | null;
  /** Interrupts sent, for each queue. */
  readonly sent: Uint32Array;
  /** Interrupts that were blocked on their way. */
  readonly blocked: number;
  /** A queue has news. */
  raise(queue: number): void;
  /** Queues with news, one bit each, up to 32; reading takes the line back. */
  takeCause(): number;
  save(): InterruptsState;
  restore(state: InterruptsState): void;
}

/** All emulated devices of the machine. */
export const devices: Collection<Device> = collection("devices");

/** Fresh counters. */
export function createCounters(): DeviceCounters {
  return { transfers: 0, bytesRead: 0, bytesWritten: 0, failedDma: 0 };
}
