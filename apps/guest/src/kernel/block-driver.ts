import { Access } from "@viommu/plugin";
import { queuesOf } from "../config/guest-config.ts";
import type { DeviceConfig } from "../config/guest-config.ts";
import {
  BlockOperation,
  BlockRegister,
  BlockRequest,
  QUEUE_BASE,
  QUEUE_STRIDE,
  SECTOR,
  Status,
} from "../devices/layout.ts";
import { mix } from "../random.ts";
import type { Random } from "../random.ts";
import type { DeviceDriver, DriverServices } from "./device-driver.ts";
import { DriverRing } from "./driver-ring.ts";
import type { RingState } from "./driver-ring.ts";
import { fillPattern, firstDifference } from "./pattern.ts";
import { PAGE } from "./ram.ts";
import { cutLength, ScatterGather } from "./scatter-gather.ts";
import type { Piece } from "./scatter-gather.ts";

/** Requests that a queue has under way at most. */
const BATCH = 2;
const MOST_SECTORS = 4;
const MOST_SECTORS_OF_SLOT = 8;
const MOST_PIECES = 4;
/** Scatter-gather lists lie in the page of the ring, behind it. */
const LISTS = 1024;
const LIST_BYTES = 256;

interface Request {
  readonly reading: boolean;
  readonly sector: number;
  readonly count: number;
  readonly memory: ScatterGather;
}

interface Queue {
  readonly page: number;
  readonly iova: number;
  readonly ring: DriverRing;
  /** Requests under way at the same time may be done in any order: each slot has its own sectors. */
  readonly first: number;
  readonly sectorsPerSlot: number;
  requests: readonly Request[];
}

/** What the driver of a disk knows. */
interface BlockState {
  readonly transfers: number;
  readonly checkedBytes: number;
  /** Number and version of the sectors that were written. */
  readonly versions: readonly (readonly [sector: number, version: number])[];
  readonly queues: readonly {
    readonly ring: RingState;
    readonly requests: readonly (Omit<Request, "memory"> & { readonly pieces: readonly Piece[] })[];
  }[];
}

/**
 * Driver of the disk. It writes sectors with contents that belong to sector and version, and reads
 * them back, each from or to scattered memory.
 */
export class BlockDriver implements DeviceDriver<BlockState> {
  readonly queues: number;
  transfers = 0;
  checkedBytes = 0;
  readonly #services: DriverServices;
  readonly #queues: readonly Queue[];
  /** How often each sector was written. */
  readonly #versions: Uint32Array;
  readonly #data = new Uint8Array(MOST_SECTORS * SECTOR);

