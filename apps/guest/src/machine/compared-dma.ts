import type { GuestUnit, P2m } from "@viommu/piommu";
import { DmaRequest, toNumber } from "@viommu/plugin";
import type { DmaRemapper } from "@viommu/plugin";

const PAGE = 4096;

/** What is known of a passed-through device. */
export interface ComparedDevice {
  readonly name: string;
  /** The unit above it in the guest, and its place there. */
  readonly unit: GuestUnit;
  readonly virtualSourceId: number;
}

/**
 * A physical unit as one device sees it, whose every answer is compared with another way to it: the
 * guest's own unit, which reads the guest's tables, and the guest's memory map. The tables of the
 * physical unit take no part in that.
 */
export class ComparedDma implements DmaRemapper {
  /** Requests that were let through, and those of them that reached other memory than they should. */
  readonly counters = { reached: 0, wrong: 0 };
  readonly segment: number;
  readonly #inner: DmaRemapper;
  readonly #device: ComparedDevice;
  readonly #p2m: P2m;
  readonly #problem: (text: string) => void;
  readonly #guest = new DmaRequest();
  readonly #run = { mfn: 0, count: 0, rights: 0 };

  /** `problem` is told of each wrong one. */
  constructor(
    inner: DmaRemapper,
    device: ComparedDevice,
    p2m: P2m,
    problem: (text: string) => void,
  ) {
    this.segment = inner.segment;
    this.#inner = inner;
    this.#device = device;
    this.#p2m = p2m;
    this.#problem = problem;
  }

  translate(request: DmaRequest): number {
    const result = this.#inner.translate(request);
    if (result === 0) this.#compare(request);
    return result;
  }

  probe(request: DmaRequest): number {
    return this.#inner.probe(request);
  }

  enter(): number {
    return this.#inner.enter();
  }

  leave(ticket: number): void {
    this.#inner.leave(ticket);
  }

  #compare(request: DmaRequest): void {
    const { counters } = this;
    counters.reached += 1;
    const expected = this.#expected(request);
    const reached = toNumber(request.outHi, request.outLo);
    if (expected === reached) return;
    counters.wrong += 1;
    const { name } = this.#device;
    const hex = (address: number): string => `0x${address.toString(16)}`;
    const where = expected < 0 ? "nothing" : hex(expected);
    const asked = hex(toNumber(request.hi, request.lo));
    this.#problem(
      `${name} reached host memory ${hex(reached)} by ${asked}, which leads to ${where}`,
    );
  }

  /** The host address that the guest's tables and memory map lead to; -1: none. */
  #expected({ access, addressType, pasid, hi, lo }: DmaRequest): number {
    const guest = this.#guest;
    guest.sourceId = this.#device.virtualSourceId;
    guest.access = access;
    guest.addressType = addressType;
    guest.pasid = pasid;
    guest.hi = hi;
    guest.lo = lo;
    if (this.#device.unit.dma.probe(guest) !== 0) return -1;
    const address = toNumber(guest.outHi, guest.outLo);
    this.#p2m.lookup(Math.floor(address / PAGE), this.#run);
    return this.#run.rights === 0 ? -1 : this.#run.mfn * PAGE + (address % PAGE);
  }
}
