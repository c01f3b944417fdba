import type { MmioBus } from "@viommu/guest-driver";
import { RingRegister } from "../devices/layout.ts";
import type { Ram } from "./ram.ts";

const ADDRESS = 0;
const LENGTH = 8;

/** Where a {@link DriverRing} lies, and its shape. */
export interface DriverRingOptions {
  readonly ram: Ram;
  /** Where the descriptors lie. */
  readonly address: number;
  readonly iova: number;
  readonly size: number;
  readonly descriptorBytes: number;
}

/** Descriptors made and taken back. */
export type RingState = readonly [made: number, done: number];

/** A ring of descriptors from the driver's side: fills them, tells the device, takes them back. */
export class DriverRing {
  /** Descriptors made, and taken back, since the start. */
  made = 0;
  done = 0;
  readonly #bus: MmioBus;
  readonly #registers: number;
  readonly #options: DriverRingOptions;

  /** `registers` is the address of the ring's registers. */
  constructor(bus: MmioBus, registers: number, options: DriverRingOptions) {
    const { iova, size } = options;
    this.#bus = bus;
    this.#registers = registers;
    this.#options = options;
    bus.write(registers + RingRegister.BASE, 8, iova % 2 ** 32, Math.floor(iova / 2 ** 32));
    bus.write(registers + RingRegister.SIZE, 4, size, 0);
  }

  /** Sets a word of the next descriptor to make. */
  set(offset: number, value: number): void {
    this.#options.ram.setWord(this.#addressOf(this.made) + offset, value);
  }

  /** Sets an address in the next descriptor to make. */
  setAddress(offset: number, address: number): void {
    this.set(offset, address % 2 ** 32);
    this.set(offset + 4, Math.floor(address / 2 ** 32));
  }

  /** Makes a descriptor that begins with address and length. */
  put(address: number, length: number): void {
    this.setAddress(ADDRESS, address);
    this.set(LENGTH, length);
    this.made += 1;
  }

  /** Tells the device about all descriptors made. */
  publish(): void {
    this.#bus.write(this.#registers + RingRegister.TAIL, 4, this.made | 0, 0);
  }

  /** A word of the next descriptor to take back. */
  wordAt(offset: number): number {
    return this.#options.ram.word(this.#addressOf(this.done) + offset);
  }

  /** Takes the next descriptor back; returns the status word there, and clears it. */
  takeStatus(offset: number): number {
    const status = this.wordAt(offset);
    this.#options.ram.setWord(this.#addressOf(this.done) + offset, 0);
    this.done += 1;
    return status;
  }

  /** As {@link takeStatus}, and the same descriptor is made again with a word set anew. */
  recycle(statusOffset: number, wordOffset: number, value: number): number {
    this.#options.ram.setWord(this.#addressOf(this.done) + wordOffset, value);
    this.made += 1;
    return this.takeStatus(statusOffset);
  }

  save(): RingState {
    return [this.made, this.done];
  }

  restore([made, done]: RingState): void {
    this.made = made;
    this.done = done;
  }

  #addressOf(descriptor: number): number {
    const { address, size, descriptorBytes } = this.#options;
    return address + (descriptor % size) * descriptorBytes;
  }
}
