import { mix } from "../random.ts";

/** Fills bytes with what belongs to a key: other keys, other bytes. */
export function fillPattern(bytes: Uint8Array, key: number): void {
  for (let at = 0; at < bytes.length; at += 4) {
    let word = mix(key, at);
    const end = Math.min(at + 4, bytes.length);
    for (let i = at; i < end; i += 1, word >>>= 8) bytes[i] = word;
  }
}

/** The first byte that is not what belongs to the key, or -1. */
export function firstDifference(bytes: Uint8Array, key: number): number {
  for (let at = 0; at < bytes.length; at += 4) {
    let word = mix(key, at);
    const end = Math.min(at + 4, bytes.length);
    for (let i = at; i < end; i += 1, word >>>= 8) if (bytes[i] !== (word & 0xff)) return i;
  }
  return -1;
}
