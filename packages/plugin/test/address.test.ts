import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  hiFromBigint,
  hiFromNumber,
  hiFromWords,
  highWord,
  isAddress,
  loFromBigint,
  loFromNumber,
  loFromWords,
  lowWord,
  toBigint,
  toNumber,
  UNREACHABLE,
} from "../src/index.ts";

const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const fits57 = (a: bigint): boolean => a < 1n << 57n || a >= (1n << 64n) - (1n << 56n);

describe("address convention", () => {
  it("splits at bit 30", () => {
    expect([hiFromBigint(0x1_2345_6789n), loFromBigint(0x1_2345_6789n)]).toEqual([4, 0x2345_6789]);
    expect([hiFromNumber(0x1_2345_6789), loFromNumber(0x1_2345_6789)]).toEqual([4, 0x2345_6789]);
    expect(hiFromBigint(0xffff_ffff_ffff_f000n)).toBe(-1);
  });

  it("gives every 57-bit address, unsigned or sign-extended, back unchanged", () => {
    fc.assert(
      fc.property(u64, (a) => {
        fc.pre(fits57(a));
        expect(toBigint(hiFromBigint(a), loFromBigint(a))).toBe(a);
      }),
    );
  });

  it("marks addresses beyond 57 bits, and keeps their bits 56:0", () => {
    fc.assert(
      fc.property(u64, (a) => {
        fc.pre(!fits57(a));
        const hi = hiFromBigint(a);
        expect(hi & UNREACHABLE).toBe(UNREACHABLE);
        expect(hi).toBeGreaterThan(0);
        expect(toBigint(hi, loFromBigint(a))).toBe(a & ((1n << 57n) - 1n));
        for (const width of [39, 48, 57]) {
          expect(hi >>> (width - 30)).not.toBe(0); // width check
          expect([0, -1]).not.toContain(hi >> (width - 31)); // canonical check
        }
      }),
    );
  });

  it("agrees on words, numbers and bigints", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: (1n << 53n) - 1n }), (a) => {
        const low = Number(a & 0xffff_ffffn) | 0;
        const high = Number(a >> 32n) | 0;
        const hi = hiFromWords(low, high);
        const lo = loFromWords(low);
        expect([hi, lo]).toEqual([hiFromNumber(Number(a)), loFromNumber(Number(a))]);
        expect([lowWord(hi, lo), highWord(hi)]).toEqual([low, high]);
        expect(toNumber(hi, lo)).toBe(Number(a));
      }),
    );
  });

  it("treats numbers that are no address as out of reach", () => {
    for (const bad of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
      expect(hiFromNumber(bad)).toBe(UNREACHABLE);
      expect(isAddress(bad)).toBe(false);
    }
    expect(isAddress(0)).toBe(true);
  });
});
