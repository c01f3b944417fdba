import type { DmaPort } from "@viommu/memory";
import { Access } from "@viommu/plugin";
import type { MmioRegion } from "@viommu/plugin";
import type { DeviceConfig } from "../config/guest-config.ts";
import { createCounters } from "./device.ts";
import type { Device, DeviceInterrupts, DeviceState } from "./device.ts";
import { regionsOf } from "./interrupts.ts";
import {
  BlockOperation,
  BlockRegister,
  BlockRequest,
  DeviceRegister,
  MAX_SEGMENTS,
  QUEUE_BASE,
  QUEUE_STRIDE,
  RingRegister,
  SECTOR,
  Segment,
  Status,
} from "./layout.ts";
import { QueueWork } from "./queue-work.ts";
import { RegisterBlock } from "./register-block.ts";
import { DescriptorRing } from "./ring.ts";

/** Sectors of the disk: 1 MiB. */
const SECTORS = 2048;

/**
 * A disk. A request names sectors and a scatter-gather list; the data go straight between the disk
 * and the pages of the guest, which the unit keeps from being unmapped meanwhile.
 */
export class BlockDevice implements Device {
  eager = true;
  readonly config: DeviceConfig;
  readonly regions: readonly MmioRegion[];
  readonly interrupts: DeviceInterrupts;
  readonly counters = createCounters();
  readonly #port: DmaPort;
  readonly #registers: RegisterBlock;
  readonly #work: QueueWork;
  readonly #rings: readonly DescriptorRing[];
  readonly #disk = new Uint8Array(SECTORS * SECTOR);
  readonly #list = new Uint8Array(MAX_SEGMENTS * Segment.BYTES);

  constructor(config: DeviceConfig, port: DmaPort, interrupts: DeviceInterrupts) {
    const count = interrupts.sent.length;
    this.config = config;
    this.interrupts = interrupts;
    this.#port = port;
    this.#work = new QueueWork(
      (index) => this.#step(this.#rings[index]!),
      (index) => {
        interrupts.raise(index);
      },
    );
    const registers = new RegisterBlock({
      name: config.name,
      base: config.bar,
      fixed: { [DeviceRegister.QUEUES]: count, [BlockRegister.SECTORS]: SECTORS },
      written: (offset) => {
        this.#written(offset - QUEUE_BASE);
      },
      takeCause: () => interrupts.takeCause(),
    });
    this.#registers = registers;
    this.#rings = Array.from({ length: count }, (_, i) => {
      const offset = QUEUE_BASE + i * QUEUE_STRIDE;
      return new DescriptorRing(registers, offset, BlockRequest.BYTES, port);
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
    const sectors: [number, string][] = [];
    for (let sector = 0; sector < SECTORS; sector += 1) {
      const contents = this.#sector(sector);
      if (contents.every((byte) => byte === 0)) continue;
      sectors.push([sector, contents.toString("base64")]);
    }
    return {
      counters: { ...this.counters },
      interrupts: this.interrupts.save(),
      registers: this.#registers.save(),
      heads: this.#rings.map((ring) => ring.head),
      work: this.#work.save(),
      sectors,
    };
  }

  restore(state: DeviceState): void {
    const { counters, interrupts, registers, heads = [], work = [], sectors = [] } = state;
    Object.assign(this.counters, counters);
    this.interrupts.restore(interrupts);
    this.#registers.restore(registers);
    this.#rings.forEach((ring, i) => {
      ring.head = heads[i]!;
    });
    this.#work.restore(work);
    this.#disk.fill(0);
    for (const [sector, contents] of sectors) this.#sector(sector).write(contents, "base64");
  }

  #sector(sector: number): Buffer {
    return Buffer.from(this.#disk.buffer, sector * SECTOR, SECTOR);
  }

  #written(offset: number): void {
    const index = Math.floor(offset / QUEUE_STRIDE);
    const ring = this.#rings[index];
    if (ring === undefined || offset % QUEUE_STRIDE !== RingRegister.TAIL || ring.waiting === 0) {
      return;
    }
    this.#work.add(index);
    if (this.eager) this.run(Infinity);
  }

  /** One request. False when all are done, or the queue cannot go on. */
  #step(ring: DescriptorRing): boolean {
    if (ring.waiting === 0) return false;
    const goesOn = ring.fetch() && this.#complete(ring);
    if (!goesOn && ring.waiting > 0) this.counters.failedDma += 1;
    return goesOn && ring.waiting > 0;
  }

  /** Does the request that was fetched and tells the driver. False when that is not possible. */
  #complete(ring: DescriptorRing): boolean {
    const done = this.#serve(ring);
    if (done) this.counters.transfers += 1;
    else this.counters.failedDma += 1;
    return ring.complete(BlockRequest.STATUS, done ? Status.DONE : Status.FAILED);
  }

  /** Does the request that was fetched. False on one that cannot be, or on a blocked access. */
  #serve(ring: DescriptorRing): boolean {
    const operation = ring.wordAt(BlockRequest.OPERATION);
    const start = ring.wordAt(BlockRequest.SECTOR) * SECTOR;
    const length = ring.wordAt(BlockRequest.COUNT) * SECTOR;
    const segments = ring.wordAt(BlockRequest.SEGMENTS);
    if (operation !== BlockOperation.READ && operation !== BlockOperation.WRITE) return false;
    if (segments > MAX_SEGMENTS || start + length > this.#disk.length) return false;
    const list = this.#list.subarray(0, segments * Segment.BYTES);
    if (this.#port.read(ring.addressAt(BlockRequest.LIST), list) !== 0) return false;
    return this.#transfer(operation, list, this.#disk.subarray(start, start + length));
  }

  #transfer(operation: number, list: Uint8Array, sectors: Uint8Array): boolean {
    const view = new DataView(list.buffer, list.byteOffset, list.length);
    let done = 0;
    for (let at = 0; at < list.length; at += Segment.BYTES) {
      const address =
        view.getUint32(at + Segment.ADDRESS + 4, true) * 2 ** 32 +
        view.getUint32(at + Segment.ADDRESS, true);
      const length = view.getUint32(at + Segment.LENGTH, true);
      if (length > sectors.length - done) return false;
      if (!this.#copy(operation, address, sectors.subarray(done, done + length))) return false;
      done += length;
    }
    return done === sectors.length;
  }

  /** Copies between a part of the disk and a segment. Reading the disk writes guest memory. */
  #copy(operation: number, address: number, part: Uint8Array): boolean {
    const reading = operation === BlockOperation.READ;
    const access = reading ? Access.WRITE : Access.READ;
    const segments = this.#port.segments(address, part.length, access);
    let at = 0;
    for (const view of segments.views) {
      const bytes = part.subarray(at, at + view.length);
      if (reading) view.set(bytes);
      else bytes.set(view);
      at += view.length;
    }
    segments.release();
    if (reading) this.counters.bytesWritten += at;
    else this.counters.bytesRead += at;
    return segments.result === 0;
  }
}
