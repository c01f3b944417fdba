import { encodeRecord, ViommuError } from "@viommu/plugin";
import type { MmioRegion, Snapshottable } from "@viommu/plugin";
import type { InterruptRoute } from "./interrupt-route.ts";
import { vmsiDeliver, VmsiResult } from "./vmsi.ts";
import { payloadOf } from "./snapshot.ts";

/** Capability id 11h in bits 7:0 of the first dword. */
const CAPABILITY_ID = 0x11;
/** Message control, bits 31:16 of the first dword (PCI 3.0, 6.8.2). */
const ENABLE = 0x8000_0000 | 0;
const FUNCTION_MASK = 0x4000_0000;
/** Bit 0 of an entry's fourth dword. */
const VECTOR_MASKED = 1;

const MAX_VECTORS = 2048;

/** Where a structure lies: in which base address register, and at which offset, a multiple of 8. */
export interface MsixPlace {
  readonly bar: number;
  readonly offset: number;
}

export interface MsixOptions {
  /** Name of its record in a saved machine, and part of the names of its regions. */
  readonly snapshotId: string;
  /** 1 to 2048. */
  readonly vectors: number;
  readonly route: InterruptRoute;
  readonly table: MsixPlace;
  readonly pending: MsixPlace;
  /** Offset of the next capability in configuration space; 0 ends the list. */
  readonly next?: number;
}

/** A region of a device's BAR; `base` follows the BAR when the guest moves it. */
export interface MovableRegion extends MmioRegion {
  base: number;
}

/**
 * The MSI-X capability of a device: 12 bytes of configuration space, the vector table and the pending
 * bits as memory, and the device's way to signal.
 */
export class MsixCapability implements Snapshottable {
  /** Bytes of configuration space. */
  static readonly SIZE: number = 12;

  readonly snapshotId: string;
  readonly vectors: number;
  /** The vector table: 16 bytes each, address, upper address, data, control. */
  readonly table: MovableRegion;
  /** The pending bits, read-only, in 64-bit words. */
  readonly pending: MovableRegion;

  readonly #route: InterruptRoute;
  readonly #places: readonly [number, number];
  readonly #fixed: number;
  #control = 0;
  readonly #entries: Int32Array;
  readonly #pendingBits: Int32Array;

  constructor(options: MsixOptions) {
    const { snapshotId, vectors, next = 0 } = options;
    if (!Number.isInteger(vectors) || vectors < 1 || vectors > MAX_VECTORS) {
      throw new ViommuError(
        "ERR_VIOMMU_MSI",
        `an MSI-X table cannot have ${vectors} vectors; give a whole number from 1 to ${MAX_VECTORS}`,
      );
    }
    this.snapshotId = snapshotId;
    this.vectors = vectors;
    this.#route = options.route;
    this.#fixed = CAPABILITY_ID | (next << 8) | ((vectors - 1) << 16);
    this.#places = [placeDword(options.table), placeDword(options.pending)];
    this.#entries = new Int32Array(vectors * 4);
    this.#pendingBits = new Int32Array(Math.ceil(vectors / 64) * 2);
    this.table = region(`${snapshotId} table`, this.#entries, (index, value) => {
      this.#writeEntry(index, value);
    });
    this.pending = region(`${snapshotId} pending bits`, this.#pendingBits, null);
    this.reset();
  }

