import { DmaRequest, hiFromWords, UNREACHABLE } from "@viommu/plugin";
import type { DmaRemapper } from "@viommu/plugin";

/** Answer of the convenience layer for a request that was blocked without a fault reason. */
const ABORTED = -0x100;

const GIB = 2 ** 30;
const PER_GIB = 2 ** -30;
const LO_MASK = 0x3fff_ffff;

/**
 * Translation with plain numbers, for hosts that don't count nanoseconds: one untranslated request
 * without PASID at a time.
 */
export class NumberPort {
  private readonly remapper: DmaRemapper;
  /** Untranslated, without PASID, as it is made. */
  private readonly request = new DmaRequest();
  /** A bigint goes in and out as two words: arithmetic with it costs ten times as much. */
  private readonly wide = new BigUint64Array(1);
  private readonly words = new Int32Array(this.wide.buffer);

  constructor(remapper: DmaRemapper) {
    this.remapper = remapper;
  }

  /** As of the engine. */
  translateNumber(sourceId: number, address: number, access: number): number {
    const { request } = this;
    const hi = (address * PER_GIB) | 0;
    const lo = address - hi * GIB;
    // what is no address fails one of these: fractions, NaN, negative numbers, and 2^53 and more
    const inReach = (lo & LO_MASK) === lo && hi >>> 23 === 0;
    request.hi = inReach ? hi : UNREACHABLE;
    request.lo = inReach ? lo | 0 : 0;
    request.sourceId = sourceId;
    request.access = access;
    const result = this.remapper.translate(request);
    return result === 0 ? request.outHi * GIB + request.outLo : failure(result);
  }

  /** As of the engine. */
  translateBigint(sourceId: number, address: bigint, access: number): bigint {
    const { request, wide, words } = this;
    wide[0] = address;
    request.hi = hiFromWords(words[0]!, words[1]!);
    request.lo = words[0]! & LO_MASK;
    request.sourceId = sourceId;
    request.access = access;
    const result = this.remapper.translate(request);
    if (result !== 0) return this.fault(failure(result));
    const outHi = request.outHi > 0 ? request.outHi & 0x07ff_ffff : request.outHi;
    words[0] = (outHi << 30) | request.outLo;
    words[1] = outHi >> 2;
    return wide[0];
  }

  private fault(result: number): bigint {
    this.wide[0] = 0n;
    this.words[0] = -result;
    return -this.wide[0];
  }
}

/** What stands for an address when there is none. */
function failure(result: number): number {
  return result < 0 ? ABORTED : -result;
}
