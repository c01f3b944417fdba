import { FSTS, InvalidationQueueError, IQA, IQERCD, IQH, Offset, toQwords } from "@viommu/vtd-spec";
import type { QueueState } from "./driver-state.ts";
import { hex, refused, timeout } from "./errors.ts";
import type { GlobalCommand } from "./global-command.ts";
import { descriptorOf, DONE, fenceDescriptor, waitDescriptor } from "./invalidation-descriptors.ts";
import type { InvalidationRequest, Invalidator } from "./invalidation.ts";
import type { PageAllocator } from "./page-allocator.ts";
import { pollUntil } from "./polling.ts";
import type { Polling } from "./polling.ts";
import type { RegisterWindow } from "./register-window.ts";
import { PAGE_SIZE } from "./table-memory.ts";
import type { TableMemory } from "./table-memory.ts";

/** Descriptors in the queue, of either width; as Linux has it. */
const SLOTS = 256;
/** One slot stays free, and each batch ends with a wait. */
const LARGEST_BATCH = SLOTS - 2;
/** Devices may have up to 32 invalidations under way, each of which can time out on its own. */
const MOST_ATTEMPTS = SLOTS;
const IN_USE = 1;

/** Errors of a single descriptor: with another one in its place the queue goes on. */
const SKIPPABLE: readonly bigint[] = [
  BigInt(InvalidationQueueError.INVALID_TYPE),
  BigInt(InvalidationQueueError.RESERVED_FIELD),
];

/** What an invalidation queue works with. */
export interface QueueParts {
  readonly registers: RegisterWindow;
  readonly command: GlobalCommand;
  readonly memory: TableMemory;
  readonly pages: PageAllocator;
  readonly polling: Polling;
  readonly unit: string;
}

/**
 * The invalidation queue of one unit (VT-d 6.5.2): a ring in memory. Requests are put in as a batch
 * with a wait descriptor behind them, whose status word is then polled.
 *
 * A refused descriptor (IQE) is replaced by one without effect, so that the queue stays usable, and
 * reported with ERR_VIOMMU_DRIVER_REFUSED. A device that does not answer (ITE) is left out from then
 * on and counted; the rest of the batch is done again.
 */
export class InvalidationQueue implements Invalidator {
  readonly counters = { descriptors: 0, waits: 0, refused: 0, deviceTimeouts: 0 };
  /** Source-ids of devices that have not answered an invalidation of their device-TLB. */
  readonly silentDevices = new Set<number>();

  readonly #parts: QueueParts;
  /** Bytes of a descriptor: 32 on units which have scalable mode, as Linux does it. */
  readonly #width: number;
  readonly #ring: number;
  readonly #status: number;
  readonly #word = new Int32Array(1);
  #tail = 0;

  constructor(parts: QueueParts) {
    this.#parts = parts;
    this.#width = parts.registers.capabilities.SMTS === 0 ? 16 : 32;
    this.#ring = parts.pages.allocate((SLOTS * this.#width) / PAGE_SIZE);
    this.#status = parts.pages.allocate();
  }

