import { hiFromBigint, loFromBigint, toBigint, ViommuError } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";

const PAGE = 4096;

/** Where the tables of a test lie. */
export interface TableSpaceOptions {
  readonly memory: GuestMemory;
  /** Guest-physical byte address of the first page. */
  readonly base: number;
  /** Bytes; what does not fill a page is not used. */
  readonly size: number;
}

/** A part of guest memory that is given out page by page for tables. */
export class TableSpace {
  readonly #memory: GuestMemory;
  #next: bigint;
  readonly #end: bigint;

  constructor({ memory, base, size }: TableSpaceOptions) {
    this.#memory = memory;
    this.#next = BigInt(base);
    this.#end = this.#next + BigInt(size);
  }

  /** Address of zeroed pages; throws ERR_VIOMMU_TABLE_SPACE when there are no more. */
  allocate(pages = 1): bigint {
    const address = this.#next;
    const end = address + BigInt(pages * PAGE);
    if (end > this.#end) {
      throw new ViommuError(
        "ERR_VIOMMU_TABLE_SPACE",
        `no room for ${pages} pages of tables at ${hex(address)}; give the tables more memory`,
      );
    }
    this.#next = end;
    const hi = hiFromBigint(address);
    const lo = loFromBigint(address);
    if (!this.#memory.writeBytes(hi, lo, new Uint8Array(pages * PAGE))) throw noMemory(hi, lo);
    return address;
  }

  /**
   * Stores the words of an entry, the first one last: it says whether the entry is present. Throws
   * ERR_VIOMMU_TABLE_SPACE where no memory is.
   */
  store(address: bigint, words: Int32Array): void {
    const hi = hiFromBigint(address);
    const lo = loFromBigint(address);
    for (let i = words.length - 1; i >= 0; i -= 1) {
      if (!this.#memory.writeWord(hi, lo + i * 4, words[i]!)) throw noMemory(hi, lo + i * 4);
    }
  }

  /** The words at an address; throws ERR_VIOMMU_TABLE_SPACE where no memory is. */
  load(address: bigint, count: number): Int32Array {
    const words = new Int32Array(count);
    const hi = hiFromBigint(address);
    const lo = loFromBigint(address);
    if (!this.#memory.readWords(hi, lo, count, words)) throw noMemory(hi, lo);
    return words;
  }
}

function noMemory(hi: number, lo: number): ViommuError {
  return new ViommuError(
    "ERR_VIOMMU_TABLE_SPACE",
    `${hex(toBigint(hi, lo))} is no memory for a table; put the tables where writable memory is`,
  );
}

function hex(address: bigint): string {
  return `0x${address.toString(16)}`;
}
