import { Segment } from "../devices/layout.ts";
import type { Random } from "../random.ts";
import type { DmaSpace } from "./dma-space.ts";
import { PAGE } from "./ram.ts";
import type { Ram } from "./ram.ts";

/** A run of bytes in a page of its own, and where the device sees it. */
export interface Piece {
  readonly page: number;
  readonly address: number;
  readonly length: number;
  readonly iova: number;
}

/** Memory in pieces, of any length and at any place in a page of their own, mapped for one request. */
export class ScatterGather {
  readonly #ram: Ram;
  readonly #dma: DmaSpace;
  readonly pieces: readonly Piece[];

  /** Pieces that are mapped already. */
  constructor(ram: Ram, dma: DmaSpace, pieces: readonly Piece[]) {
    this.#ram = ram;
    this.#dma = dma;
    this.pieces = pieces;
  }

  /** Fresh pieces of these lengths. `access` is what the device may do. */
  static map(
    ram: Ram,
    dma: DmaSpace,
    lengths: readonly number[],
    access: number,
    random: Random,
  ): ScatterGather {
    const pieces = lengths.map((length) => {
      const page = ram.allocate();
      const address = page + random.below(PAGE - length + 1);
      return { page, address, length, iova: dma.map(address, length, access) };
    });
    return new ScatterGather(ram, dma, pieces);
  }

  get count(): number {
    return this.pieces.length;
  }

  /** Writes the list as a device reads it. */
  describe(list: Uint8Array): void {
    const view = new DataView(list.buffer, list.byteOffset, list.length);
    this.pieces.forEach(({ iova, length }, i) => {
      setAddress(view, i * Segment.BYTES + Segment.ADDRESS, iova);
      view.setUint32(i * Segment.BYTES + Segment.LENGTH, length, true);
    });
  }

  /** Spreads bytes over the pieces. */
  scatter(bytes: Uint8Array): void {
    let at = 0;
    for (const { address, length } of this.pieces) {
      this.#ram.bytes(address, length).set(bytes.subarray(at, at + length));
      at += length;
    }
  }

  /** Collects the bytes of all pieces. */
  gather(bytes: Uint8Array): void {
    let at = 0;
    for (const { address, length } of this.pieces) {
      bytes.set(this.#ram.bytes(address, length), at);
      at += length;
    }
  }

  /** Takes everything back. */
  release(): void {
    for (const { iova, page } of this.pieces) {
      this.#dma.unmap(iova);
      this.#ram.free(page);
    }
  }
}

/** Cuts a length into up to `most` parts at any places. */
export function cutLength(length: number, most: number, random: Random): number[] {
  const parts: number[] = [];
  let left = length;
  while (left > 0) {
    const part = parts.length === most - 1 ? left : random.between(1, left);
    parts.push(part);
    left -= part;
  }
  return parts;
}

/** Writes a 64-bit address. */
function setAddress(view: DataView, offset: number, address: number): void {
  view.setUint32(offset, address % 2 ** 32, true);
  view.setUint32(offset + 4, Math.floor(address / 2 ** 32), true);
}
