import { mix } from "../random.ts";
import { fillPattern } from "./pattern.ts";
import type { PageContent, Process } from "./process.ts";
import { PAGE } from "./ram.ts";

/** Number of the first page that copies are made from, and to: the same in every process. */
const SOURCE_PAGE = 0x5_5000_0000;
const TARGET_PAGE = 0x7_f000_0000;
/** Pages of a window: where one copy goes. */
const WINDOW = 16;

/** Bytes of the longest copy: it may begin anywhere in the first page of its window. */
export const MOST_BYTES: number = (WINDOW - 1) * PAGE;

/** Pages of a process in a row. */
export interface PageRange {
  readonly first: number;
  readonly count: number;
}

/**
 * What is where in the processes of an accelerator: pages to copy from, which nobody writes, and
 * windows to copy to. The same addresses hold something else in each process, and in each of its lives.
 */
export class ProcessLayout {
  readonly #key: number;
  readonly #sources: number;
  readonly #windows: number;

  /** `key` tells these processes from those of other devices. */
  constructor(key: number, sources: number, windows: number) {
    this.#key = key;
    this.#sources = sources;
    this.#windows = windows;
  }

  /** Bytes to copy from. */
  get sourceBytes(): number {
    return this.#sources * PAGE;
  }

  /** The address of a byte to copy from. */
  sourceAddress(at: number): number {
    return SOURCE_PAGE * PAGE + at;
  }

  /** The address of a byte in a window. */
  targetAddress(window: number, at: number): number {
    return this.window(window).first * PAGE + at;
  }

  window(window: number): PageRange {
    return { first: TARGET_PAGE + window * WINDOW, count: WINDOW };
  }

  /** What a page holds at first; null: there is none. */
  contentOf({ slot, life }: Process, page: number): PageContent | null {
    const isSource = page >= SOURCE_PAGE && page < SOURCE_PAGE + this.#sources;
    const isTarget = page >= TARGET_PAGE && page < TARGET_PAGE + this.#windows * WINDOW;
    if (!isSource && !isTarget) return null;
    const key = mix(mix(mix(this.#key, slot), life), page);
    return { key, writable: isTarget };
  }

  /** The bytes that pages hold at first. */
  initialBytes(process: Process, address: number, length: number): Uint8Array {
    const first = Math.floor(address / PAGE);
    const count = Math.floor((address + length - 1) / PAGE) - first + 1;
    const bytes = new Uint8Array(count * PAGE);
    for (let i = 0; i < count; i += 1) {
      const { key } = this.contentOf(process, first + i)!;
      fillPattern(bytes.subarray(i * PAGE, (i + 1) * PAGE), key);
    }
    const start = address - first * PAGE;
    return bytes.subarray(start, start + length);
  }
}
