import { DmaRequest, hiFromBigint, hiFromNumber, loFromBigint } from "@viommu/plugin";
import { loFromNumber, NO_PASID, toBigint, toNumber } from "@viommu/plugin";
import type { DmaRemapper } from "@viommu/plugin";

/** Answer of the convenience layer for a request that was blocked without a fault reason. */
const ABORTED = -0x100;

/**
 * Translation with plain numbers, for hosts that don't count nanoseconds: one untranslated request
 * without PASID at a time.
 */
export class NumberPort {
  private readonly remapper: DmaRemapper;
  private readonly request = new DmaRequest();

  constructor(remapper: DmaRemapper) {
    this.remapper = remapper;
  }

  /** The output address, minus the fault reason, or -100h for an abort without one. */
  translateNumber(sourceId: number, address: number, access: number): number {
    const { request } = this;
    request.hi = hiFromNumber(address);
    request.lo = loFromNumber(address);
    const result = this.translate(sourceId, access);
    return result === 0 ? toNumber(request.outHi, request.outLo) : result;
  }

  /** The same with a 64-bit address. */
  translateBigint(sourceId: number, address: bigint, access: number): bigint {
    const { request } = this;
    request.hi = hiFromBigint(address);
    request.lo = loFromBigint(address);
    const result = this.translate(sourceId, access);
    return result === 0 ? toBigint(request.outHi, request.outLo) : -toBigint(0, -result);
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
