import type { RegisterMap } from "./register-map.ts";

/** What a write sets in motion; called with the word as written, after it has been stored. */
export type RegisterEffect = (this: void, value: number) => void;

/**
 * The register block as the guest sees it (VT-d 11.3). Accesses of 4 and 8 bytes, aligned to their
 * size, are defined; 8 bytes are two words, low first, each with its own effect. Any other access
 * reads as zero and writes nothing.
 */
export class RegisterFile {
  readonly size: number;
  readonly #words: Int32Array;
  readonly #map: RegisterMap;
  readonly #effects: (RegisterEffect | undefined)[];
  /** Words owned by hardware: writes to them do nothing. */
  readonly #locked: Uint8Array;

  constructor(map: RegisterMap) {
    this.size = map.size;
    this.#map = map;
    this.#words = map.reset.slice();
    this.#effects = new Array<RegisterEffect | undefined>(this.#words.length).fill(undefined);
    this.#locked = new Uint8Array(this.#words.length);
  }

  /** Registers what a write of the word at this offset sets in motion. */
  onWrite(offset: number, effect: RegisterEffect): void {
    this.#effects[offset >>> 2] = effect;
  }

  /** The word at an offset, with what software can't read. */
  get(offset: number): number {
    return this.#words[offset >>> 2]!;
  }

  /** Sets a word, as hardware does. */
  set(offset: number, value: number): void {
    this.#words[offset >>> 2] = value;
  }

  /** Takes a register of `bytes` bytes away from software, or gives it back (VT-d 6.9). */
  lock(offset: number, bytes: number, locked: boolean): void {
    this.#locked.fill(locked ? 1 : 0, offset >>> 2, (offset + bytes) >>> 2);
  }

  /** A guest's read. */
  read(offset: number, size: number, out: Int32Array): void {
    const valid = this.#isDefined(offset, size);
    out[0] = valid ? this.#readWord(offset >>> 2) : 0;
    out[1] = valid && size === 8 ? this.#readWord((offset >>> 2) + 1) : 0;
  }

  /** A guest's write. */
  write(offset: number, size: number, low: number, high: number): void {
    if (!this.#isDefined(offset, size)) return;
    this.#writeWord(offset >>> 2, low);
    if (size === 8) this.#writeWord((offset >>> 2) + 1, high);
  }

  /** Back to the values after reset; nothing is owned by hardware. */
  reset(): void {
    this.#words.set(this.#map.reset);
    this.#locked.fill(0);
  }

  /** All words, for a snapshot. */
  save(): Int32Array {
    return this.#words.slice();
  }

  /** Takes back the words of a unit with the same map. */
  restore(words: Int32Array): void {
    this.#words.set(words);
    this.#locked.fill(0);
  }

  #isDefined(offset: number, size: number): boolean {
    if (size !== 4 && size !== 8) return false;
    return offset >= 0 && offset % size === 0 && offset + size <= this.size;
  }

  #readWord(index: number): number {
    return this.#words[index]! & this.#map.readable[index]!;
  }

  #writeWord(index: number, value: number): void {
    if (this.#locked[index] === 1) return;
    const writable = this.#map.writable[index]!;
    const kept = this.#words[index]! & ~(value & this.#map.clearable[index]!);
    this.#words[index] = (kept & ~writable) | (value & writable);
    this.#effects[index]?.(value | 0);
  }
}
