import type { MsixCapability } from "@viommu/irq-hooks";
import { collection } from "@viommu/plugin";
import type { Collection, MmioRegion } from "@viommu/plugin";
import type { DeviceConfig } from "../config/guest-config.ts";

/** What a device has done. */
export interface DeviceCounters {
  /** Packets, block requests or ticks that were done. */
  transfers: number;
  /** Bytes of payload that were read from and written to guest memory. */
  bytesRead: number;
  bytesWritten: number;
  /** DMA accesses that were blocked or met no memory. */
  failedDma: number;
}

/** An emulated device: registers for its driver, DMA and interrupts of its own. */
export interface Device {
  readonly config: DeviceConfig;
  /** Its registers; MSI-X table and pending bits too, if it has them. */
  readonly regions: readonly MmioRegion[];
  readonly interrupts: DeviceInterrupts;
  readonly counters: DeviceCounters;
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
}

/** All emulated devices of the machine. */
export const devices: Collection<Device> = collection("devices");

/** Fresh counters. */
export function createCounters(): DeviceCounters {
  return { transfers: 0, bytesRead: 0, bytesWritten: 0, failedDma: 0 };
}
