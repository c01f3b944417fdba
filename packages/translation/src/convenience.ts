import { DmaRequest, hiFromWords, NO_PASID, UNREACHABLE } from "@viommu/plugin";
import type { DmaRemapper } from "@viommu/plugin";

/** Answer of the convenience layer for a request that was blocked without a fault reason. */
const ABORTED = -0x100;

const GIB = 2 ** 30;
const LO_MASK = 0x3fff_ffff;

/**
 * Translation with plain numbers, for hosts that don't count nanoseconds: one untranslated request
 * without PASID at a time.
 */
export class NumberPort {
  private readonly remapper: DmaRemapper;
  private readonly request = new DmaRequest();
  /** A bigint goes in and out as two words: arithmetic with it costs ten times as much. */
  private readonly wide = new BigUint64Array(1);
  private readonly words = new Int32Array(this.wide.buffer);

  constructor(remapper: DmaRemapper) {
    this.remapper = remapper;
  }

  /** The output address, minus the fault reason, or -100h for an abort without one. */
  translateNumber(sourceId: number, address: number, access: number): number {
    const { request } = this;
    const inReach = address >= 0 && Number.isSafeInteger(address);
    const hi = inReach ? Math.floor(address / GIB) : UNREACHABLE;
    request.hi = hi | 0;
    request.lo = inReach ? (address - hi * GIB) | 0 : 0;
    const result = this.translate(sourceId, access);
    return result === 0 ? request.outHi * GIB + request.outLo : result;
  }

  /** The same with a 64-bit address. */
  translateBigint(sourceId: number, address: bigint, access: number): bigint {
    const { request, wide, words } = this;
    wide[0] = address;
    request.hi = hiFromWords(words[0]!, words[1]!);
    request.lo = words[0]! & LO_MASK;
    const result = this.translate(sourceId, access);
    if (result !== 0) return this.fault(result);
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

  private translate(sourceId: number, access: number): number {
    const { request } = this;
    request.sourceId = sourceId;
    request.pasid = NO_PASID;
    request.addressType = 0;
    request.access = access;
    const result = this.remapper.translate(request);
    return result < 0 ? ABORTED : -result;
  }
}
