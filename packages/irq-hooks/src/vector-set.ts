/**
 * 256-bit sets of vectors, eight words each, inside a larger array: IRR, ISR and TMR.
 * `at` is the index of the set's first word; word i holds vectors 32i to 32i + 31.
 */

/** The highest vector of the set, or -1. */
export function highestVector(words: Int32Array, at: number): number {
  for (let i = 7; i >= 0; i -= 1) {
    const word = words[at + i]!;
    if (word !== 0) return i * 32 + 31 - Math.clz32(word);
  }
  return -1;
}

/** Whether the set holds the vector. */
export function hasVector(words: Int32Array, at: number, vector: number): boolean {
  return (words[at + (vector >>> 5)]! & (1 << (vector & 31))) !== 0;
}

/** Adds the vector; false when it was there already. */
export function addVector(words: Int32Array, at: number, vector: number): boolean {
  const word = at + (vector >>> 5);
  const bit = 1 << (vector & 31);
  if ((words[word]! & bit) !== 0) return false;
  words[word]! |= bit;
  return true;
}

/** Takes the vector out. */
export function removeVector(words: Int32Array, at: number, vector: number): void {
  words[at + (vector >>> 5)]! &= ~(1 << (vector & 31));
}
