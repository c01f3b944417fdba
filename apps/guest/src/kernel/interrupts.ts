import { DeliveryMode } from "@viommu/irq-hooks";
import type { LapicBus } from "@viommu/irq-hooks";
import { ViommuError } from "@viommu/plugin";
import { mix } from "../random.ts";
import type { InterruptPath } from "./interrupt-routes.ts";
import type { Problems } from "./problems.ts";
import { Processors } from "./processors.ts";
import { VectorTable } from "./vector-table.ts";

/** The vector of vCPU 0 for faults that units report: above those of devices. */
export const FAULT_VECTOR = 0xef;
/** The one for page requests. */
export const PAGE_REQUEST_VECTOR = 0xf0;
const EVENT_VECTORS: readonly number[] = [FAULT_VECTOR, PAGE_REQUEST_VECTOR];

/** Serves what units report to vCPU 0. */
interface UnitEvents {
  readonly faults: () => void;
  readonly pageRequests: () => void;
}

/** An interrupt of a device, and how often it was where. */
export interface Interrupt {
  /** "nic0/3": device and queue. */
  readonly name: string;
  readonly path: InterruptPath;
  /** How often the device has sent it. */
  readonly sent: () => number;
  /** Serves it; what is wrong, or null. */
  readonly serve: () => string | null;
  /** No two of these on one vector: levels of one I/O APIC that end by their vector. */
  readonly exclusive: Set<number> | undefined;
  vcpu: number;
  vector: number;
  /** Times it came to a local APIC, and was served there. */
  arrived: number;
  served: number;
}

/** The interrupts of a guest that moves. */
export interface InterruptsState {
  readonly counters: Interrupts["counters"];
  readonly digest: number;
  /** By the order in which they were added. */
  readonly all: readonly (readonly [
    vcpu: number,
    vector: number,
    arrived: number,
    served: number,
  ])[];
  /** Vectors that an interrupt has moved away from; the number is its place in `all`. */
  readonly retired: readonly (readonly [vcpu: number, vector: number, interrupt: number])[];
  /** vCPUs with something to take. */
  readonly waiting: readonly number[];
  /** Vectors of events of units that wait. */
  readonly eventsWait: readonly number[];
}

/** What one device needs for {@link Interrupts.add}. */
export type NewInterrupt = Pick<Interrupt, "name" | "path" | "sent" | "serve" | "exclusive">;

/**
 * All interrupts of the guest. Every arrival is checked when it happens: it must be at the vCPU and
 * vector that the interrupt has now, and the device must have sent as many.
 */
export class Interrupts {
  readonly all: Interrupt[] = [];
  readonly vcpus: number;
  /** `pageRequests`: times that those were served; `merged`: messages of units that came while one waited. */
  readonly counters = { arrived: 0, served: 0, moved: 0, pageRequests: 0, merged: 0 };
  /** Tells one sequence of arrivals from another. */
  digest = 0;
  readonly #problems: Problems;
  readonly #table: VectorTable<Interrupt>;
  #processors: Processors | null = null;
  #lapics: LapicBus | null = null;
  #events: UnitEvents | null = null;
  readonly #eventsWait = new Set<number>();

  constructor(vcpus: number, problems: Problems) {
    this.vcpus = vcpus;
    this.#problems = problems;
    this.#table = new VectorTable(vcpus);
  }

  /** The kernel starts: its processors take interrupts from now on. */
  start(lapics: LapicBus, events: UnitEvents): void {
    this.#lapics = lapics;
    this.#events = events;
    this.#processors = new Processors(lapics);
    this.#processors.start();
  }

