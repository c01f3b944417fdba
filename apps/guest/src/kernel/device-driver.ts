import type { MmioBus } from "@viommu/guest-driver";
import type { Random } from "../random.ts";
import type { DmaSpace } from "./dma-space.ts";
import type { Ram } from "./ram.ts";

/** What a device driver needs of its kernel. */
export interface DriverServices {
  readonly bus: MmioBus;
  readonly ram: Ram;
  readonly dma: DmaSpace;
  /** Tells the contents of this device from all others. */
  readonly key: number;
}

/** A driver of a device of this machine: gives it work, and checks what came of it. */
export interface DeviceDriver<State = unknown> {
  /** Queues, each with an interrupt of its own. */
  readonly queues: number;
  /** Packets and requests that were done and found right. */
  readonly transfers: number;
  /** Bytes that were compared. */
  readonly checkedBytes: number;
  /** Hands work to a queue whose last work is finished; the device interrupts when it is done. */
  start(queue: number, random: Random): void;
  /** The interrupt of a queue has come. Returns what is wrong with its work, or null. */
  finish(queue: number): string | null;
  /** All work is done: what is wrong with what it leaves behind, or null. */
  settle?(): string | null;
  /** All that it knows and guest memory does not, as plain objects. */
  save(): State;
  /** Goes on as the driver that was saved; both were started in the same way. */
  restore(state: State): void;
}
