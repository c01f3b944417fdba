import type { InterruptRouteOptions, MsixCapability } from "@viommu/irq-hooks";
import type { GuestMessage } from "@viommu/piommu";
import { InterruptResult } from "@viommu/plugin";
import type { InterruptRemapper, InterruptRequest } from "@viommu/plugin";
import type { Host, PassedDevice } from "../machine/host.ts";

const ENTRY = 16;
const CONTROL = 12;
const VECTOR_MASKED = 1;

/** A vector that the guest has unmasked: its message, and the handle that the real device has. */
interface BoundVector {
  message: GuestMessage;
  readonly handle: number;
}

/**
 * The vectors of a passed-through device. The guest sees a vector table of its own, and writes to it
 * are trapped: a vector that it unmasks is bound to an entry of the host. The device sends the message
 * of that entry, which goes where the guest's remapping entry says.
 */
export class PassedVectors implements InterruptRemapper {
  readonly segment: number;
  readonly #host: Host;
  readonly #device: PassedDevice;
  /** By vector. */
  readonly #bound = new Map<number, BoundVector>();
  readonly #words = new Int32Array(2);
  #table: MsixCapability["table"] | null = null;

  constructor(host: Host, device: PassedDevice) {
    this.segment = device.config.address.segment;
    this.#host = host;
    this.#device = device;
  }

  /** The way of the device's messages: it remaps and delivers all by itself. */
  get route(): InterruptRouteOptions {
    const { sourceId } = this.#device.physical;
    return { sink: { deliver: () => undefined }, remapper: this, sourceId };
  }

  /** Traps writes to the vector table from now on. */
  trap({ table }: MsixCapability): void {
    const write = table.write.bind(table);
    this.#table = table;
    table.write = (offset, size, low, high) => {
      const isControl = (offset + size) % ENTRY === 0;
      const control = size === 8 ? high : low;
      // unmasking sends what is pending, so the entry has to be there before
      if (isControl && size === 8) write(offset, 4, low, 0);
      if (isControl && (control & VECTOR_MASKED) === 0) this.#bind(Math.floor(offset / ENTRY));
      write(offset, size, low, high);
      if (!isControl) this.#update(Math.floor(offset / ENTRY));
    };
  }

  /** The vector table was restored: binds what is unmasked there. */
  restored(): void {
    const vectors = (this.#table?.size ?? 0) / ENTRY;
    for (let vector = 0; vector < vectors; vector += 1) this.#update(vector);
  }

  /** The device sends a message of its table. */
  remap({ address, data }: InterruptRequest): number {
    for (const { handle, message } of this.#bound.values()) {
      if (message.address !== address || message.data !== data) continue;
      const reason = this.#device.physical.interrupt(handle);
      return reason > 0 ? reason : InterruptResult.CONSUMED;
    }
    return InterruptResult.CONSUMED; // the table says something that the guest never wrote
  }

  probe(): number {
    return InterruptResult.CONSUMED;
  }

  /** The message may have changed; a masked one is of no interest. */
  #update(vector: number): void {
    if ((this.#word(vector * ENTRY + CONTROL) & VECTOR_MASKED) === 0) this.#bind(vector);
  }

  #bind(vector: number): void {
    const { driver } = this.#host;
    const at = vector * ENTRY;
    if (at >= this.#table!.size) return;
    const message = {
      address: this.#word(at),
      upper: this.#word(at + 4),
      data: this.#word(at + 8),
    };
    const bound = this.#bound.get(vector);
    if (bound === undefined) {
      const handle = driver.bindInterrupt(this.#device.physical.sourceId, message);
      this.#bound.set(vector, { message, handle });
    } else if (!isSame(bound.message, message)) {
      driver.changeInterrupt(bound.handle, message);
      bound.message = message;
    }
  }

  #word(offset: number): number {
    this.#table!.read(offset, 4, this.#words);
    return this.#words[0]!;
  }
}

function isSame(one: GuestMessage, other: GuestMessage): boolean {
  return one.address === other.address && one.upper === other.upper && one.data === other.data;
}
