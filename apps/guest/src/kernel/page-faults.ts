import type { DeviceId, PageRequestHandler, RequestedPage } from "@viommu/guest-driver";

/** Makes pages of a process present; false when one is not to be had. */
export type PageFaultHandler = (pasid: number, pages: readonly RequestedPage[]) => boolean;

/** Leads page requests to the driver of the device that makes them. */
export class PageFaults {
  readonly #handlers = new Map<string, PageFaultHandler>();

  add(device: DeviceId, handler: PageFaultHandler): void {
    this.#handlers.set(keyOf(device), handler);
  }

  /** For the driver of the units. */
  readonly answer: PageRequestHandler = ({ device, pasid, pages }) => {
    const handler = this.#handlers.get(keyOf(device));
    return pasid !== null && handler?.(pasid, pages) === true ? "success" : "invalid";
  };
}

const keyOf = ({ segment = 0, sourceId }: DeviceId): string => `${segment}:${sourceId}`;
