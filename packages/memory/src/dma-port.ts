import {
  Access,
  DmaRequest,
  hiFromNumber,
  InterruptRequest,
  InterruptResult,
  loFromNumber,
  NO_PASID,
} from "@viommu/plugin";
import type { DmaRemapper, GuestMemory, InterruptRemapper, InterruptSink } from "@viommu/plugin";
import { PAGE } from "./region.ts";

/**
 * Result of a DMA that was translated but meets no memory: a hole, a device's registers, or a write
 * to read-only memory. (0 is success, positive a fault reason, -1 DmaResult.ABORTED.)
 */
export const NO_MEMORY = -2;

/** What a {@link DmaPort} is made of. */
export interface DmaPortOptions {
  readonly memory: GuestMemory;
  /** The unit above the device, or the device's translation cache (`Atc`) in front of it. */
  readonly remapper: DmaRemapper;
  /** The requester, or a function asked for each request, as the guest may renumber buses. */
  readonly sourceId: number | (() => number);
  /** All requests carry this PASID (20 bits); without it they carry none. */
  readonly pasid?: number;
  /** Where the device's interrupt messages go; without it the DMA remapper gets them. */
  readonly interrupts?: {
    readonly remapper: InterruptRemapper;
    readonly sink: InterruptSink;
  };
}

/** Gives a device its view of memory. */
export function createDmaPort(options: DmaPortOptions): DmaPort {
  return new DmaPort(options);
}

/**
 * Memory as one device sees it: every access is translated by the unit above the device. Addresses
 * are bytes, 0 to 2^53 - 1. Accesses are cut at 4 KiB borders, as the unit wants it, and each page is
 * translated anew: that costs a tenth of copying it, and a page inside the interrupt range or a
 * mapping changed by the access itself needs no care.
 *
 * Results are 0, or what stopped the access: a fault reason, -1 (DmaResult.ABORTED),
 * {@link NO_MEMORY}, or one of `AtcResult` where the remapper is the device's own translation cache.
 * What lies before the page that stopped it has been done.
 */
export class DmaPort {
  readonly #memory: GuestMemory;
  readonly #remapper: DmaRemapper;
  readonly #sourceId: number | (() => number);
  readonly #interrupts: DmaPortOptions["interrupts"];
  readonly #request = new DmaRequest();
  readonly #message = new InterruptRequest();

  /** Called by {@link createDmaPort}. */
  constructor(options: DmaPortOptions) {
    this.#memory = options.memory;
    this.#remapper = options.remapper;
    this.#sourceId = options.sourceId;
    this.#interrupts = options.interrupts;
    this.#request.pasid = options.pasid ?? NO_PASID;
  }