  /** A local APIC has taken a message; called inside the delivery. */
  readonly note = (vcpu: number, vector: number, mode: number): void => {
    this.#processors?.wake(vcpu);
    this.digest = mix(this.digest, vcpu * 256 + vector);
    if (mode !== DeliveryMode.FIXED) {
      this.#problems.add(`vCPU ${vcpu} got an interrupt with delivery mode ${mode}`);
      return;
    }
    if (vcpu === 0 && EVENT_VECTORS.includes(vector)) {
      // several units, or one that was looked at meanwhile: served together
      if (this.#eventsWait.has(vector)) this.counters.merged += 1;
      this.#eventsWait.add(vector);
      return;
    }
    this.counters.arrived += 1;
    const use = this.#table.find(vcpu, vector);
    const where = `vector 0x${vector.toString(16)} of vCPU ${vcpu}`;
    if (use === undefined) {
      this.#problems.add(`an interrupt came to ${where}, which nobody uses`);
      return;
    }
    const { owner, retired } = use;
    owner.arrived += 1;
    if (retired) this.#problems.add(`${owner.name} came to ${where}, from where it had moved away`);
    if (owner.arrived > owner.sent()) this.#problems.add(`${owner.name} came twice to ${where}`);
  };

  /** A device's interrupt, pointed to a vCPU. Throws ERR_VIOMMU_GUEST when no vector is left there. */
  add(parts: NewInterrupt, vcpu: number): Interrupt {
    const interrupt = { ...parts, vcpu: -1, vector: -1, arrived: 0, served: 0 };
    this.all.push(interrupt);
    if (this.#point(interrupt, vcpu)) return interrupt;
    throw new ViommuError(
      "ERR_VIOMMU_GUEST",
      `vCPU ${vcpu} has no vector left for ${parts.name}; give the guest more vCPUs or I/O APICs`,
    );
  }

  /**
   * Changes the affinity of an interrupt; what waits is served where it came. It stays where it is
   * when no vector is left there.
   */
  move(interrupt: Interrupt, vcpu: number): void {
    const { vcpu: from, vector } = interrupt;
    if (vcpu === from || !this.#point(interrupt, vcpu)) return;
    this.#table.retire(from, vector);
    interrupt.exclusive?.delete(vector);
    this.counters.moved += 1;
  }

  /** Lets all vCPUs serve what has come. */
  run(): void {
    while (this.step());
  }

  /** Lets one vCPU serve what has come for it; false when nothing is left anywhere. */
  step(): boolean {
    if (this.#processors!.step(this.#serve)) return true;
    this.#table.releaseRetired();
    return false;
  }

  save(): InterruptsState {
    return {
      counters: { ...this.counters },
      digest: this.digest,
      all: this.all.map(({ vcpu, vector, arrived, served }) => [vcpu, vector, arrived, served]),
      retired: this.#table
        .retired()
        .map(({ vcpu, vector, owner }) => [vcpu, vector, this.all.indexOf(owner)]),
      waiting: this.#processors!.save(),
      eventsWait: [...this.#eventsWait],
    };
  }

  /** Goes on as those that were saved; devices and their paths are the same. */
  restore(state: InterruptsState): void {
    const { counters, digest, all, retired, waiting, eventsWait } = state;
    Object.assign(this.counters, counters);
    this.#eventsWait.clear();
    for (const vector of eventsWait) this.#eventsWait.add(vector);
    this.digest = digest;
    this.#table.clear();
    for (const { exclusive } of this.all) exclusive?.clear();
    this.all.forEach((interrupt, i) => {
      const [vcpu, vector, arrived, served] = all[i]!;
      Object.assign(interrupt, { vcpu, vector, arrived, served });
      this.#table.put(vcpu, vector, interrupt);
      interrupt.exclusive?.add(vector);
    });
    for (const [vcpu, vector, owner] of retired) {
      this.#table.put(vcpu, vector, this.all[owner]!);
      this.#table.retire(vcpu, vector);
    }
    this.#processors!.restore(waiting);
  }

  /** At the end: what was sent, what came and what was served must be the same. */
  checkTotals(): void {
    for (const { name, sent, arrived, served } of this.all) {
      if (sent() === arrived && arrived === served) continue;
      this.#problems.add(
        `${name} was sent ${sent()} times, came ${arrived} times, was served ${served} times`,
      );
    }
    const { merged } = this.#lapics!.lapics;
    const lost = merged.reduce((sum, count) => sum + count, -this.counters.merged);
    if (lost > 0) this.#problems.add(`${lost} interrupts came while the same vector was waiting`);
    const { unclaimed, ignored } = this.#lapics!.counters;
    if (unclaimed > 0)
      this.#problems.add(`${unclaimed} messages had a destination that is not there`);
    if (ignored > 0) this.#problems.add(`${ignored} messages were no interrupts`);
  }

  #point(interrupt: Interrupt, vcpu: number): boolean {
    const { exclusive } = interrupt;
    const vector = this.#table.claim(vcpu, interrupt, exclusive);
    if (vector < 0) return false;
    exclusive?.add(vector);
    interrupt.path.point({ apicId: this.#lapics!.apicId(vcpu), vector });
    interrupt.vcpu = vcpu;
    interrupt.vector = vector;
    return true;
  }

  readonly #serve = (vcpu: number, vector: number): void => {
    if (vcpu === 0 && EVENT_VECTORS.includes(vector)) {
      this.#eventsWait.delete(vector);
      if (vector === FAULT_VECTOR) {
        this.#events!.faults();
        return;
      }
      this.counters.pageRequests += 1;
      this.#events!.pageRequests();
      return;
    }
    const owner = this.#table.find(vcpu, vector)?.owner;
    if (owner === undefined) return; // told at its arrival
    const problem = owner.serve();
    owner.path.end(owner.vector);
    owner.served += 1;
    this.counters.served += 1;
    if (problem !== null) this.#problems.add(`${owner.name}: ${problem}`);
  };
}
