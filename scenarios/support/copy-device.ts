import { createAtc, createDmaPort } from "@viommu/memory";
import type { AnsweredGroup, Atc, AtcRouter, DmaPort } from "@viommu/memory";
import type { Guest } from "./guest.ts";

/** One job of a shared queue: copies bytes inside the address space of a PASID. */
interface Job {
  readonly pasid: number;
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
}

/**
 * An accelerator whose one queue is shared by processes: each job names its PASID. It has a
 * translation cache, and works on the jobs in turn.
 */
export class CopyDevice {
  readonly atc: Atc;
  readonly #guest: Guest;
  readonly #sourceId: number;
  readonly #ports = new Map<number, DmaPort>();
  readonly #queue: Job[] = [];

  constructor(
    guest: Guest,
    devices: AtcRouter,
    sourceId: number,
    answered?: (group: AnsweredGroup) => void,
  ) {
    this.#guest = guest;
    this.#sourceId = sourceId;
    this.atc = createAtc({
      remapper: guest.unit.dma,
      agent: guest.unit,
      ...(answered === undefined ? {} : { pageRequests: { answered, groups: 64 } }),
    });
    devices.attach(sourceId, this.atc);
  }

  /** The device's view of the address space of a PASID. */
  port(pasid: number): DmaPort {
    let port = this.#ports.get(pasid);
    if (port === undefined) {
      port = createDmaPort({
        memory: this.#guest.memory,
        remapper: this.atc,
        sourceId: this.#sourceId,
        pasid,
      });
      this.#ports.set(pasid, port);
    }
    return port;
  }

  submit(pasid: number, from: number, to: number, bytes: number): void {
    this.#queue.push({ pasid, from, to, bytes });
  }

  /** Does the next job; its result, as of a DMA port. */
  step(): number {
    const { pasid, from, to, bytes } = this.#queue.shift()!;
    const buffer = new Uint8Array(bytes);
    const port = this.port(pasid);
    return port.read(from, buffer) || port.write(to, buffer);
  }
}
