import type { WorkloadConfig } from "./config/guest-config.ts";
import type { DrivenDevice } from "./kernel/devices.ts";
import type { Interrupt, Interrupts } from "./kernel/interrupts.ts";
import { Random } from "./random.ts";

/** Interrupts under way at the same time, at most. */
const MOST_UNDER_WAY = 16;

/** Steps from one report of progress to the next. */
const STEPS_BETWEEN = 1000;

/** A queue, its device and its interrupt. */
interface Lane {
  readonly device: DrivenDevice;
  readonly queue: number;
  readonly interrupt: Interrupt;
  busy: boolean;
}

/** What happens in a round, one after the other. */
type Phase = "start" | "transfer" | "move" | "serve" | "over";

/** A workload between two of its steps. */
export interface WorkloadState {
  readonly steps: number;
  readonly random: number;
  readonly phase: Phase;
  /** Lanes that get work in this round, by number; those still to be chosen. */
  readonly under: readonly number[];
  readonly toStart: number;
  /** Lanes looked at for a move, and the device whose turn it is. */
  readonly looked: number;
  readonly turn: number;
  /** Interrupts served when the round began, and page request events when devices were woken last. */
  readonly servedBefore: number;
  readonly eventsBefore: number;
}

/**
 * Keeps devices busy until both numbers are reached, in rounds: some queues get work, the devices do
 * it, interrupts move to other vCPUs while they wait, then the vCPUs serve what has come; work that
 * has waited for pages meanwhile goes on. The seed
 * decides everything. A step is one queue that gets work, one descriptor, one move, or one vCPU that
 * serves: between any two of them the machine may be saved.
 */
export class Workload {
  /** Steps done. */
  steps = 0;
  readonly #config: WorkloadConfig;
  readonly #devices: readonly DrivenDevice[];
  readonly #interrupts: Interrupts;
  readonly #lanes: readonly Lane[];
  readonly #transferring: readonly Lane[];
  readonly #random: Random;
  #phase: Phase = "start";
  #under: Lane[] = [];
  #toStart = 0;
  #looked = 0;
  #turn = 0;
  #servedBefore = 0;
  #eventsBefore = 0;

