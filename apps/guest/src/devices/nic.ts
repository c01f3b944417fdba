import type { DmaPort } from "@viommu/memory";
import type { MmioRegion } from "@viommu/plugin";
import type { DeviceConfig } from "../config/guest-config.ts";
import { createCounters } from "./device.ts";
import type { Device, DeviceInterrupts, DeviceState } from "./device.ts";
import { regionsOf } from "./interrupts.ts";
import {
  DeviceRegister,
  MAX_PACKET,
  NicDescriptor,
  NicRing,
  QUEUE_BASE,
  QUEUE_STRIDE,
  RingRegister,
  Status,
} from "./layout.ts";
import { QueueWork } from "./queue-work.ts";
import { RegisterBlock } from "./register-block.ts";
import { DescriptorRing } from "./ring.ts";

interface Queue {
  readonly receive: DescriptorRing;
  readonly transmit: DescriptorRing;
}

/**
 * A network card whose cable leads back into it: what a queue sends arrives on the same queue. Packets
 * are fetched and stored by DMA; a queue interrupts when it has sent all that it was told to.
 */
export class Nic implements Device {
  eager = true;
  readonly config: DeviceConfig;
  readonly regions: readonly MmioRegion[];
  readonly interrupts: DeviceInterrupts;
  readonly counters = createCounters();
  readonly #port: DmaPort;
  readonly #registers: RegisterBlock;
  readonly #work: QueueWork;
  readonly #queues: readonly Queue[];
  readonly #packet = new Uint8Array(MAX_PACKET);

  constructor(config: DeviceConfig, port: DmaPort, interrupts: DeviceInterrupts) {
    const count = interrupts.sent.length;
    this.config = config;
    this.interrupts = interrupts;
    this.#port = port;
    this.#work = new QueueWork(
      (index) => this.#step(this.#queues[index]!),
      (index) => {
        interrupts.raise(index);
      },
    );
    const registers = new RegisterBlock({
      name: config.name,
      base: config.bar,
      fixed: { [DeviceRegister.QUEUES]: count },
      written: (offset) => {
        this.#written(offset - QUEUE_BASE);
      },
      takeCause: () => interrupts.takeCause(),
    });
    this.#registers = registers;
    this.#queues = Array.from({ length: count }, (_, i) => {
      const offset = QUEUE_BASE + i * QUEUE_STRIDE;
      const ring = (at: number): DescriptorRing =>
        new DescriptorRing(registers, offset + at, NicDescriptor.BYTES, port);
      return { receive: ring(NicRing.RECEIVE), transmit: ring(NicRing.TRANSMIT) };
    });
    this.regions = regionsOf(registers, interrupts);
  }

  get pending(): boolean {
    return this.#work.pending;
  }

  run(budget: number): number {
    return this.#work.run(budget);
  }

  save(): DeviceState {
    return {
      counters: { ...this.counters },
      interrupts: this.interrupts.save(),
      registers: this.#registers.save(),
      heads: this.#queues.flatMap(({ transmit, receive }) => [transmit.head, receive.head]),
      work: this.#work.save(),
    };
  }

  restore({ counters, interrupts, registers, heads = [], work = [] }: DeviceState): void {
    Object.assign(this.counters, counters);
    this.interrupts.restore(interrupts);
    this.#registers.restore(registers);
    this.#queues.forEach(({ transmit, receive }, i) => {
      transmit.head = heads[2 * i]!;
      receive.head = heads[2 * i + 1]!;
    });
    this.#work.restore(work);
  }

  #written(offset: number): void {
    const index = Math.floor(offset / QUEUE_STRIDE);
    const queue = this.#queues[index];
    if (queue === undefined || offset % QUEUE_STRIDE !== NicRing.TRANSMIT + RingRegister.TAIL)
      return;
    if (queue.transmit.waiting === 0) return;
    this.#work.add(index);
    if (this.eager) this.run(Infinity);
  }

  /** One packet. False when all are sent, or the queue cannot go on. */
  #step(queue: Queue): boolean {
    return queue.transmit.waiting > 0 && this.#send(queue) && queue.transmit.waiting > 0;
  }

  /** Sends the next packet. False when the queue cannot go on. */
  #send({ transmit, receive }: Queue): boolean {
    if (!transmit.fetch()) return this.#failed();
    const length = Math.min(transmit.wordAt(NicDescriptor.LENGTH), MAX_PACKET);
    const packet = this.#packet.subarray(0, length);
    if (this.#port.read(transmit.addressAt(NicDescriptor.ADDRESS), packet) !== 0) {
      this.#failed();
      return transmit.complete(NicDescriptor.STATUS, Status.FAILED);
    }
    this.counters.bytesRead += length;
    const arrived = this.#arrive(receive, packet);
    const status = arrived ? Status.DONE : Status.FAILED;
    return transmit.complete(NicDescriptor.STATUS, status) || this.#failed();
  }

  /** A packet comes in: into the next buffer that has room for it. */
  #arrive(receive: DescriptorRing, packet: Uint8Array): boolean {
    if (receive.waiting === 0) return false; // dropped, as on every wire
    if (!receive.fetch()) return this.#failed();
    const room = receive.wordAt(NicDescriptor.LENGTH);
    const stored =
      packet.length <= room &&
      this.#port.write(receive.addressAt(NicDescriptor.ADDRESS), packet) === 0 &&
      receive.note(NicDescriptor.LENGTH, packet.length);
    if (!stored) this.#failed();
    const told = receive.complete(NicDescriptor.STATUS, stored ? Status.DONE : Status.FAILED);
    if (!stored || !told) return false;
    this.counters.bytesWritten += packet.length;
    this.counters.transfers += 1;
    return true;
  }

  #failed(): false {
    this.counters.failedDma += 1;
    return false;
  }
}
