import type { DmaPort } from "@viommu/memory";
import type { MmioRegion } from "@viommu/plugin";
import type { DeviceConfig } from "../config/guest-config.ts";
import { createCounters } from "./device.ts";
import type { Device, DeviceInterrupts, DeviceState } from "./device.ts";
import { regionsOf } from "./interrupts.ts";
import { DeviceRegister, TimerRegister } from "./layout.ts";
import { RegisterBlock } from "./register-block.ts";

const WORD = 4;

/**
 * A timer that counts its ticks in guest memory and interrupts with each. Time is handed in: it ticks
 * when it is told to.
 */
export class Timer implements Device {
  eager = true;
  /** It ticks at once. */
  readonly pending = false;
  readonly config: DeviceConfig;
  readonly regions: readonly MmioRegion[];
  readonly interrupts: DeviceInterrupts;
  readonly counters = createCounters();
  readonly #port: DmaPort;
  readonly #registers: RegisterBlock;

  constructor(config: DeviceConfig, port: DmaPort, interrupts: DeviceInterrupts) {
    this.config = config;
    this.interrupts = interrupts;
    this.#port = port;
    this.#registers = new RegisterBlock({
      name: config.name,
      base: config.bar,
      fixed: { [DeviceRegister.QUEUES]: interrupts.sent.length },
      written: () => undefined,
      takeCause: () => interrupts.takeCause(),
    });
    this.regions = regionsOf(this.#registers, interrupts);
  }

  /** Time has passed. Each vector of a timer with several has a word and a count of its own. */
  tick(queue = 0): void {
    const address = this.#registers.address(TimerRegister.COUNT_ADDRESS);
    if (address === 0) return;
    const count = this.interrupts.sent[queue]! + 1;
    if (this.#port.writeWord(address + WORD * queue, count) === 0) {
      this.counters.transfers += 1;
      this.counters.bytesWritten += WORD;
    } else this.counters.failedDma += 1;
    this.interrupts.raise(queue);
  }

  run(): number {
    return 0;
  }

  save(): DeviceState {
    return {
      counters: { ...this.counters },
      interrupts: this.interrupts.save(),
      registers: this.#registers.save(),
    };
  }

  restore(state: DeviceState): void {
    Object.assign(this.counters, state.counters);
    this.interrupts.restore(state.interrupts);
    this.#registers.restore(state.registers);
  }
}
