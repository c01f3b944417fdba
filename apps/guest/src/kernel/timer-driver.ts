import { Access } from "@viommu/plugin";
import { queuesOf } from "../config/guest-config.ts";
import type { DeviceConfig } from "../config/guest-config.ts";
import { TimerRegister } from "../devices/layout.ts";
import type { DeviceDriver, DriverServices } from "./device-driver.ts";
import { PAGE } from "./ram.ts";
import type { Ram } from "./ram.ts";

const WORD = 4;

/** What the driver of a timer knows: bytes compared, and the last count of each queue. */
interface TimerState {
  readonly checkedBytes: number;
  readonly seen: readonly number[];
}

/** Driver of the timer: each tick must have counted on by one. */
export class TimerDriver implements DeviceDriver<TimerState> {
  readonly queues: number;
  readonly transfers = 0;
  checkedBytes = 0;
  readonly #tick: (queue: number) => void;
  readonly #ram: Ram;
  readonly #page: number;
  readonly #seen: Uint32Array;

  /** `tick` lets time pass for the device. */
  constructor(
    { bar, interrupt }: DeviceConfig,
    { bus, ram, dma }: DriverServices,
    tick: (queue: number) => void,
  ) {
    this.queues = queuesOf(interrupt);
    this.#tick = tick;
    this.#seen = new Uint32Array(this.queues);
    const page = ram.allocate();
    this.#ram = ram;
    this.#page = page;
    const iova = dma.map(page, PAGE, Access.WRITE);
    bus.write(bar + TimerRegister.COUNT_ADDRESS, 8, iova % 2 ** 32, Math.floor(iova / 2 ** 32));
  }

  start(queue: number): void {
    this.#tick(queue);
  }

  finish(queue: number): string | null {
    const count = this.#ram.word(this.#page + queue * WORD);
    const expected = this.#seen[queue]! + 1;
    this.#seen[queue] = count;
    this.checkedBytes += WORD;
    return count === expected ? null : `tick ${count} came after tick ${expected - 1}`;
  }

  save(): TimerState {
    return { checkedBytes: this.checkedBytes, seen: [...this.#seen] };
  }

  restore({ checkedBytes, seen }: TimerState): void {
    this.checkedBytes = checkedBytes;
    this.#seen.set(seen);
  }
}
