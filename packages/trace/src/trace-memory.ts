import { Exchange } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";
import { hiFromBigint, loFromBigint, toBigint } from "@viommu/plugin";
import type { MemoryBytes } from "./format.ts";

const PAGE = 4096;
const PAGES_PER_CHUNK = 2 ** 18;

/** One 4 KiB page: what is known of it, and how it answers where nothing is known. */
class Page {
  readonly bytes: Uint8Array = new Uint8Array(PAGE);
  readonly known: Uint8Array = new Uint8Array(PAGE);
  /** The reference failed to read here: unknown bytes of the page are no memory. */
  hole = false;
  /** The reference failed to write here. */
  readOnly = false;
}

/** A write of the unit: where, what, and what was there before. */
export interface CapturedWrite {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  readonly before: Uint8Array;
}

/** Reads of the unit that touched a byte the trace never told. */
export interface UnknownReads {
  readonly count: number;
  /** Address of the first such byte. */
  readonly first: bigint | undefined;
}

/**
 * Guest memory of a replay: single bytes, unknown until the trace tells them. An unknown byte reads
 * as zero and is counted. There are no fast views, so that the unit comes through the methods.
 */
export class TraceMemory implements GuestMemory {
  readonly chunks: readonly (Int32Array | undefined)[] = [];
  readonly shared = false;
  readonly #pages = new Map<number, Page>();
  readonly #word = new Uint8Array(4);
  readonly #wordView: DataView = new DataView(this.#word.buffer);
  #writes: CapturedWrite[] = [];
  #counting = true;
  #unknownCount = 0;
  #unknownFirst: bigint | undefined;

  get unknownReads(): UnknownReads {
    return { count: this.#unknownCount, first: this.#unknownFirst };
  }

  /** The unit's writes since the last call, in order. */
  takeWrites(): CapturedWrite[] {
    const writes = this.#writes;
    this.#writes = [];
    return writes;
  }

  /** Makes known what the reference read; a failed read makes the unknown bytes there a hole. */
  storeReads(reads: readonly MemoryBytes[]): void {
    for (const { address, bytes } of reads) {
      if (bytes === null) this.#pageOf(address).hole = true;
      else this.#store(address, bytes);
    }
  }

  /** Before an event: whether the reference could write where it tried to. */
  prepareWrites(writes: readonly MemoryBytes[]): void {
    for (const { address, bytes } of writes) this.#pageOf(address).readOnly = bytes === null;
  }

  /** After an event: the bytes that the reference wrote. */
  storeWrites(writes: readonly MemoryBytes[]): void {
    for (const { address, bytes } of writes) if (bytes !== null) this.#store(address, bytes);
  }

  /** The bytes as they are, unknown ones as zero, without counting. */
  peek(address: bigint, length: number): Uint8Array {
    const target = new Uint8Array(length);
    this.#copyOut(hiFromBigint(address), loFromBigint(address), target);
    return target;
  }

  /** The same for 8 bytes, as a number. */
  peekQword(address: bigint): bigint {
    return new DataView(this.peek(address, 8).buffer).getBigUint64(0, true);
  }

  /** Whether none of these bytes is known to be no memory. */
  isReadable(address: bigint, length: number): boolean {
    return !this.#touchesHole(hiFromBigint(address), loFromBigint(address), length);
  }

  /** Whether all these bytes are known. */
  knows(address: bigint, length: number): boolean {
    for (let i = 0; i < length; i += 1) {
      const at = address + BigInt(i);
      if (this.#find(hiFromBigint(at), loFromBigint(at))?.known[Number(at & 0xfffn)] !== 1) {
        return false;
      }
    }
    return true;
  }

  /** Does something that may read unknown bytes without being counted. */
  unnoticed<T>(action: () => T): T {
    this.#counting = false;
    try {
      return action();
    } finally {
      this.#counting = true;
    }
  }

  /** Does something while other bytes lie here; then all is as before, known or unknown. */
  lend<T>(address: bigint, bytes: Uint8Array, action: () => T): T {
    const before = this.peek(address, bytes.length);
    const known = Array.from(bytes, (_, i) => this.knows(address + BigInt(i), 1));
    this.#store(address, bytes);
    try {
      return action();
    } finally {
      this.#store(address, before);
      known.forEach((isKnown, i) => {
        if (!isKnown) this.#forget(address + BigInt(i));
      });
    }
  }

  readWords(hi: number, lo: number, count: number, out: Int32Array): boolean {
    const bytes = new Uint8Array(4 * count);
    if (!this.readBytes(hi, lo, bytes)) return false;
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < count; i += 1) out[i] = view.getInt32(4 * i, true);
    return true;
  }