  /** Fills `target`. An empty target makes a zero-length read (VT-d 3.14), which only asks. */
  read(address: number, target: Uint8Array): number {
    if (target.length === 0) return this.#translate(address, Access.NONE);
    let done = 0;
    while (done < target.length) {
      const bytes = untilBorder(address + done, target.length - done);
      const result = this.#translate(address + done, Access.READ);
      if (result !== 0) return result;
      const part = bytes === target.length ? target : target.subarray(done, done + bytes);
      if (!this.#memory.readBytes(this.#request.outHi, this.#request.outLo, part)) return NO_MEMORY;
      done += bytes;
    }
    return 0;
  }

  /** Stores `source`. A naturally aligned dword is {@link writeWord}. */
  write(address: number, source: Uint8Array): number {
    if (source.length === 4 && address % 4 === 0) {
      const low = source[0]! | (source[1]! << 8);
      return this.writeWord(address, low | (source[2]! << 16) | (source[3]! << 24));
    }
    let done = 0;
    while (done < source.length) {
      const bytes = untilBorder(address + done, source.length - done);
      const result = this.#translate(address + done, Access.WRITE);
      if (result !== 0) return result;
      const part = bytes === source.length ? source : source.subarray(done, done + bytes);
      const { outHi, outLo } = this.#request;
      if (!this.#memory.writeBytes(outHi, outLo, part)) return NO_MEMORY;
      done += bytes;
    }
    return 0;
  }

  /**
   * Stores a dword. Without a PASID, naturally aligned into FEEx_xxxxh, it is an interrupt (VT-d
   * 3.15): remapped and delivered.
   */
  writeWord(address: number, value: number): number {
    if (address % 4 !== 0) {
      return this.write(address, new Uint8Array(Int32Array.of(value).buffer));
    }
    if (this.#interrupts !== undefined && this.#isInterrupt(address)) {
      return this.#interrupt(this.#interrupts, address, value);
    }
    const result = this.#translate(address, Access.WRITE);
    if (result !== 0) return result;
    const { outHi, outLo } = this.#request;
    return this.#memory.writeWord(outHi, outLo, value) ? 0 : NO_MEMORY;
  }

  /**
   * The range as views into memory, page by page: for a transfer that takes its time. The unit holds
   * back the completion of invalidations until `release` is called. `access` is READ, WRITE or both.
   */
  segments(address: number, length: number, access: number): DmaSegments {
    const ticket = this.#remapper.enter();
    const views: Uint8Array[] = [];
    let result = 0;
    let done = 0;
    while (done < length && result === 0) {
      const bytes = untilBorder(address + done, length - done);
      result = this.#translate(address + done, access);
      if (result !== 0) break;
      const { outHi, outLo } = this.#request;
      const view = this.#memory.view(outHi, outLo, bytes, (access & Access.WRITE) !== 0);
      if (view === null) result = NO_MEMORY;
      else views.push(view);
      done += bytes;
    }
    const segments = new DmaSegments(result, result === 0 ? views : [], this.#remapper, ticket);
    if (result !== 0) segments.release();
    return segments;
  }

  #translate(address: number, access: number): number {
    const request = this.#request;
    request.sourceId = this.#liveSourceId();
    request.access = access;
    request.hi = hiFromNumber(address);
    request.lo = loFromNumber(address);
    return this.#remapper.translate(request);
  }

  #isInterrupt(address: number): boolean {
    return (
      this.#request.pasid === NO_PASID &&
      hiFromNumber(address) === 3 &&
      loFromNumber(address) >>> 20 === 0x3ee
    );
  }

  #interrupt(
    interrupts: NonNullable<DmaPortOptions["interrupts"]>,
    address: number,
    value: number,
  ): number {
    const message = this.#message;
    message.sourceId = this.#liveSourceId();
    message.upper = 0;
    message.address = address | 0;
    message.data = value | 0;
    const result = interrupts.remapper.remap(message);
    if (result === InterruptResult.DELIVER) {
      interrupts.sink.deliver(message.messageUpper, message.messageAddress, message.messageData);
    }
    return result > 0 ? result : 0;
  }

  #liveSourceId(): number {
    return typeof this.#sourceId === "number" ? this.#sourceId : this.#sourceId();
  }
}

/** The scatter-gather list of one transfer. */
export class DmaSegments {
  /** 0, or what stopped the access; then `views` is empty and nothing is to be released. */
  readonly result: number;
  /** In order; each one lies in one 4 KiB page. Not to be touched after `release`. */
  readonly views: readonly Uint8Array[];
  readonly #remapper: DmaRemapper;
  #ticket: number | null;

  /** Called by {@link DmaPort.segments}. */
  constructor(result: number, views: readonly Uint8Array[], remapper: DmaRemapper, ticket: number) {
    this.result = result;
    this.views = views;
    this.#remapper = remapper;
    this.#ticket = ticket;
  }

  /** The transfer is over. Calling it again does nothing. */
  release(): void {
    if (this.#ticket === null) return;
    const ticket = this.#ticket;
    this.#ticket = null;
    this.#remapper.leave(ticket);
  }
}

/** Of `length` bytes at this address, those up to the next 4 KiB border. */
function untilBorder(address: number, length: number): number {
  return Math.min(length, PAGE - (address % PAGE));
}
