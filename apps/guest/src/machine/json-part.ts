import { decodeRecord, encodeRecord, ViommuError } from "@viommu/plugin";
import type { SnapshotHeader, Snapshottable } from "@viommu/plugin";

/** What {@link jsonPart} makes a part of. */
export interface JsonPartOptions<T> {
  readonly header: SnapshotHeader;
  readonly save: () => T;
  readonly restore: (state: T) => void;
  /** Why a state cannot be restored here; null: it can. */
  readonly obstacle?: (state: T) => string | null;
}

/**
 * A part of a machine whose state is plain objects: a record holds them as JSON, the number of bytes
 * first. A reset goes back to the state at the time of this call.
 */
export function jsonPart<T>(options: JsonPartOptions<T>): Snapshottable {
  const { header, save, restore, obstacle } = options;
  const initial = structuredClone(save());
  const decode = (record: Uint8Array): T => {
    const state = parse(decodeRecord(header, record)) as T | null;
    const reason = state === null ? "the record holds no such state" : obstacle?.(state);
    if (state !== null && reason == null) return state;
    throw new ViommuError("ERR_VIOMMU_SNAPSHOT", `cannot restore "${header.id}": ${reason}`);
  };
  return {
    snapshotId: header.id,
    reset: () => {
      restore(structuredClone(initial));
    },
    save: () => encodeRecord(header, wordsOf(JSON.stringify(save()))),
    check: (record) => {
      decode(record);
    },
    restore: (record) => {
      restore(decode(record));
    },
  };
}

function wordsOf(text: string): Int32Array {
  const bytes = new TextEncoder().encode(text);
  const words = new Int32Array(1 + Math.ceil(bytes.length / 4));
  words[0] = bytes.length;
  new Uint8Array(words.buffer).set(bytes, 4);
  return words;
}

/** What a record holds; null when it is no JSON. */
function parse(words: Int32Array): unknown {
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  try {
    return JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + words[0]!)));
  } catch {
    return null;
  }
}
