import { encodeRecord, ViommuError } from "@viommu/plugin";
import type { Snapshottable } from "@viommu/plugin";
import type { InterruptRoute } from "./interrupt-route.ts";
import { vmsiDeliver, VmsiResult } from "./vmsi.ts";
import { payloadOf } from "./snapshot.ts";

/** Capability id 05h in bits 7:0 of the first dword. */
const CAPABILITY_ID = 0x05;
/** Message control, bits 31:16 of the first dword: 64-bit addresses, masks for each vector. */
const WIDE_AND_MASKABLE = 0x0180_0000;
const ENABLE = 0x0001_0000;
const ENABLE_AND_COUNT = 0x0071_0000;

/** Dwords of the capability (PCI 3.0, 6.8.1). */
const Dword = { CONTROL: 0, ADDRESS: 1, UPPER: 2, DATA: 3, MASK: 4, PENDING: 5 } as const;
const DWORDS = 6;

export interface MsiOptions {
  /** Name of its record in a saved machine. */
  readonly snapshotId: string;
  /** Vectors the device can use: 1, 2, 4, 8, 16 or 32. */
  readonly vectors: number;
  readonly route: InterruptRoute;
  /** Offset of the next capability in configuration space; 0 ends the list. */
  readonly next?: number;
}

/** The MSI capability of a device: 24 bytes of configuration space, and the device's way to signal. */
export class MsiCapability implements Snapshottable {
  /** Bytes of configuration space. */
  static readonly SIZE: number = DWORDS * 4;

  readonly snapshotId: string;
  readonly vectors: number;
  readonly #route: InterruptRoute;
  readonly #fixed: number;
  readonly #dwords = new Int32Array(DWORDS);

  constructor(options: MsiOptions) {
    const { vectors, next = 0 } = options;
    const log2 = Math.log2(vectors);
    if (!Number.isInteger(log2) || vectors > 32 || vectors < 1) {
      throw new ViommuError(
        "ERR_VIOMMU_MSI",
        `an MSI capability cannot have ${vectors} vectors; give 1, 2, 4, 8, 16 or 32`,
      );
    }
    this.snapshotId = options.snapshotId;
    this.vectors = vectors;
    this.#route = options.route;
    this.#fixed = CAPABILITY_ID | (next << 8) | WIDE_AND_MASKABLE | (log2 << 17);
    this.reset();
  }

  get enabled(): boolean {
    return (this.#dwords[Dword.CONTROL]! & ENABLE) !== 0;
  }

  /** The device interrupts with one of its vectors (those beyond what the guest enabled wrap round). */
  signal(vector: number): number {
    if (!this.enabled) return VmsiResult.DISABLED;
    const bit = 1 << (vector & (this.#enabledVectors() - 1));
    if ((this.#dwords[Dword.MASK]! & bit) !== 0) {
      this.#dwords[Dword.PENDING]! |= bit;
      return VmsiResult.PENDING;
    }
    return this.#send(31 - Math.clz32(bit));
  }

  /** The reason of a pending interrupt is gone before the guest unmasked it. */
  withdraw(vector: number): void {
    this.#dwords[Dword.PENDING]! &= ~(1 << (vector & (this.#enabledVectors() - 1)));
  }

  /** Reads a dword of the capability; offsets 0 to 20. */
  read(offset: number): number {
    return (offset & 3) === 0 ? (this.#dwords[offset >>> 2] ?? 0) : 0;
  }

  /** Writes a dword of the capability. Unmasking or enabling sends what is pending. */
  write(offset: number, value: number): void {
    switch (offset) {
      case Dword.CONTROL * 4:
        this.#dwords[Dword.CONTROL] = this.#fixed | (value & ENABLE_AND_COUNT);
        break;
      case Dword.ADDRESS * 4:
        this.#dwords[Dword.ADDRESS] = value & ~3;
        break;
      case Dword.UPPER * 4:
        this.#dwords[Dword.UPPER] = value;
        break;
      case Dword.DATA * 4:
        this.#dwords[Dword.DATA] = value & 0xffff;
        break;
      case Dword.MASK * 4:
        this.#dwords[Dword.MASK] = value & this.#vectorBits();
        break;
      default:
        return;
    }
    this.#sendPending();
  }

  reset(): void {
    this.#dwords.fill(0);
    this.#dwords[Dword.CONTROL] = this.#fixed;
  }

  save(): Uint8Array {
    return encodeRecord(this.#header(), this.#dwords);
  }

  check(record: Uint8Array): void {
    payloadOf(this.#header(), record, DWORDS);
  }

  restore(record: Uint8Array): void {
    this.#dwords.set(payloadOf(this.#header(), record, DWORDS));
  }

  #header() {
    return { id: this.snapshotId, version: 1, shape: `MSI, ${this.vectors} vectors` };
  }

  /** What multiple message enable gives, at most what the device asked for (6 and 7 are reserved). */
  #enabledVectors(): number {
    return Math.min(this.vectors, 1 << ((this.#dwords[Dword.CONTROL]! >>> 20) & 7));
  }

  #vectorBits(): number {
    return -1 >>> (32 - this.vectors);
  }

  #sendPending(): void {
    if (!this.enabled) return;
    let ready = this.#dwords[Dword.PENDING]! & ~this.#dwords[Dword.MASK]!;
    this.#dwords[Dword.PENDING]! &= ~ready;
    for (; ready !== 0; ready &= ready - 1) this.#send(31 - Math.clz32(ready & -ready));
  }

  /** The vector is the low bits of the data, as many as are enabled. */
  #send(vector: number): number {
    const owned = this.#enabledVectors() - 1;
    const data = (this.#dwords[Dword.DATA]! & ~owned) | (vector & owned);
    return vmsiDeliver(this.#route, this.#dwords[Dword.UPPER]!, this.#dwords[Dword.ADDRESS]!, data);
  }
}
