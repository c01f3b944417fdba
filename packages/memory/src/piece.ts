import { hiFromNumber, loFromNumber, ViommuError } from "@viommu/plugin";
import { DirtyPages } from "./dirty-pages.ts";
import { CHUNK, growable, hex } from "./region.ts";
import type { GrowableBuffer, MemoryRegion } from "./region.ts";

/** The part of a region that lies in one chunk, with the views through which it is accessed. */
export class Piece {
  readonly hi: number;
  /** `lo` of the first byte. */
  readonly start: number;
  /** `lo` after the last byte, at most 2^30. */
  readonly end: number;
  readonly writable: boolean;
  readonly shared: boolean;
  /** Null when nobody wants to know. */
  readonly dirty: DirtyPages | null;
  readonly #backing: GrowableBuffer;
  readonly #offset: number;
  words: Int32Array;
  bytes: Uint8Array;

  constructor(part: Part, backing: GrowableBuffer, offset: number, dirtyLog: boolean) {
    this.hi = part.hi;
    this.start = part.start;
    this.end = part.end;
    this.writable = part.region.readOnly !== true;
    this.shared = isShared(backing.buffer);
    this.dirty = dirtyLog ? new DirtyPages(part.end - part.start) : null;
    this.#backing = backing;
    this.#offset = offset;
    this.words = this.#wordsUpTo(this.end);
    this.bytes = new Uint8Array(backing.buffer, offset, this.end - this.start);
  }

  /** Takes the views anew; throws ERR_VIOMMU_MEMORY_DETACHED when there is no buffer any more. */
  attach(): void {
    if (this.#backing.buffer.byteLength < this.#offset + this.end - this.start) {
      throw new ViommuError(
        "ERR_VIOMMU_MEMORY_DETACHED",
        `the buffer behind guest memory at ${hex(this.hi * CHUNK + this.start)} was transferred ` +
          "away; keep it, or adopt a SharedArrayBuffer or a WebAssembly.Memory",
      );
    }
    this.words = this.#wordsUpTo(this.end);
    this.bytes = new Uint8Array(this.#backing.buffer, this.#offset, this.end - this.start);
  }

  /** The words of this piece and the following ones, as far as their bytes follow in one buffer. */
  wordsWith(following: readonly Piece[]): Int32Array {
    let end = this.end;
    for (const next of following) {
      const joins =
        next.start === end &&
        next.#backing.buffer === this.#backing.buffer &&
        next.#offset === this.#offset + (end - this.start);
      if (!joins) break;
      end = next.end;
    }
    return this.#wordsUpTo(end);
  }

  #wordsUpTo(end: number): Int32Array {
    return new Int32Array(this.#backing.buffer, this.#offset, (end - this.start) / 4);
  }
}

interface Part {
  readonly region: MemoryRegion;
  readonly hi: number;
  readonly start: number;
  readonly end: number;
}

/** Cuts sorted regions at chunk borders and gives every part its memory. */
export function makePieces(regions: readonly MemoryRegion[], dirtyLog: boolean): Piece[] {
  const parts = regions.flatMap(splitAtChunks);
  let made: GrowableBuffer = { buffer: new ArrayBuffer(0) };
  let madeStart = 0;
  return parts.map((part, i) => {
    const { buffer, bufferOffset = 0, base } = part.region;
    if (buffer !== undefined) {
      const offset = bufferOffset + (part.hi * CHUNK + part.start - base);
      return new Piece(part, growable(buffer), offset, dirtyLog);
    }
    // Neighbours in one chunk share a buffer, so that one fast view spans them all.
    if (i === 0 || !follows(parts[i - 1]!, part)) {
      let last = i;
      while (last + 1 < parts.length && follows(parts[last]!, parts[last + 1]!)) last += 1;
      made = { buffer: allocate(parts[last]!.end - part.start) };
      madeStart = part.start;
    }
    return new Piece(part, made, part.start - madeStart, dirtyLog);
  });
}

function splitAtChunks(region: MemoryRegion): Part[] {
  const parts: Part[] = [];
  let left = region.size;
  while (left > 0) {
    const address = region.base + region.size - left;
    const start = loFromNumber(address);
    const end = Math.min(CHUNK, start + left);
    parts.push({ region, hi: hiFromNumber(address), start, end });
    left -= end - start;
  }
  return parts;
}

function follows(below: Part, part: Part): boolean {
  const bothMade = below.region.buffer === undefined && part.region.buffer === undefined;
  return bothMade && below.hi === part.hi && below.end === part.start;
}

function allocate(size: number): ArrayBuffer {
  try {
    return new ArrayBuffer(size);
  } catch (error) {
    throw new ViommuError(
      "ERR_VIOMMU_MEMORY_ALLOCATION",
      `the host refuses ${hex(size)} bytes of memory; give the machine less`,
      { cause: error },
    );
  }
}

function isShared(buffer: ArrayBuffer | SharedArrayBuffer): boolean {
  return typeof SharedArrayBuffer !== "undefined" && buffer instanceof SharedArrayBuffer;
}
