/** Bits of {@link DmaRequest.access} and {@link DmaRequest.granted}. */
export const Access = {
  /** A zero-length read (VT-d 3.7.2): asks for neither right. */
  NONE: 0,
  READ: 1,
  WRITE: 2,
  /** Both at once; an atomic operation. */
  ATOMIC: 3,
  /** The request asks for execute permission (only with a PASID). */
  EXECUTE: 4,
  /** The request is privileged (only with a PASID). */
  PRIVILEGED: 8,
  /** Only in `granted`: accesses of this range snoop the processor caches. */
  SNOOP: 16,
  /** Only in `granted`: the address was not translated (remapping off, or pass-through). */
  BYPASS: 32,
} as const;

/** AT field of a request (PCI Express ATS). */
export const AddressType = { UNTRANSLATED: 0, TRANSLATION_REQUEST: 1, TRANSLATED: 2 } as const;

/** `pasid` of a request without PASID. */
export const NO_PASID = -1;

/** `pasid` of a device-TLB invalidation of every PASID (GI = 1, VT-d 6.5.2.6). */
export const ALL_PASIDS = -2;

/** Results of {@link DmaRemapper.translate} that are no fault reason. */
export const DmaResult = {
  /** The output fields are valid. */
  TRANSLATED: 0,
  /** Blocked, and nothing is or shall be recorded (protected memory, AT blocked by a unit that is off). */
  ABORTED: -1,
} as const;

/**
 * One DMA request and its answer. The caller owns the object and uses it again and again: neither a
 * hit nor a miss allocates. A request must not cross a 4 KiB border.
 */
export class DmaRequest {
  /** Requester: bus (15:8), device (7:3), function (2:0). */
  sourceId = 0;
  /** 20 bits, or {@link NO_PASID}. */
  pasid: number = NO_PASID;
  /** One of {@link AddressType}. */
  addressType = 0;
  /** Bits of {@link Access}. */
  access = 0;
  hi = 0;
  lo = 0;
  /** Output: guest-physical address of exactly `hi:lo`. */
  outHi = 0;
  outLo = 0;
  /** Output: the answer holds for the naturally aligned range of 2^pageShift bytes. */
  pageShift = 12;
  /** Output: bits of {@link Access} that hold for that range. */
  granted = 0;
  /** Output of a blocked request: true when FPD kept the fault out of the fault log. */
  suppressed = false;
}

/**
 * Translates the DMA of devices: a VT-d unit, or another vendor's or a paravirtual remapper.
 *
 * Drain: a device that goes on using an answer after `translate` has returned (a zero-copy segment,
 * an asynchronous transfer) calls `enter` before translating and `leave` when the access is over. An
 * invalidation that is completed after `enter` is reported to the guest only after `leave`.
 */
export interface DmaRemapper {
  /** PCI segment whose source-ids this remapper understands. */
  readonly segment: number;
  /** Answers one request: 0, {@link DmaResult}.ABORTED, or the fault reason, which has been reported. */
  translate(request: DmaRequest): number;
  /** The same answer with no effect: nothing is recorded, cached, marked accessed or counted. */
  probe(request: DmaRequest): number;
  /** An access in flight begins; returns its ticket. */
  enter(): number;
  /** The access of this ticket has ended. */
  leave(ticket: number): void;
}
