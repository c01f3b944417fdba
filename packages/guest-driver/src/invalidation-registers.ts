import { CCMD, Granularity, IOTLB, IVA } from "@viommu/vtd-spec";
import { notCapable, refused, timeout } from "./errors.ts";
import type { InvalidationOf, InvalidationRequest, Invalidator } from "./invalidation.ts";
import { pollUntil } from "./polling.ts";
import type { Polling } from "./polling.ts";
import type { RegisterWindow } from "./register-window.ts";

/** Actual granularity of a request that was not carried out. */
const NOTHING_DONE = 0n;

/** Register-based invalidation, for units without a queue (VT-d 6.5.1): one request after the other. */
export class InvalidationRegisters implements Invalidator {
  readonly #registers: RegisterWindow;
  readonly #polling: Polling;
  readonly #unit: string;

  constructor(registers: RegisterWindow, polling: Polling, unit: string) {
    this.#registers = registers;
    this.#polling = polling;
    this.#unit = unit;
  }

  run(requests: readonly InvalidationRequest[]): void {
    for (const request of requests) {
      if (request.cache === "context") this.#context(request);
      else if (request.cache === "iotlb") this.#iotlb(request);
      else {
        throw notCapable(
          `${this.#unit} has no invalidation queue, and ${request.cache} needs one (VT-d 6.5.1)`,
          "give the unit queued invalidation, or use neither device-TLBs nor interrupt remapping",
        );
      }
    }
  }

  #context(request: InvalidationOf<"context">): void {
    if (request.granularity === "global") {
      this.#registers.write(CCMD, { ICC: 1, CIRG: Granularity.GLOBAL });
    } else {
      const { sourceId: SID, domainId: DID } = request;
      this.#registers.write(CCMD, { ICC: 1, CIRG: Granularity.DEVICE, SID, DID });
    }
    this.#wait("CCMD.ICC = 0", () => this.#registers.read(CCMD).ICC === 0n);
    this.#check("CCMD.CAIG", this.#registers.read(CCMD).CAIG);
  }

  #iotlb(request: InvalidationOf<"iotlb">): void {
    const { DRD: DR, DWD: DW } = this.#registers.capabilities;
    const start = { IVT: 1, DR, DW };
    if (request.granularity === "global") {
      this.#registers.write(IOTLB, { ...start, IIRG: Granularity.GLOBAL });
    } else if (request.granularity === "domain") {
      this.#registers.write(IOTLB, { ...start, IIRG: Granularity.DOMAIN, DID: request.domainId });
    } else {
      const { address: ADDR, order: AM, domainId: DID } = request;
      // IVA first: the write of IOTLB starts
      this.#registers.write(IVA, { ADDR, AM, IH: request.leafOnly ? 1 : 0 });
      this.#registers.write(IOTLB, { ...start, IIRG: Granularity.PAGE, DID });
    }
    this.#wait("IOTLB.IVT = 0", () => this.#registers.read(IOTLB).IVT === 0n);
    this.#check("IOTLB.IAIG", this.#registers.read(IOTLB).IAIG);
  }

  #wait(waitedFor: string, done: () => boolean): void {
    if (pollUntil(this.#polling, done)) return;
    throw timeout(this.#unit, waitedFor, this.#polling.limit);
  }

  #check(field: string, granularity: bigint): void {
    if (granularity === NOTHING_DONE) {
      throw refused(this.#unit, `${field} is 0, the invalidation was not carried out`);
    }
  }
}
