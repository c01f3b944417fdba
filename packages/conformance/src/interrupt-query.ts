import { Random } from "./random.ts";

/** What a device sends: the inputs of an InterruptRequest. */
export interface InterruptQuery {
  readonly sourceId: number;
  /** Bits 31:0 of the address, as a signed int. */
  readonly address: number;
  /** Bits 63:32. */
  readonly upper: number;
  readonly data: number;
}

const SOURCES = [0x0010, 0x01a9, 0, 0xffff];

/** Whether the address is one that interrupts have, FEEx_xxxxh. */
export function isInterruptQuery({ address, upper }: InterruptQuery): boolean {
  return upper === 0 && address >>> 20 === 0xfee;
}

/** Requests that a device made by an enemy can send: any value that its fields can hold. */
export function hostileInterrupts(count: number): readonly InterruptQuery[] {
  const random = new Random(21);
  const oneIn = (n: number): boolean => random.below(n) === 0;
  return Array.from({ length: count }, () => {
    const low = oneIn(2) ? random.below(2 ** 20) : random.pick([0x10, 0x18, 0xf_fffc, 0xf_fff4]);
    return {
      sourceId: oneIn(2) ? random.below(0x1_0000) : random.pick(SOURCES),
      address: oneIn(10) ? random.word() : (0xfee << 20) | low,
      upper: oneIn(10) ? random.pick([1, -1, 0x100, random.word()]) : 0,
      data: oneIn(2) ? random.word() : random.pick([0, 0x31, 0x700, 0xffff, -1]),
    };
  });
}

/** The request in words, for findings. */
export function describeInterruptQuery(query: InterruptQuery): string {
  const { sourceId, address, upper, data } = query;
  const words = { "source-id": sourceId, upper, address, data };
  return Object.entries(words)
    .map(([name, word]) => `${name} 0x${(word >>> 0).toString(16)}`)
    .join(", ");
}