  constructor({ bar, interrupt }: DeviceConfig, services: DriverServices) {
    const out = new Int32Array(2);
    services.bus.read(bar + BlockRegister.SECTORS, 4, out);
    const sectors = out[0]!;
    this.queues = queuesOf(interrupt);
    this.#services = services;
    this.#versions = new Uint32Array(sectors);
    // few, so that they are read and written again and again
    const sectorsPerSlot = Math.min(
      MOST_SECTORS_OF_SLOT,
      Math.floor(sectors / this.queues / BATCH),
    );
    this.#queues = Array.from({ length: this.queues }, (_, i) => {
      const registers = bar + QUEUE_BASE + i * QUEUE_STRIDE;
      return this.#createQueue(registers, i * sectorsPerSlot * BATCH, sectorsPerSlot);
    });
  }

  start(index: number, random: Random): void {
    const queue = this.#queues[index]!;
    queue.requests = Array.from({ length: random.between(1, BATCH) }, (_, slot) =>
      this.#createRequest(queue.first + slot * queue.sectorsPerSlot, queue.sectorsPerSlot, random),
    );
    for (const request of queue.requests) this.#put(queue, request);
    queue.ring.publish();
  }

  finish(index: number): string | null {
    const queue = this.#queues[index]!;
    if (queue.requests.length === 0) return "an interrupt, and nothing was under way";
    const problems = queue.requests.map((request) => this.#finishRequest(queue.ring, request));
    queue.requests = [];
    return problems.find((problem) => problem !== null) ?? null;
  }

  save(): BlockState {
    const { transfers, checkedBytes } = this;
    const versions = [...this.#versions].map((version, i) => [i, version] as const);
    return {
      transfers,
      checkedBytes,
      versions: versions.filter(([, version]) => version > 0),
      queues: this.#queues.map(({ ring, requests }) => ({
        ring: ring.save(),
        requests: requests.map(({ memory, ...rest }) => ({ ...rest, pieces: memory.pieces })),
      })),
    };
  }

  restore({ transfers, checkedBytes, versions, queues }: BlockState): void {
    const { ram, dma } = this.#services;
    this.transfers = transfers;
    this.checkedBytes = checkedBytes;
    this.#versions.fill(0);
    for (const [sector, version] of versions) this.#versions[sector] = version;
    this.#queues.forEach((queue, i) => {
      const { ring, requests } = queues[i]!;
      queue.ring.restore(ring);
      queue.requests = requests.map(({ pieces, ...rest }) => ({
        ...rest,
        memory: new ScatterGather(ram, dma, pieces),
      }));
    });
  }

  #createQueue(registers: number, first: number, sectorsPerSlot: number): Queue {
    const { bus, ram, dma } = this.#services;
    const page = ram.allocate();
    const iova = dma.map(page, PAGE, Access.READ | Access.WRITE);
    const ring = new DriverRing(bus, registers, {
      ram,
      address: page,
      iova,
      size: BATCH,
      descriptorBytes: BlockRequest.BYTES,
    });
    return { page, iova, ring, first, sectorsPerSlot, requests: [] };
  }

  /** A request for some of the sectors from `first` on; only what was written is read. */
  #createRequest(first: number, sectors: number, random: Random): Request {
    const { ram, dma } = this.#services;
    const count = random.between(1, Math.min(MOST_SECTORS, sectors));
    const sector = first + random.below(sectors - count + 1);
    const written = this.#versions.subarray(sector, sector + count).every((version) => version > 0);
    const reading = written && random.below(2) === 0;
    const lengths = cutLength(count * SECTOR, MOST_PIECES, random);
    const access = reading ? Access.WRITE : Access.READ;
    const memory = ScatterGather.map(ram, dma, lengths, access, random);
    if (!reading) {
      for (let i = sector; i < sector + count; i += 1) this.#versions[i]! += 1;
      this.#eachSector(sector, count, fillPattern);
      memory.scatter(this.#data);
    }
    return { reading, sector, count, memory };
  }

  #put({ page, iova, ring }: Queue, { reading, sector, count, memory }: Request): void {
    const list = LISTS + (ring.made % BATCH) * LIST_BYTES;
    memory.describe(this.#services.ram.bytes(page + list, LIST_BYTES));
    ring.set(BlockRequest.OPERATION, reading ? BlockOperation.READ : BlockOperation.WRITE);
    ring.set(BlockRequest.COUNT, count);
    ring.set(BlockRequest.SECTOR, sector);
    ring.setAddress(BlockRequest.LIST, iova + list);
    ring.set(BlockRequest.SEGMENTS, memory.count);
    ring.made += 1;
  }

  #finishRequest(ring: DriverRing, { reading, sector, count, memory }: Request): string | null {
    const status = ring.takeStatus(BlockRequest.STATUS);
    if (reading) memory.gather(this.#data);
    memory.release();
    if (status !== Status.DONE) return `a block request has status ${status} instead of "done"`;
    if (reading) {
      let wrong = -1;
      this.#eachSector(sector, count, (bytes, key) => {
        const at = firstDifference(bytes, key);
        if (at >= 0 && wrong < 0) wrong = bytes.byteOffset + at;
      });
      if (wrong >= 0) return `byte ${wrong} of ${count} sectors from ${sector} on is wrong`;
      this.checkedBytes += count * SECTOR;
    }
    this.transfers += 1;
    return null;
  }

  /** Calls `visit` for the part of `#data` that belongs to each sector, and its key. */
  #eachSector(first: number, count: number, visit: (bytes: Uint8Array, key: number) => void): void {
    for (let i = 0; i < count; i += 1) {
      const sector = first + i;
      const key = mix(mix(this.#services.key, sector), this.#versions[sector]!);
      visit(this.#data.subarray(i * SECTOR, (i + 1) * SECTOR), key);
    }
  }
}