  /** Gives the ring to the unit and switches it on (VT-d 6.5.2): tail, address, QIE. */
  enable(): void {
    const { registers, command } = this.#parts;
    const wide = this.#width === 32 ? 1 : 0;
    this.#tail = 0;
    registers.writeWord(Offset.IQT, 0);
    // QS = 1: two pages, so that there are as many wide descriptors as narrow ones
    registers.write(IQA, { IQA: this.#ring, DW: wide, QS: wide });
    command.set("QIE");
  }

  run(requests: readonly InvalidationRequest[]): void {
    for (let first = 0; first < requests.length; first += LARGEST_BATCH) {
      this.#runBatch(requests.slice(first, first + LARGEST_BATCH), false);
    }
  }

  /**
   * Has page requests of a device drained by these invalidations of its device-TLB (VT-d 7.7): on
   * return all that it sent before it forgot are in the page request queue.
   */
  drainPageRequests(requests: readonly InvalidationRequest[]): void {
    this.#runBatch(requests, true);
  }

  /** A device has been set up anew: it may answer now. */
  expectAnswers(sourceId: number): void {
    this.silentDevices.delete(sourceId);
  }

  /** Addresses of the ring and of the status words. */
  get places(): readonly number[] {
    return [this.#ring, this.#status];
  }

  save(): QueueState {
    return {
      tail: this.#tail,
      silentDevices: [...this.silentDevices],
      counters: { ...this.counters },
    };
  }

  restore({ tail, silentDevices, counters }: QueueState): void {
    this.#tail = tail;
    this.silentDevices.clear();
    for (const sourceId of silentDevices) this.silentDevices.add(sourceId);
    Object.assign(this.counters, counters);
  }

  #runBatch(requests: readonly InvalidationRequest[], drain: boolean): void {
    const { unit } = this.#parts;
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt += 1) {
      const wanted = requests.filter(
        (request) => request.cache !== "device-tlb" || !this.silentDevices.has(request.sourceId),
      );
      if (this.#complete(this.#submit(wanted, drain))) return;
    }
    throw refused(unit, `FSTS.ITE was set by ${MOST_ATTEMPTS} attempts in a row`);
  }

  /** Waits for a status word; false when the wait was aborted by a device's time-out. */
  #complete(status: number): boolean {
    const { registers, memory, polling, unit } = this.#parts;
    const seen = { failures: [] as string[], aborted: false };
    const over = pollUntil(polling, () => {
      if (memory.read(status, this.#word)[0] === DONE) return true;
      const { IQE, ITE, ICE } = registers.read(FSTS);
      if (IQE !== 0n) seen.failures.push(this.#skipRefused());
      if (ICE !== 0n) registers.write(FSTS, { ICE: 1 }); // nobody waits for that completion
      seen.aborted = ITE !== 0n;
      return seen.aborted;
    });
    if (seen.aborted) this.#leaveOutSilent();
    if (seen.failures.length > 0) throw refused(unit, seen.failures.join(", "));
    if (!over) {
      const tail = hex(this.#tail * this.#width);
      throw timeout(unit, `the status of the wait descriptor before IQT ${tail}`, polling.limit);
    }
    return !seen.aborted;
  }

  /** Puts descriptors and a wait into the ring and moves the tail; returns where the status comes. */
  #submit(requests: readonly InvalidationRequest[], drain: boolean): number {
    const { memory, registers } = this.#parts;
    const { capabilities } = registers;
    const descriptors = requests.map((request) => descriptorOf(request, capabilities));
    if (drain) descriptors.unshift(fenceDescriptor());
    const waitSlot = (this.#tail + descriptors.length) % SLOTS;
    const status = this.#status + 4 * waitSlot;
    memory.writeWord(status, IN_USE);
    for (const words of [...descriptors, waitDescriptor(status, drain && capabilities.PDS === 1)]) {
      this.#put(this.#tail, words);
      this.#tail = (this.#tail + 1) % SLOTS;
    }
    this.counters.descriptors += descriptors.length;
    this.counters.waits += 1;
    registers.writeWord(Offset.IQT, this.#tail * this.#width);
    return status;
  }

  #put(slot: number, words: Int32Array): void {
    const descriptor = new Int32Array(this.#width / 4);
    descriptor.set(words);
    this.#parts.memory.write(this.#ring + slot * this.#width, descriptor);
  }

  /** IQE: the head stands at the descriptor in question. Returns what was wrong. */
  #skipRefused(): string {
    const { registers, memory, unit } = this.#parts;
    this.counters.refused += 1;
    const { IQEI } = registers.read(IQERCD);
    const head = Number(registers.read(IQH).QH) * 16;
    const descriptor = memory.read(this.#ring + head, new Int32Array(this.#width / 4));
    const found = toQwords(descriptor)
      .map((qword) => qword.toString(16))
      .join(" ");
    const text = `IQERCD.IQEI is ${IQEI} for the descriptor at IQH ${hex(head)} (${found})`;
    if (!SKIPPABLE.includes(IQEI)) throw refused(unit, text);
    this.#put(head / this.#width, fenceDescriptor());
    registers.write(FSTS, { IQE: 1 });
    return text;
  }

  /** ITE: waits were aborted (VT-d 6.5.2.11), fetching goes on at the head once it is cleared. */
  #leaveOutSilent(): void {
    const { registers } = this.#parts;
    this.counters.deviceTimeouts += 1;
    this.silentDevices.add(Number(registers.read(IQERCD).ITESID));
    registers.write(FSTS, { ITE: 1 });
  }
}
