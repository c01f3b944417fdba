import type { MmioBus } from "@viommu/guest-driver";
import { RingRegister } from "../devices/layout.ts";

const ADDRESS = 0;
const LENGTH = 8;

/** Where a {@link DriverRing} lies, and its shape. */
export interface DriverRingOptions {
  /** Where the descriptors lie. */
  readonly memory: Uint8Array;
  readonly iova: number;
  readonly size: number;
  readonly descriptorBytes: number;
}

/** A ring of descriptors from the driver's side: fills them, tells the device, takes them back. */
export class DriverRing {
  /** Descriptors made, and taken back, since the start. */
  made = 0;
  done = 0;
  readonly view: DataView;
  readonly #bus: MmioBus;
  readonly #registers: number;
  readonly #options: DriverRingOptions;

  /** `registers` is the address of the ring's registers. */
  constructor(bus: MmioBus, registers: number, options: DriverRingOptions) {
    const { memory, iova, size } = options;
    this.view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
    this.#bus = bus;
    this.#registers = registers;
    this.#options = options;
    bus.write(registers + RingRegister.BASE, 8, iova % 2 ** 32, Math.floor(iova / 2 ** 32));
    bus.write(registers + RingRegister.SIZE, 4, size, 0);
  }

  /** Offset in `view` of the next descriptor to make. */
  get tailOffset(): number {
    return (this.made % this.#options.size) * this.#options.descriptorBytes;
  }

  /** Offset in `view` of the next descriptor to take back. */
  get headOffset(): number {
    return (this.done % this.#options.size) * this.#options.descriptorBytes;
  }

  /** Makes a descriptor that begins with address and length. */
  put(address: number, length: number): void {
    const at = this.tailOffset;
    this.view.setUint32(at + ADDRESS, address % 2 ** 32, true);
    this.view.setUint32(at + ADDRESS + 4, Math.floor(address / 2 ** 32), true);
    this.view.setUint32(at + LENGTH, length, true);
    this.made += 1;
  }

  /** Tells the device about all descriptors made. */
  publish(): void {
    this.#bus.write(this.#registers + RingRegister.TAIL, 4, this.made | 0, 0);
  }

  /** A word of the next descriptor to take back. */
  wordAt(offset: number): number {
    return this.view.getUint32(this.headOffset + offset, true);
  }

  /** Takes the next descriptor back; returns the status word there, and clears it. */
  takeStatus(offset: number): number {
    const status = this.wordAt(offset);
    this.view.setUint32(this.headOffset + offset, 0, true);
    this.done += 1;
    return status;
  }

  /** As {@link takeStatus}, and the same descriptor is made again with a word set anew. */
  recycle(statusOffset: number, wordOffset: number, value: number): number {
    this.view.setUint32(this.headOffset + wordOffset, value, true);
    this.made += 1;
    return this.takeStatus(statusOffset);
  }
}
