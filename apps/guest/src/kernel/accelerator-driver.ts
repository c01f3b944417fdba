import { Access } from "@viommu/plugin";
import { queuesOf } from "../config/guest-config.ts";
import type { DeviceConfig } from "../config/guest-config.ts";
import { CopyDescriptor, QUEUE_BASE, QUEUE_STRIDE, Status } from "../devices/layout.ts";
import type { Random } from "../random.ts";
import type { DeviceDriver, DriverServices } from "./device-driver.ts";
import { DriverRing } from "./driver-ring.ts";
import type { RingState } from "./driver-ring.ts";
import type { Process } from "./process.ts";
import { MOST_BYTES, ProcessLayout } from "./process-layout.ts";
import { PAGE } from "./ram.ts";
import type { Ram } from "./ram.ts";
import { SharedProcesses } from "./shared-processes.ts";
import type { SharedProcessesParts, SharedProcessesState } from "./shared-processes.ts";

/** Copies that a queue has under way at most. */
const BATCH = 4;

/** A copy that the device was told to make. */
interface Copy {
  /** Of the process, and which life of it. */
  readonly slot: number;
  readonly life: number;
  readonly window: number;
  readonly source: number;
  readonly target: number;
  readonly length: number;
}

interface Queue {
  readonly ring: DriverRing;
  /** Where the ring is. */
  readonly page: number;
  copies: readonly Copy[];
}

/** What the driver of an accelerator knows. */
interface AcceleratorState {
  readonly transfers: number;
  readonly checkedBytes: number;
  readonly cutShort: number;
  readonly queues: readonly { readonly ring: RingState; readonly copies: readonly Copy[] }[];
  readonly processes: SharedProcessesState;
}

/**
 * Driver of the accelerator. Processes let it copy from any of their bytes to a window of their own;
 * the whole window is compared when the copy is made, and given back. Copies of a process that ended
 * meanwhile come to nothing.
 */
export class AcceleratorDriver implements DeviceDriver<AcceleratorState> {
  readonly queues: number;
  transfers = 0;
  checkedBytes = 0;
  /** Copies whose process has ended before they were looked at. */
  cutShort = 0;
  readonly processes: SharedProcesses;
  readonly #layout: ProcessLayout;
  readonly #queues: readonly Queue[];
  /** Memory of the domain that processes are nested on. */
  readonly #below: Ram["ranges"] | null;

  constructor(
    { bar, interrupt }: DeviceConfig,
    services: DriverServices,
    shared: Omit<SharedProcessesParts, "ram" | "layout">,
  ) {
    const { ram, key } = services;
    this.queues = queuesOf(interrupt);
    this.#queues = Array.from({ length: this.queues }, (_, i) =>
      createQueue(bar + QUEUE_BASE + i * QUEUE_STRIDE, services),
    );
    this.#layout = new ProcessLayout(key, shared.config.pages, this.queues * BATCH);
    this.#below = shared.nestedOn === null ? null : ram.ranges;
    this.processes = new SharedProcesses({ ...shared, ram, layout: this.#layout });
  }

  start(index: number, random: Random): void {
    const queue = this.#queues[index]!;
    queue.copies = Array.from({ length: random.between(1, BATCH) }, (_, i) =>
      this.#createCopy(index * BATCH + i, random),
    );
    for (const copy of queue.copies) this.#put(queue.ring, copy);
    queue.ring.publish();
  }

  finish(index: number): string | null {
    const { ring, copies } = this.#queues[index]!;
    if (copies.length === 0) return "an interrupt, and nothing was under way";
    this.#queues[index]!.copies = [];
    const problems = copies.map((copy) => this.#finishCopy(ring, copy));
    return problems.find((problem) => problem !== null) ?? null;
  }

  /** Whether the device has a way to reach this page so: rings, and pages of processes. */
  reaches(page: number, access: number): boolean {
    if (this.#below !== null) {
      return this.#below.some(({ base, size }) => page >= base && page < base + size);
    }
    if (this.#queues.some((queue) => queue.page === page)) return true;
    return (access & ~this.processes.pager.accessTo(page)) === 0;
  }

  /** What is wrong when all is done. */
  settle(): string | null {
    const { frames } = this.processes.pager;
    frames.lookAtAll();
    return frames.touched === 0
      ? null
      : `${frames.touched} page frames were written to after they had been taken away`;
  }

  save(): AcceleratorState {
    const { transfers, checkedBytes, cutShort } = this;
    return {
      ...{ transfers, checkedBytes, cutShort },
      queues: this.#queues.map(({ ring, copies }) => ({ ring: ring.save(), copies })),
      processes: this.processes.save(),
    };
  }

  restore({ queues, processes, ...counters }: AcceleratorState): void {
    Object.assign(this, counters);
    this.#queues.forEach((queue, i) => {
      const { ring, copies } = queues[i]!;
      queue.ring.restore(ring);
      queue.copies = copies;
    });
    this.processes.restore(processes);
  }

  #createCopy(window: number, random: Random): Copy {
    const { living } = this.processes;
    const { slot, life } = living[random.below(living.length)]!;
    const layout = this.#layout;
    const length = random.between(1, Math.min(MOST_BYTES, layout.sourceBytes));
    const source = layout.sourceAddress(random.below(layout.sourceBytes - length + 1));
    const target = layout.targetAddress(window, random.below(PAGE));
    return { slot, life, window, source, target, length };
  }

