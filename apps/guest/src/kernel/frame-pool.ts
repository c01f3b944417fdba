import { PAGE } from "./ram.ts";
import type { Ram } from "./ram.ts";

/** What frames hold that belong to nobody. */
const POISON = 0xee;
const POISONED = Buffer.alloc(PAGE, POISON);

/** A {@link FramePool} that was saved. */
export interface FramePoolState {
  readonly free: readonly number[];
  readonly touched: number;
}

/**
 * Frames for pages of processes. A free frame is poisoned: whoever still writes to it by an old
 * translation leaves a trace, and who still reads it gets wrong bytes.
 */
export class FramePool {
  /** Frames that were written to while they belonged to nobody. */
  touched = 0;
  readonly #ram: Ram;
  readonly #free: number[] = [];

  constructor(ram: Ram, count: number) {
    this.#ram = ram;
    for (let i = 0; i < count; i += 1) this.give(ram.allocate());
  }

  /** A frame, the longest free one; null when there is none. */
  take(): number | null {
    const frame = this.#free.shift() ?? null;
    if (frame !== null) this.#look(frame);
    return frame;
  }

  /** Takes a frame back. */
  give(frame: number): void {
    this.#ram.bytes(frame, PAGE).fill(POISON);
    this.#free.push(frame);
  }

  /** Looks at all free frames. */
  lookAtAll(): void {
    for (const frame of this.#free) this.#look(frame);
  }

  save(): FramePoolState {
    return { free: [...this.#free], touched: this.touched };
  }

  restore({ free, touched }: FramePoolState): void {
    this.#free.splice(0, Infinity, ...free);
    this.touched = touched;
  }

  #look(frame: number): void {
    if (POISONED.compare(this.#ram.bytes(frame, PAGE)) !== 0) this.touched += 1;
  }
}
