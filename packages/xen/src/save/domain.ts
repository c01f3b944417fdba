import type { Snapshottable } from "@viommu/plugin";
import type { DomainPages } from "./domain-pages.ts";

/** A machine, as far as it moves. Nothing of it runs while it is saved or restored. */
export interface SavedDomain {
  /** All that has state, in the order in which it is restored: after memory, and who is asked by others first. */
  readonly parts: readonly Snapshottable[];
  readonly pages: DomainPages;
}

/** Where a save is written to: a file, a socket, a list. The bytes are valid during the call. */
export interface SaveSink {
  write(bytes: Uint8Array): void;
}

/** Where a save is read from: twice, as all of it is checked before any of it is used. */
export interface SaveSource {
  /** Bytes. */
  readonly length: number;
  /** The bytes from an offset on; the caller stays inside, and is done with them at the next call. */
  read(offset: number, length: number): Uint8Array;
}
