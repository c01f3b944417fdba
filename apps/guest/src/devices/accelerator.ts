import { AtcResult, PageResponse } from "@viommu/memory";
import type { AnsweredGroup, DmaPort } from "@viommu/memory";
import { Access, toNumber } from "@viommu/plugin";
import type { MmioRegion } from "@viommu/plugin";
import type { DeviceConfig } from "../config/guest-config.ts";
import { stateOf } from "./copy-job.ts";
import type { Job, JobState } from "./copy-job.ts";
import { createCounters } from "./device.ts";
import type { Device, DeviceInterrupts, DeviceState } from "./device.ts";
import { regionsOf } from "./interrupts.ts";
import { CopyDescriptor, DeviceRegister, QUEUE_BASE, QUEUE_STRIDE, Status } from "./layout.ts";
import type { ProcessAccess } from "./process-access.ts";
import { RegisterBlock } from "./register-block.ts";
import { DescriptorRing } from "./ring.ts";

const PAGE = 4096;
/** Copies under way at the same time, of all queues together. */
const MOST_JOBS = 64;
/** Descriptors of a queue from one forged request to the next. */
const FORGED_EVERY = 4;
/** Pages of a copy that are asked for together, behind the one that it needs now. */
const MOST_AHEAD = 15;

/**
 * A copy engine that processes share: each descriptor has a PASID, and its addresses are those of that
 * process. Copies take turns, a page at a time, and end in any order; one that needs a page which is
 * not there asks for it and lets the others go on. A queue interrupts when all that it was told to do
 * is done.
 */
export class Accelerator implements Device {
  eager = true;
  readonly config: DeviceConfig;
  readonly regions: readonly MmioRegion[];
  readonly interrupts: DeviceInterrupts;
  readonly counters = createCounters();
  readonly access: ProcessAccess;
  readonly #port: DmaPort;
  /** It tries whether the unit lets translated requests through that nobody has translated. */
  readonly #forges: boolean;
  readonly #registers: RegisterBlock;
  readonly #rings: readonly DescriptorRing[];
  #active: Job[] = [];
  #waiting: Job[] = [];

