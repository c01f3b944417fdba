import type { DmaPort } from "@viommu/memory";
import { MAX_RING, RingRegister } from "./layout.ts";
import type { RegisterBlock } from "./register-block.ts";

/**
 * A ring of descriptors in guest memory, from the device's side: it fetches them in turn, up to the
 * tail that the driver has written. Sizes and tails of a hostile driver cost no more than one round.
 */
export class DescriptorRing {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly #registers: RegisterBlock;
  readonly #offset: number;
  readonly #port: DmaPort;
  /** Descriptors taken since the start, modulo 2^32. */
  head = 0;

  /** `offset` is that of the ring's registers. */
  constructor(registers: RegisterBlock, offset: number, descriptorBytes: number, port: DmaPort) {
    this.bytes = new Uint8Array(descriptorBytes);
    this.view = new DataView(this.bytes.buffer);
    this.#registers = registers;
    this.#offset = offset;
    this.#port = port;
  }

  /** Descriptors that wait, at most one round. */
  get waiting(): number {
    const size = this.#registers.word(this.#offset + RingRegister.SIZE);
    const tail = this.#registers.word(this.#offset + RingRegister.TAIL);
    return size > MAX_RING ? 0 : Math.min(size, (tail - this.head) >>> 0);
  }

  /** Fetches the next descriptor into `bytes`. False when there is none, or no way to it. */
  fetch(): boolean {
    return this.waiting > 0 && this.#port.read(this.address, this.bytes) === 0;
  }

  /** Writes a word back into the descriptor that was fetched, and goes on to the next one. */
  complete(wordOffset: number, value: number): boolean {
    const result = this.#port.writeWord(this.address + wordOffset, value);
    this.head = (this.head + 1) >>> 0;
    return result === 0;
  }

  /** Writes a word back into the descriptor that was fetched. */
  note(wordOffset: number, value: number): boolean {
    return this.#port.writeWord(this.address + wordOffset, value) === 0;
  }

  /** An address out of the descriptor that was fetched. */
  addressAt(offset: number): number {
    return this.wordAt(offset + 4) * 2 ** 32 + this.wordAt(offset);
  }

  /** A word out of the descriptor that was fetched. */
  wordAt(offset: number): number {
    return this.view.getUint32(offset, true);
  }

  /** Address of the next descriptor to fetch. */
  get address(): number {
    const size = this.#registers.word(this.#offset + RingRegister.SIZE);
    const base = this.#registers.address(this.#offset + RingRegister.BASE);
    return base + (this.head % size) * this.bytes.length;
  }
}