  readBytes(hi: number, lo: number, target: Uint8Array): boolean {
    if (this.#touchesHole(hi, lo, target.length)) return false;
    this.#noteUnknown(hi, lo, target.length);
    this.#copyOut(hi, lo, target);
    return true;
  }

  writeWord(hi: number, lo: number, value: number): boolean {
    this.#wordView.setInt32(0, value, true);
    return this.writeBytes(hi, lo, this.#word);
  }

  exchangeWord(hi: number, lo: number, expected: number, value: number): number {
    const word = new Int32Array(1);
    if (!this.readWords(hi, lo, 1, word)) return Exchange.FAILED;
    if (word[0] !== expected) return Exchange.DIFFERS;
    return this.writeWord(hi, lo, value) ? Exchange.DONE : Exchange.FAILED;
  }

  writeBytes(hi: number, lo: number, source: Uint8Array): boolean {
    if (this.#touchesHole(hi, lo, source.length)) return false;
    for (let i = 0; i < source.length; i += 1) {
      if (this.#find(hi, lo + i)?.readOnly) return false;
    }
    const before = new Uint8Array(source.length);
    this.#copyOut(hi, lo, before);
    const address = toBigint(hi, lo);
    this.#writes.push({ address, bytes: source.slice(), before });
    this.#store(address, source);
    return true;
  }

  view(): null {
    return null;
  }

  #store(address: bigint, bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i += 1) {
      const at = address + BigInt(i);
      const page = this.#pageOf(at);
      const offset = Number(at & 0xfffn);
      page.bytes[offset] = bytes[i]!;
      page.known[offset] = 1;
    }
  }

  #forget(address: bigint): void {
    this.#pageOf(address).known[Number(address & 0xfffn)] = 0;
  }

  #copyOut(hi: number, lo: number, target: Uint8Array): void {
    for (let i = 0; i < target.length; i += 1) {
      target[i] = this.#find(hi, lo + i)?.bytes[(lo + i) % PAGE] ?? 0;
    }
  }

  #touchesHole(hi: number, lo: number, length: number): boolean {
    for (let i = 0; i < length; i += 1) {
      const page = this.#find(hi, lo + i);
      if (page?.hole && page.known[(lo + i) % PAGE] !== 1) return true;
    }
    return false;
  }

  #noteUnknown(hi: number, lo: number, length: number): void {
    if (!this.#counting) return;
    for (let i = 0; i < length; i += 1) {
      if (this.#find(hi, lo + i)?.known[(lo + i) % PAGE] === 1) continue;
      this.#unknownCount += 1;
      this.#unknownFirst ??= toBigint(hi, lo) + BigInt(i);
      return;
    }
  }

  #find(hi: number, lo: number): Page | undefined {
    return this.#pages.get(hi * PAGES_PER_CHUNK + Math.floor(lo / PAGE));
  }

  #pageOf(address: bigint): Page {
    const key = hiFromBigint(address) * PAGES_PER_CHUNK + Math.floor(loFromBigint(address) / PAGE);
    let page = this.#pages.get(key);
    if (page === undefined) this.#pages.set(key, (page = new Page()));
    return page;
  }
}
