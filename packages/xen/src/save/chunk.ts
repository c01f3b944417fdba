import type { SaveSink, SaveSource } from "./domain.ts";
import { damaged, otherVersion } from "./error.ts";

/*
 * A save is a header and chunks, in little-endian 32-bit words.
 *
 *   header   "VIOM" "SAVE" version checksum
 *   chunk    kind length checksum, and `length` bytes, a multiple of 4
 *
 * The checksum of a chunk goes over all before it, too: chunks which are lost, doubled or in another
 * order do not go unseen. The last chunk is END with the length of the save.
 */

/** What a chunk holds. */
export const ChunkKind = {
  /** Two words for each region of memory: first page, low and high; and the number of pages. */
  REGIONS: 1,
  /** Numbers of pages, and the pages after them. */
  PAGES: 2,
  /** Numbers of pages that hold zeros. */
  ZEROS: 3,
  /** Name and record of a part. */
  PART: 4,
  /** Length of the save in bytes, low and high. */
  END: 5,
} as const;

/** A chunk of a save. */
export interface Chunk {
  readonly kind: number;
  readonly words: Int32Array;
}

const FORMAT = 1;
const MAGIC = [0x4d4f_4956, 0x4556_4153] as const; // "VIOM" "SAVE"
const HEADER_BYTES = 16;
const CHUNK_BYTES = 12;

/** Writes a save, chunk by chunk. */
export class ChunkWriter {
  readonly #sink: SaveSink;
  #checksum: number;
  #written = HEADER_BYTES;

  constructor(sink: SaveSink) {
    const header = Int32Array.of(...MAGIC, FORMAT, 0);
    this.#checksum = sum(0, header);
    header[3] = this.#checksum;
    this.#sink = sink;
    sink.write(bytesOf(header));
  }

  /** Bytes written. */
  get written(): number {
    return this.#written;
  }

  /** A chunk out of several runs of words. */
  write(kind: number, ...runs: readonly Int32Array[]): void {
    const length = 4 * runs.reduce((total, { length: words }) => total + words, 0);
    let checksum = sum(this.#checksum, [kind, length]);
    for (const run of runs) checksum = sum(checksum, run);
    this.#checksum = checksum;
    this.#sink.write(bytesOf(Int32Array.of(kind, length, checksum)));
    for (const run of runs) this.#sink.write(bytesOf(run));
    this.#written += CHUNK_BYTES + length;
  }

  /** The last chunk. */
  end(): void {
    const total = this.#written + CHUNK_BYTES + 8;
    this.write(ChunkKind.END, Int32Array.of(total, total / 2 ** 32));
  }
}

/**
 * The chunks of a save without its END. Throws ERR_VIOMMU_SAVE_DAMAGED as soon as something is wrong,
 * and ERR_VIOMMU_SAVE_VERSION.
 */
export function* readChunks(source: SaveSource): Generator<Chunk, void> {
  let offset = 0;
  const take = (bytes: number): Int32Array => {
    if (bytes % 4 !== 0 || bytes < 0 || bytes > source.length - offset) {
      throw damaged(`it ends after ${source.length} bytes, in the middle of something`);
    }
    const words = new Int32Array(bytes / 4);
    bytesOf(words).set(source.read(offset, bytes));
    offset += bytes;
    return words;
  };
  const header = take(HEADER_BYTES);
  if (header[0] !== MAGIC[0] || header[1] !== MAGIC[1]) throw damaged("it does not begin as one");
  let checksum = header[3]!;
  header[3] = 0;
  if (sum(0, header) !== checksum) throw damaged("the checksum of its header is wrong");
  if (header[2] !== FORMAT) throw otherVersion(header[2]!, FORMAT);
  for (;;) {
    const at = offset;
    const [kind, length, expected] = take(CHUNK_BYTES) as unknown as [number, number, number];
    const words = take(length);
    checksum = sum(sum(checksum, [kind, length]), words);
    if (checksum !== expected) throw damaged(`the checksum at byte ${at} is wrong`);
    if (kind === ChunkKind.END) {
      const total = (words[1] ?? 0) * 2 ** 32 + ((words[0] ?? 0) >>> 0);
      if (total === offset && total === source.length) return;
      throw damaged(`it has ${source.length} bytes instead of ${total}`);
    }
    yield { kind, words };
  }
}

/** Goes on with a checksum: each step is one-to-one, so that no single wrong word goes unseen. */
function sum(from: number, words: ArrayLike<number>): number {
  let checksum = from;
  for (let i = 0; i < words.length; i += 1) {
    checksum = Math.imul(checksum ^ words[i]!, 0x0100_0193);
    checksum ^= checksum >>> 15;
  }
  return checksum;
}

function bytesOf(words: Int32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}