  #put(ring: DriverRing, { slot, source, target, length }: Copy): void {
    const process = this.processes.all[slot]!;
    process.jobs += 1;
    ring.set(CopyDescriptor.PASID, process.pasid);
    ring.set(CopyDescriptor.LENGTH, length);
    ring.setAddress(CopyDescriptor.SOURCE, source);
    ring.setAddress(CopyDescriptor.TARGET, target);
    ring.made += 1;
  }

  #finishCopy(ring: DriverRing, copy: Copy): string | null {
    const status = ring.takeStatus(CopyDescriptor.STATUS);
    const process = this.processes.all[copy.slot]!;
    const problem = process.ended ? null : this.#checkCopy(process, copy, status);
    if (process.ended) this.cutShort += 1;
    else {
      const { first, count } = this.#layout.window(copy.window);
      this.processes.pager.release(process, first, count);
    }
    this.processes.jobDone(process);
    if (status === Status.DONE || status === Status.FAILED) return problem;
    return `a copy has status ${status}`;
  }

  /** Compares all pages of a window that the copy has touched. */
  #checkCopy(process: Process, copy: Copy, status: number): string | null {
    const { source, target, length } = copy;
    if (process.life !== copy.life) return "a copy outlived its process";
    if (status !== Status.DONE) return `a copy has status ${status} instead of "done"`;
    const copied = this.#layout.initialBytes(process, source, length);
    const first = Math.floor(target / PAGE);
    const pages = Math.floor((target + length - 1) / PAGE) - first + 1;
    const expected = this.#layout.initialBytes(process, first * PAGE, pages * PAGE);
    expected.set(copied, target - first * PAGE);
    for (let i = 0; i < pages; i += 1) {
      const bytes = this.processes.pager.bytes(process, first + i);
      const right = Buffer.from(expected.buffer, expected.byteOffset + i * PAGE, PAGE);
      if (bytes === null || right.compare(bytes) !== 0) {
        return `page ${i} of a copy of ${length} bytes is wrong`;
      }
    }
    this.transfers += 1;
    this.checkedBytes += pages * PAGE;
    return null;
  }
}

function createQueue(registers: number, { bus, ram, dma }: DriverServices): Queue {
  const page = ram.allocate();
  const ring = new DriverRing(bus, registers, {
    ram,
    address: page,
    iova: dma.map(page, PAGE, Access.READ | Access.WRITE),
    size: BATCH,
    descriptorBytes: CopyDescriptor.BYTES,
  });
  return { ring, page, copies: [] };
}
