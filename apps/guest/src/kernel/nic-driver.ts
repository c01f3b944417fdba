import { Access } from "@viommu/plugin";
import { queuesOf } from "../config/guest-config.ts";
import type { DeviceConfig } from "../config/guest-config.ts";
import {
  MAX_PACKET,
  NicDescriptor,
  NicRing,
  QUEUE_BASE,
  QUEUE_STRIDE,
  Status,
} from "../devices/layout.ts";
import { mix } from "../random.ts";
import type { Random } from "../random.ts";
import type { DeviceDriver, DriverServices } from "./device-driver.ts";
import { DriverRing } from "./driver-ring.ts";
import type { RingState } from "./driver-ring.ts";
import { fillPattern, firstDifference } from "./pattern.ts";
import { LARGE_PAGE, PAGE } from "./ram.ts";

/** Packets that a queue has under way at most; buffers that wait for them. */
const BATCH = 4;
const LEAST_PACKET = 60;
/** Most packets are small. */
const USUAL_PACKET = 300;

/** A packet that fits into a part of the pool is copied there, where there is a pool. */
const MOST_OF_POOL = 256;
const PART_OF_POOL = 2048;

interface Packet {
  /** Mapped for this packet; null: it lies in the pool. */
  readonly page: number | null;
  readonly iova: number;
  readonly length: number;
  readonly key: number;
}

/** Memory that the device may read all the time. */
interface Pool {
  readonly address: number;
  readonly iova: number;
}

interface Queue {
  readonly transmit: DriverRing;
  readonly receive: DriverRing;
  /** Pages that the device may write, in the order of the ring; mapped once. */
  readonly buffers: readonly number[];
  packets: readonly Packet[];
  serial: number;
}

/** What the driver of a network card knows. */
interface NicState {
  readonly transfers: number;
  readonly checkedBytes: number;
  readonly queues: readonly {
    readonly transmit: RingState;
    readonly receive: RingState;
    readonly packets: readonly Packet[];
    readonly serial: number;
  }[];
}

/**
 * Driver of the network card. Packets to send are mapped one by one and unmapped when they are sent;
 * what comes in must be the same, byte by byte.
 */
export class NicDriver implements DeviceDriver<NicState> {
  readonly queues: number;
  transfers = 0;
  checkedBytes = 0;
  readonly #services: DriverServices;
  readonly #pool: Pool | null;
  readonly #queues: readonly Queue[];

  constructor({ bar, interrupt, sendPool }: DeviceConfig, services: DriverServices) {
    this.queues = queuesOf(interrupt);
    this.#services = services;
    this.#pool = sendPool ? this.#createPool() : null;
    this.#queues = Array.from({ length: this.queues }, (_, i) =>
      this.#createQueue(bar + QUEUE_BASE + i * QUEUE_STRIDE),
    );
  }

  start(index: number, random: Random): void {
    const queue = this.#queues[index]!;
    const count = random.between(1, BATCH);
    queue.packets = Array.from({ length: count }, (_, i) => this.#createPacket(index, i, random));
    for (const { iova, length } of queue.packets) queue.transmit.put(iova, length);
    queue.transmit.publish();
  }

  finish(index: number): string | null {
    const queue = this.#queues[index]!;
    if (queue.packets.length === 0) return "an interrupt, and nothing was under way";
    const problems = queue.packets.map((packet) => this.#finishPacket(queue, packet));
    queue.packets = [];
    queue.receive.publish();
    return problems.find((problem) => problem !== null) ?? null;
  }

  save(): NicState {
    const { transfers, checkedBytes } = this;
    const queues = this.#queues.map(({ transmit, receive, packets, serial }) => ({
      transmit: transmit.save(),
      receive: receive.save(),
      packets,
      serial,
    }));
    return { transfers, checkedBytes, queues };
  }

  restore({ transfers, checkedBytes, queues }: NicState): void {
    this.transfers = transfers;
    this.checkedBytes = checkedBytes;
    this.#queues.forEach((queue, i) => {
      const { transmit, receive, packets, serial } = queues[i]!;
      queue.transmit.restore(transmit);
      queue.receive.restore(receive);
      queue.packets = packets;
      queue.serial = serial;
    });
  }

  #createQueue(registers: number): Queue {
    const { bus, ram, dma } = this.#services;
    const page = ram.allocate();
    const iova = dma.map(page, PAGE, Access.READ | Access.WRITE);
    const half = PAGE / 2;
    const ring = (offset: number, at: number): DriverRing =>
      new DriverRing(bus, registers + offset, {
        ram,
        address: page + at,
        iova: iova + at,
        size: BATCH,
        descriptorBytes: NicDescriptor.BYTES,
      });
    const receive = ring(NicRing.RECEIVE, half);
    const buffers = Array.from({ length: BATCH }, () => {
      const buffer = ram.allocate();
      receive.put(dma.map(buffer, PAGE, Access.WRITE), MAX_PACKET);
      return buffer;
    });
    receive.publish();
    return { transmit: ring(NicRing.TRANSMIT, 0), receive, buffers, packets: [], serial: 0 };
  }

  #createPool(): Pool {
    const { ram, dma } = this.#services;
    const address = ram.allocateLarge();
    return { address, iova: dma.map(address, LARGE_PAGE, Access.READ) };
  }

  /** `slot` numbers the packets of a queue that are under way. */
  #createPacket(index: number, slot: number, random: Random): Packet {
    const { ram, dma, key } = this.#services;
    const queue = this.#queues[index]!;
    const most = random.below(16) === 0 ? MAX_PACKET : USUAL_PACKET;
    const length = random.between(LEAST_PACKET, most);
    const packetKey = mix(mix(key, index), queue.serial++);
    if (this.#pool !== null && length <= MOST_OF_POOL) {
      const offset = (index * BATCH + slot) * PART_OF_POOL;
      fillPattern(ram.bytes(this.#pool.address + offset, length), packetKey);
      return { page: null, iova: this.#pool.iova + offset, length, key: packetKey };
    }
    const page = ram.allocate();
    const address = page + random.below(PAGE - length + 1);
    fillPattern(ram.bytes(address, length), packetKey);
    return { page, iova: dma.map(address, length, Access.READ), length, key: packetKey };
  }

  /** Takes a packet that was sent and the one that must have come, and gives its buffer back. */
  #finishPacket({ transmit, receive, buffers }: Queue, packet: Packet): string | null {
    const { ram, dma } = this.#services;
    const sent = transmit.takeStatus(NicDescriptor.STATUS);
    if (packet.page !== null) {
      dma.unmap(packet.iova);
      ram.free(packet.page);
    }
    if (sent !== Status.DONE) return `a packet has status ${sent} instead of "sent"`;

    const slot = receive.done % BATCH;
    const length = receive.wordAt(NicDescriptor.LENGTH);
    const bytes = ram.bytes(buffers[slot]!, packet.length);
    const received = receive.recycle(NicDescriptor.STATUS, NicDescriptor.LENGTH, MAX_PACKET);
    if (received !== Status.DONE) return `a packet has status ${received} instead of "received"`;
    if (length !== packet.length) return `a packet of ${packet.length} bytes came with ${length}`;
    const wrong = firstDifference(bytes, packet.key);
    if (wrong >= 0) return `byte ${wrong} of a packet of ${length} bytes is wrong`;
    this.transfers += 1;
    this.checkedBytes += length;
    return null;
  }
}
