import { ChunkKind, ChunkWriter } from "./chunk.ts";
import { PAGE } from "./domain-pages.ts";
import type { SavedDomain, SaveSink } from "./domain.ts";
import { encodePart } from "./part-record.ts";
import { encodeRegions } from "./region-record.ts";

/** Pages in one chunk. */
const PAGES_PER_CHUNK = 64;

/** What was written. */
export interface SaveFigures {
  /** Pages with contents, and pages of zeros. */
  readonly pages: number;
  readonly zeroPages: number;
  /** Bytes of the records of all parts. */
  readonly stateBytes: number;
  /** Bytes of the whole save. */
  readonly bytes: number;
}

/**
 * A save that comes into being in rounds, while the domain goes on between them: the first
 * {@link round} writes all pages, each later one those that were written since, {@link finish} the rest
 * and all parts. A page that comes again replaces the earlier one.
 */
export class DomainSave {
  readonly #domain: SavedDomain;
  readonly #writer: ChunkWriter;
  readonly #buffer = new Int32Array((PAGES_PER_CHUNK * PAGE) / 4);
  #first = true;
  #pages = 0;
  #zeroPages = 0;

  /** Begins a save of all that is in the domain. */
  constructor(domain: SavedDomain, sink: SaveSink) {
    this.#domain = domain;
    this.#writer = new ChunkWriter(sink);
    this.#writer.write(ChunkKind.REGIONS, encodeRegions(domain.pages.regions));
  }

  /** Bytes written so far. */
  get written(): number {
    return this.#writer.written;
  }

  /** Pages that wait for the next round. */
  get dirty(): number {
    return this.#domain.pages.dirty;
  }

  /** Writes the pages that wait; returns how many they were. */
  round(): number {
    const { pages } = this.#domain;
    const dirty = pages.takeDirty();
    const wanted = this.#first ? [...pages.touched()] : dirty;
    for (let i = 0; i < wanted.length; i += PAGES_PER_CHUNK) {
      this.#write(wanted.slice(i, i + PAGES_PER_CHUNK));
    }
    this.#first = false;
    return wanted.length;
  }

  /** Writes what is left: the domain must not run any more. */
  finish(): SaveFigures {
    this.round();
    const before = this.#writer.written;
    for (const part of this.#domain.parts) {
      this.#writer.write(ChunkKind.PART, encodePart(part.snapshotId, part.save()));
    }
    const stateBytes = this.#writer.written - before;
    this.#writer.end();
    const bytes = this.#writer.written;
    return { pages: this.#pages, zeroPages: this.#zeroPages, stateBytes, bytes };
  }

  /** At first everything is zeros where it is restored; later on zeros may replace something. */
  #write(pages: readonly number[]): void {
    const full: number[] = [];
    const zero: number[] = [];
    for (const page of pages) {
      const at = (full.length * PAGE) / 4;
      const words = this.#buffer.subarray(at, at + PAGE / 4);
      this.#domain.pages.read(page, new Uint8Array(words.buffer, words.byteOffset, PAGE));
      if (words.every((word) => word === 0)) zero.push(page);
      else full.push(page);
    }
    const contents = this.#buffer.subarray(0, (full.length * PAGE) / 4);
    if (full.length > 0) this.#writer.write(ChunkKind.PAGES, Int32Array.from(full), contents);
    this.#pages += full.length;
    if (this.#first || zero.length === 0) return;
    this.#writer.write(ChunkKind.ZEROS, Int32Array.from(zero));
    this.#zeroPages += zero.length;
  }
}

/** Saves a domain that stands still, as a whole. */
export function saveDomain(domain: SavedDomain, sink: SaveSink): SaveFigures {
  return new DomainSave(domain, sink).finish();
}
