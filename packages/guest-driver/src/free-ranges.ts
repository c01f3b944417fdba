import type { RangesState } from "./driver-state.ts";

/**
 * Which part of a range of numbers is free: runs in ascending order, no two of them touching.
 * Giving out from the upper end leaves one run as long as nothing is given back.
 */
export class FreeRanges {
  /** First number of each run. */
  readonly #starts: number[];
  /** The number after each run. */
  readonly #ends: number[];

  /** Everything from `start` up to, and not including, `end` is free. */
  constructor(start: number, end: number) {
    this.#starts = [start];
    this.#ends = [end];
  }

  /** Takes the lowest `count` numbers whose first is a multiple of `alignment`; -1: there are none. */
  takeLowest(count: number, alignment = 1): number {
    for (let i = 0; i < this.#starts.length; i += 1) {
      const start = Math.ceil(this.#starts[i]! / alignment) * alignment;
      if (start + count > this.#ends[i]!) continue;
      this.#cut(i, start, start + count);
      return start;
    }
    return -1;
  }

  /** As {@link takeLowest}, but the highest ones below `limit`. */
  takeHighest(count: number, alignment: number, limit: number): number {
    for (let i = this.#runBefore(limit); i >= 0; i -= 1) {
      const end = Math.min(this.#ends[i]!, limit);
      const start = Math.floor((end - count) / alignment) * alignment;
      if (start < this.#starts[i]!) continue;
      this.#cut(i, start, start + count);
      return start;
    }
    return -1;
  }

  /** Takes these numbers; false, and nothing taken, when one of them is not free. */
  take(start: number, count: number): boolean {
    const i = this.#runBefore(start + 1);
    if (i < 0 || start + count > this.#ends[i]!) return false;
    this.#cut(i, start, start + count);
    return true;
  }

  /** Gives back numbers that were taken. */
  give(start: number, count: number): void {
    const end = start + count;
    const below = this.#runBefore(start);
    const above = below + 1;
    const joinsBelow = below >= 0 && this.#ends[below] === start;
    const joinsAbove = this.#starts[above] === end;
    if (joinsBelow && joinsAbove) {
      this.#ends[below] = this.#ends[above]!;
      this.#remove(above);
    } else if (joinsBelow) this.#ends[below] = end;
    else if (joinsAbove) this.#starts[above] = start;
    else this.#insert(above, start, end);
  }

  save(): RangesState {
    return this.#starts.flatMap((start, i) => [start, this.#ends[i]!]);
  }

  restore(state: RangesState): void {
    this.#starts.splice(0, Infinity, ...state.filter((_, i) => i % 2 === 0));
    this.#ends.splice(0, Infinity, ...state.filter((_, i) => i % 2 === 1));
  }

  /** Index of the last run that starts below a number; -1: none. */
  #runBefore(number: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle]! < number) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #cut(i: number, start: number, end: number): void {
    const runEnd = this.#ends[i]!;
    if (start === this.#starts[i] && end === runEnd) this.#remove(i);
    else if (start === this.#starts[i]) this.#starts[i] = end;
    else {
      this.#ends[i] = start;
      if (end < runEnd) this.#insert(i + 1, end, runEnd);
    }
  }

  #insert(i: number, start: number, end: number): void {
    this.#starts.splice(i, 0, start);
    this.#ends.splice(i, 0, end);
  }

  #remove(i: number): void {
    this.#starts.splice(i, 1);
    this.#ends.splice(i, 1);
  }
}

/** The smallest power of two that is at least `count`. */
export function powerOfTwoFrom(count: number): number {
  let power = 1;
  while (power < count) power *= 2;
  return power;
}