  /** Descriptors come through `port`, what they are about through `access`. */
  constructor(
    config: DeviceConfig,
    port: DmaPort,
    interrupts: DeviceInterrupts,
    access: ProcessAccess,
  ) {
    const count = interrupts.sent.length;
    this.config = config;
    this.interrupts = interrupts;
    this.access = access;
    this.#port = port;
    this.#forges = config.paging?.hostPermissions === true;
    access.onAnswer = (group) => {
      this.#answered(group);
    };
    const registers = new RegisterBlock({
      name: config.name,
      base: config.bar,
      fixed: { [DeviceRegister.QUEUES]: count },
      written: () => {
        if (this.eager) this.run(Infinity);
      },
      takeCause: () => interrupts.takeCause(),
    });
    this.#registers = registers;
    this.#rings = Array.from({ length: count }, (_, i) => {
      const offset = QUEUE_BASE + i * QUEUE_STRIDE;
      return new DescriptorRing(registers, offset, CopyDescriptor.BYTES, port);
    });
    this.regions = regionsOf(registers, interrupts);
  }

  get pending(): boolean {
    return this.#active.length > 0 || this.#fullRing() >= 0;
  }

  run(budget: number): number {
    let done = 0;
    for (; done < budget && this.pending; done += 1) {
      const queue = this.#fullRing();
      if (queue >= 0) this.#begin(queue);
      else this.#advance(this.#active.shift()!);
    }
    return done;
  }

  wake(): boolean {
    const waited = this.#waiting.length > 0;
    this.#active.push(...this.#waiting.splice(0));
    return waited;
  }

  save(): DeviceState {
    return {
      counters: { ...this.counters },
      interrupts: this.interrupts.save(),
      registers: this.#registers.save(),
      heads: this.#rings.map((ring) => ring.head),
      accelerator: {
        access: this.access.save(),
        active: this.#active.map(stateOf),
        waiting: this.#waiting.map(stateOf),
      },
    };
  }

  restore({ counters, interrupts, registers, heads = [], accelerator }: DeviceState): void {
    const { access, active, waiting } = accelerator!;
    Object.assign(this.counters, counters);
    this.interrupts.restore(interrupts);
    this.#registers.restore(registers);
    this.#rings.forEach((ring, i) => {
      ring.head = heads[i]!;
    });
    this.access.restore(access);
    this.#active = active.map((job) => this.#jobOf(job));
    this.#waiting = waiting.map((job) => this.#jobOf(job));
  }

  /** A queue with a descriptor that can be begun now, or -1. */
  #fullRing(): number {
    if (this.#active.length + this.#waiting.length >= MOST_JOBS) return -1;
    return this.#rings.findIndex(({ waiting }) => waiting > 0);
  }

  #begin(queue: number): void {
    const ring = this.#rings[queue]!;
    const fetched = ring.fetch();
    const descriptor = ring.address;
    ring.head = (ring.head + 1) >>> 0;
    if (this.#forges && ring.head % FORGED_EVERY === 0) this.access.forge();
    if (!fetched) {
      this.counters.failedDma += 1;
      this.#tell(queue);
      return;
    }
    const pasid = ring.wordAt(CopyDescriptor.PASID) & 0xf_ffff;
    this.#active.push({
      ...{ queue, descriptor, pasid, done: 0, held: null, refused: false },
      source: ring.addressAt(CopyDescriptor.SOURCE),
      target: ring.addressAt(CopyDescriptor.TARGET),
      length: ring.wordAt(CopyDescriptor.LENGTH),
      port: this.access.port(pasid),
    });
  }

  /** Copies up to the next border of a page. */
  #advance(job: Job): void {
    if (job.refused) {
      this.#complete(job, Status.FAILED);
      return;
    }
    const result = job.done < job.length ? this.#copy(job) : 0;
    if (result === AtcResult.PAGE_REQUESTED) {
      this.#askAhead(job);
      this.#waiting.push(job);
    } else if (result !== 0) this.#complete(job, Status.FAILED);
    else if (job.done < job.length) this.#active.push(job);
    else this.#complete(job, Status.DONE);
  }

  #copy(job: Job): number {
    const { port, source, target, done } = job;
    if (job.held === null) {
      const untilBorder = (address: number): number => PAGE - ((address + done) % PAGE);
      const length = Math.min(job.length - done, untilBorder(source), untilBorder(target));
      const bytes = new Uint8Array(length);
      const result = port.read(source + done, bytes);
      if (result !== 0) return result;
      job.held = bytes;
    }
    const result = port.write(target + done, job.held);
    if (result !== 0) return result;
    this.counters.bytesRead += job.held.length;
    this.counters.bytesWritten += job.held.length;
    job.done += job.held.length;
    job.held = null;
    return 0;
  }

  /** What comes next on the side where a page is missing will be missing, too. */
  #askAhead({ pasid, source, target, length, done, held }: Job): void {
    const address = held === null ? source : target;
    const next = Math.floor((address + done) / PAGE) + 1;
    const last = Math.floor((address + length - 1) / PAGE);
    const pages = Math.min(MOST_AHEAD, last - next + 1);
    const access = held === null ? Access.READ : Access.WRITE;
    if (pages > 0) this.access.ask(pasid, next * PAGE, pages, access);
  }

  /** Success is looked at when the copies that wait try again. */
  #answered({ pasid, hi, lo, pages, code }: AnsweredGroup): void {
    if (code === PageResponse.SUCCESS) return;
    const first = Math.floor(toNumber(hi, lo) / PAGE);
    const isAmong = (address: number): boolean => {
      const page = Math.floor(address / PAGE);
      return page >= first && page < first + pages;
    };
    for (const job of [...this.#waiting, ...this.#active]) {
      const needed = (job.held === null ? job.source : job.target) + job.done;
      job.refused ||= job.pasid === pasid && isAmong(needed);
    }
  }

  #complete({ queue, descriptor }: Job, status: number): void {
    if (status === Status.DONE) this.counters.transfers += 1;
    if (this.#port.writeWord(descriptor + CopyDescriptor.STATUS, status) !== 0) {
      this.counters.failedDma += 1;
    }
    this.#tell(queue);
  }

  /** Interrupts when nothing of the queue is left. */
  #tell(queue: number): void {
    const isOpen = (job: Job): boolean => job.queue === queue;
    if (this.#rings[queue]!.waiting > 0) return;
    if (!this.#active.some(isOpen) && !this.#waiting.some(isOpen)) this.interrupts.raise(queue);
  }

  #jobOf({ held, ...job }: JobState): Job {
    const bytes = held === null ? null : new Uint8Array(Buffer.from(held, "base64"));
    return { ...job, held: bytes, port: this.access.port(job.pasid) };
  }
}