  get enabled(): boolean {
    return (this.#control & ENABLE) !== 0;
  }

  /** The device interrupts with one of its vectors, 0 to `vectors` - 1. */
  signal(vector: number): number {
    this.#requireVector(vector);
    if (!this.enabled) return VmsiResult.DISABLED;
    if (this.#isMasked(vector)) {
      this.#pendingBits[vector >>> 5]! |= 1 << (vector & 31);
      return VmsiResult.PENDING;
    }
    return this.#send(vector);
  }

  /** The reason of a pending interrupt is gone before the guest unmasked it. */
  withdraw(vector: number): void {
    this.#pendingBits[vector >>> 5]! &= ~(1 << (vector & 31));
  }

  /** Reads a dword of the capability; offsets 0, 4, 8. */
  read(offset: number): number {
    if (offset === 0) return this.#fixed | this.#control;
    if (offset === 4) return this.#places[0];
    return offset === 8 ? this.#places[1] : 0;
  }

  /** Writes a dword of the capability: enable and function mask. Unmasking sends what is pending. */
  write(offset: number, value: number): void {
    if (offset !== 0) return;
    this.#control = value & (ENABLE | FUNCTION_MASK);
    for (let word = 0; word < this.#pendingBits.length; word += 1) {
      for (let rest = this.#pendingBits[word]!; rest !== 0; rest &= rest - 1) {
        this.#sendPending(word * 32 + 31 - Math.clz32(rest & -rest));
      }
    }
  }

  /** Off, everything masked, nothing pending. */
  reset(): void {
    this.#control = 0;
    this.#pendingBits.fill(0);
    this.#entries.fill(0);
    for (let i = 3; i < this.#entries.length; i += 4) this.#entries[i] = VECTOR_MASKED;
  }

  save(): Uint8Array {
    const payload = [this.#control, ...this.#entries, ...this.#pendingBits];
    return encodeRecord(this.#header(), Int32Array.from(payload));
  }

  check(record: Uint8Array): void {
    this.#payload(record);
  }

  restore(record: Uint8Array): void {
    const payload = this.#payload(record);
    this.#control = payload[0]!;
    this.#entries.set(payload.subarray(1, 1 + this.#entries.length));
    this.#pendingBits.set(payload.subarray(1 + this.#entries.length));
  }

  #payload(record: Uint8Array): Int32Array {
    const words = 1 + this.#entries.length + this.#pendingBits.length;
    return payloadOf(this.#header(), record, words);
  }

  #header() {
    return { id: this.snapshotId, version: 1, shape: `MSI-X, ${this.vectors} vectors` };
  }

  #requireVector(vector: number): void {
    if (vector >= 0 && vector < this.vectors) return;
    throw new ViommuError(
      "ERR_VIOMMU_MSI",
      `"${this.snapshotId}" has no vector ${vector}; its vectors are 0 to ${this.vectors - 1}`,
    );
  }

  #writeEntry(index: number, value: number): void {
    const field = index & 3;
    if (field === 0) this.#entries[index] = value & ~3;
    else if (field !== 3) this.#entries[index] = value;
    else {
      this.#entries[index] = value & VECTOR_MASKED;
      this.#sendPending(index >>> 2);
    }
  }

  #isMasked(vector: number): boolean {
    if ((this.#control & FUNCTION_MASK) !== 0) return true;
    return (this.#entries[vector * 4 + 3]! & VECTOR_MASKED) !== 0;
  }

  #sendPending(vector: number): void {
    const bit = 1 << (vector & 31);
    if ((this.#pendingBits[vector >>> 5]! & bit) === 0) return;
    if (!this.enabled || this.#isMasked(vector)) return;
    this.#pendingBits[vector >>> 5]! &= ~bit;
    this.#send(vector);
  }

  #send(vector: number): number {
    const at = vector * 4;
    const entries = this.#entries;
    return vmsiDeliver(this.#route, entries[at + 1]!, entries[at]!, entries[at + 2]!);
  }
}

/** Offset with the BAR number in bits 2:0. */
function placeDword(place: MsixPlace): number {
  const { bar, offset } = place;
  if (Number.isInteger(bar) && bar >= 0 && bar < 6 && offset % 8 === 0) return offset | bar;
  throw new ViommuError(
    "ERR_VIOMMU_MSI",
    `MSI-X cannot lie at offset ${offset} of BAR ${bar}; give a multiple of 8 in BAR 0 to 5`,
  );
}

/** Dwords as memory that takes aligned accesses of 4 and 8 bytes and ignores all others. */
function region(
  name: string,
  dwords: Int32Array,
  store: ((index: number, value: number) => void) | null,
): MovableRegion {
  const fits = (offset: number, size: number): boolean =>
    (size === 4 || size === 8) && offset % size === 0 && offset < dwords.length * 4;
  return {
    name,
    base: 0,
    size: dwords.length * 4,
    read(offset, size, out) {
      const ok = fits(offset, size);
      out[0] = ok ? dwords[offset >>> 2]! : 0;
      out[1] = ok && size === 8 ? dwords[(offset >>> 2) + 1]! : 0;
    },
    write(offset, size, low, high) {
      if (store === null || !fits(offset, size)) return;
      store(offset >>> 2, low);
      if (size === 8) store((offset >>> 2) + 1, high);
    },
  };
}