  /** From now on the devices work when this tells them to. */
  constructor(config: WorkloadConfig, devices: readonly DrivenDevice[], interrupts: Interrupts) {
    this.#config = config;
    this.#devices = devices;
    this.#interrupts = interrupts;
    this.#random = new Random(config.seed);
    this.#lanes = devices.flatMap((device) =>
      device.interrupts.map((interrupt, queue) => ({ device, queue, interrupt, busy: false })),
    );
    this.#transferring = this.#lanes.filter(({ device }) => device.device.config.kind !== "timer");
    for (const { device } of devices) device.eager = false;
    this.#begin();
  }

  /** Part of the work that is done, 0 to 1. */
  get done(): number {
    const { interrupts, transfers } = this.#config;
    const served = interrupts === 0 ? 1 : this.#interrupts.counters.served / interrupts;
    const transferred = transfers === 0 ? 1 : this.#transfers / transfers;
    return Math.min(1, served, transferred);
  }

  /** Does one step; false when all is over. */
  step(): boolean {
    if (this.#phase === "over") return false;
    this.steps += 1;
    if (this.#phase === "start") this.#startOne();
    else if (this.#phase === "transfer") this.#transferOne();
    else if (this.#phase === "move") this.#moveOne();
    else if (!this.#interrupts.step()) this.#goOn();
    return true;
  }

  /** Does so many steps, fewer when all is over before; returns how many. */
  run(steps: number): number {
    let done = 0;
    while (done < steps && this.step()) done += 1;
    return done;
  }

  save(): WorkloadState {
    return {
      steps: this.steps,
      random: this.#random.state,
      phase: this.#phase,
      under: this.#under.map((lane) => this.#lanes.indexOf(lane)),
      toStart: this.#toStart,
      looked: this.#looked,
      turn: this.#turn,
      servedBefore: this.#servedBefore,
      eventsBefore: this.#eventsBefore,
    };
  }

  restore(state: WorkloadState): void {
    this.steps = state.steps;
    this.#random.state = state.random;
    this.#phase = state.phase;
    for (const lane of this.#lanes) lane.busy = false;
    this.#under = state.under.map((lane) => this.#lanes[lane]!);
    for (const lane of this.#under) lane.busy = true;
    this.#toStart = state.toStart;
    this.#looked = state.looked;
    this.#turn = state.turn;
    this.#servedBefore = state.servedBefore;
    this.#eventsBefore = state.eventsBefore;
  }

  /** Packets and requests that were found right. */
  get #transfers(): number {
    return this.#devices.reduce((sum, { driver }) => sum + driver.transfers, 0);
  }

  /** Interrupts that are still wanted. */
  get #left(): number {
    return this.#config.interrupts - this.#interrupts.counters.served;
  }

  /** Lanes that are of use now. */
  get #pool(): readonly Lane[] {
    return this.#left > 0 ? this.#lanes : this.#transferring;
  }

  #begin(): void {
    const left = this.#left;
    const pool = this.#pool;
    if (left <= 0 && this.#transfers >= this.#config.transfers) {
      this.#phase = "over";
      return;
    }
    const most = Math.min(MOST_UNDER_WAY, pool.length, left > 0 ? left : pool.length);
    this.#servedBefore = this.#interrupts.counters.served;
    this.#toStart = this.#random.between(1, most);
    this.#phase = "start";
  }

  /** Gives work to a queue that has none. */
  #startOne(): void {
    const pool = this.#pool;
    let at = this.#random.below(pool.length);
    while (pool[at]!.busy) at = (at + 1) % pool.length;
    const lane = pool[at]!;
    lane.busy = true;
    this.#under.push(lane);
    lane.device.driver.start(lane.queue, this.#random);
    this.#toStart -= 1;
    if (this.#toStart === 0) this.#phase = "transfer";
  }

  /** The devices with work take turns. */
  #transferOne(): void {
    const devices = this.#devices;
    for (let i = 0; i < devices.length; i += 1) {
      const { device } = devices[(this.#turn + i) % devices.length]!;
      if (!device.pending) continue;
      this.#turn = (this.#turn + i + 1) % devices.length;
      device.run(1);
      return;
    }
    this.#phase = "move";
    this.#looked = 0;
  }

  /** Moves an interrupt that has come and waits, so many that the number is reached at the end. */
  #moveOne(): void {
    const { affinityChanges, interrupts: total } = this.#config;
    const { counters, vcpus } = this.#interrupts;
    const due = Math.floor(
      (affinityChanges * Math.min(counters.arrived, total)) / Math.max(1, total),
    );
    const lane = this.#under[this.#looked];
    if (lane === undefined || counters.moved >= due) {
      this.#phase = "serve";
      return;
    }
    this.#looked += 1;
    // any vCPU but the one it has
    const { interrupt } = lane;
    this.#interrupts.move(interrupt, (interrupt.vcpu + this.#random.between(1, vcpus - 1)) % vcpus);
  }

  /** Lets work go on that has waited for pages, if any have come. */
  #goOn(): void {
    const { pageRequests } = this.#interrupts.counters;
    const waited = this.#devices.filter(({ device }) => device.wake?.() === true);
    const goesOn = waited.length > 0 && pageRequests > this.#eventsBefore;
    this.#eventsBefore = pageRequests;
    if (goesOn) this.#phase = "transfer";
    else this.#end();
  }

  /** All has been served; or interrupts are lost, and the totals tell which. */
  #end(): void {
    for (const lane of this.#under) lane.busy = false;
    this.#under = [];
    if (this.#interrupts.counters.served === this.#servedBefore) this.#phase = "over";
    else this.#begin();
  }
}

/** Does all of a workload. */
export function runWorkload(workload: Workload, onProgress: () => void): void {
  while (workload.run(STEPS_BETWEEN) === STEPS_BETWEEN) onProgress();
}
